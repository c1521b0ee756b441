"""The rows that ingest writes, one file a transaction: observations, quarantine, deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.exposures.examine import Examined
from astrid_assets.exposures.folder import FileStamp
from astrid_assets.exposures.headers import ExposureHeader
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.survey import SurveyConfig
from astrid_resources.database import (
    Database,
    DeliveredFile,
    DeliveryOutcome,
    Observation,
    QuarantinedFile,
    Survey,
    upsert,
)
from astrid_resources.identity import plain_json, row_id
from astrid_resources.products import StoredObject

SAME_EXPOSURE_S = 1.0
"""New content under another file name is a new version only where its time agrees this well."""

_LOCK = "ingest"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Known:
    """A file whose exposures are registered, as it was first delivered."""

    sha256: str
    survey: str
    file_name: str
    fits_url: str | None
    override_sha256: str | None
    stored: StoredObject


@dataclass(frozen=True)
class Change:
    """What registering a file changed: nights and tiles touched, versions superseded."""

    partitions: tuple[tuple[date, str], ...]
    n_superseded: int


class Registry:
    """Observations and quarantined files.

    What writes takes the session of a file's transaction, which holds the lock of ingest.
    """

    def __init__(self, database: Database, *, now: datetime) -> None:
        self._database = database
        self._now = now

    def transaction(self, work: Callable[[Session], Result]) -> Result:
        """Return what `work` returns, done in one transaction, alone among all who ingest."""
        return self._database.transaction(work, lock=_LOCK)

    def known_file(self, sha256: str) -> Known | None:
        """Return the registered file with this content, if there is one."""
        found = self._known(Observation.content_sha256 == sha256)
        return found[0] if found else None

    def known_files(self) -> list[Known]:
        """Return every registered file whose exposures count, by content hash."""
        return self._known(Observation.is_current.is_(True))

    def _known(self, condition: sa.ColumnElement[bool]) -> list[Known]:
        query = (
            sa.select(Observation, Survey.name)
            .join(Survey, Survey.id == Observation.survey_id)
            .where(condition)
            .order_by(Observation.content_sha256, Observation.hdu)
        )
        with self._database.read() as session:
            found: dict[str, Known] = {}
            for row, survey in session.execute(query):
                stored = StoredObject(row.raw_path, row.content_sha256, row.size_bytes or 0)
                known = Known(
                    row.content_sha256,
                    survey,
                    row.file_name,
                    row.fits_url,
                    row.override_sha256,
                    stored,
                )
                found.setdefault(row.content_sha256, known)
            return list(found.values())

    def register(
        self,
        session: Session,
        examined: Examined,
        *,
        stored: StoredObject,
        file_name: str,
        fits_url: str | None,
    ) -> Change | None:
        """Write the exposures of a file; None where the database said the same already.

        New content of an exposure makes older content of it not current. Raises RejectedFile
        (id_conflict) where another exposure has the same observation id and detector.
        """
        survey_id = _write_survey(session, examined.survey)
        before = {
            row.id: row
            for row in session.scalars(
                sa.select(Observation).where(Observation.content_sha256 == stored.sha256)
            )
        }
        for row in before.values():  # another ingest may have been first
            file_name, fits_url = row.file_name, row.fits_url
        places = {key: (row.night, row.tile, row.is_current) for key, row in before.items()}
        is_current = not before or any(row.is_current for row in before.values())
        rows = [
            {
                **_observation_row(exposure, survey_id, stored, examined.row.digest),
                "file_name": file_name,
                "fits_url": fits_url,
                "is_current": is_current,
            }
            for exposure in examined.exposures
        ]
        session.expunge_all()
        others = self._others(session, rows) if is_current else []
        retired = [*others, *(key for key in before if key not in {row["id"] for row in rows})]
        touched = {(row["night"], row["tile"]) for row in rows}
        touched |= {places[key][:2] for key in before}
        touched |= _retire(session, retired)
        written = upsert(session, Observation, rows)
        if not written.inserted + written.updated:
            return None
        return Change(tuple(sorted(touched)), len(others))

    def name_of(self, session: Session, sha256: str) -> str | None:
        """Return the name under which a content was registered."""
        query = sa.select(Observation.file_name).where(Observation.content_sha256 == sha256)
        return session.scalars(query.limit(1)).first()

    def _others(self, session: Session, rows: Sequence[dict[str, Any]]) -> list[UUID]:
        out = []
        for row in rows:
            query = sa.select(Observation.id, Observation.mjd_mid, Observation.file_name).where(
                Observation.survey_id == row["survey_id"],
                Observation.observation_id == row["observation_id"],
                Observation.detector == row["detector"],
                Observation.content_sha256 != row["content_sha256"],
                Observation.is_current,
            )
            for other, mjd_mid, file_name in session.execute(query):
                apart_s = abs(mjd_mid - row["mjd_mid"]) * 86400
                is_same_name = PurePosixPath(file_name).name == PurePosixPath(row["file_name"]).name
                if apart_s > SAME_EXPOSURE_S and not is_same_name:
                    raise RejectedFile(
                        f"observation id {row['observation_id']!r}, detector {row['detector']!r} "
                        f"already names {file_name}, taken {apart_s:.0f} s apart: map a card that "
                        "is unique to each exposure, or give observation_id in the sidecar",
                        reason=Reason.ID_CONFLICT,
                        apart_s=apart_s,
                    )
                out.append(other)
        return out

    def quarantine(
        self,
        session: Session,
        name: str,
        stored: StoredObject,
        problem: RejectedFile,
        *,
        is_delivery: bool,
    ) -> None:
        """Write why a file is not taken; the same content delivered again is counted."""
        key = row_id("quarantined_files", stored.sha256)
        old = session.get(QuarantinedFile, key)
        row = {
            "id": key,
            "sha256": stored.sha256,
            "name": old.name if old else name,
            "size": stored.size,
            "reason_code": problem.code,
            "reason": problem.message,
            "stored_path": stored.key or None,
            "first_seen": old.first_seen if old else self._now,
            "last_seen": self._now if is_delivery or not old else old.last_seen,
            "n_deliveries": (old.n_deliveries if old else 0) + (is_delivery or not old),
        }
        session.expunge_all()
        upsert(session, QuarantinedFile, [row])

    def release(self, session: Session, sha256: str) -> None:
        """Forget that a file was in quarantine: it was taken after all."""
        session.execute(sa.delete(QuarantinedFile).where(QuarantinedFile.sha256 == sha256))


def _retire(session: Session, ids: Sequence[UUID]) -> set[tuple[date, str]]:
    if not ids:
        return set()
    query = sa.select(Observation.night, Observation.tile).where(Observation.id.in_(ids))
    touched = {(night, tile) for night, tile in session.execute(query)}
    session.execute(sa.update(Observation).where(Observation.id.in_(ids)).values(is_current=False))
    return touched


def _write_survey(session: Session, survey: SurveyConfig) -> UUID:
    key = row_id("surveys", survey.name)
    row = {
        "id": key,
        "name": survey.name,
        "description": survey.description,
        "base_url": survey.base_url,
        "header_mapping": survey.declaration,
    }
    upsert(session, Survey, [row])
    return key


def _observation_row(
    exposure: ExposureHeader, survey_id: UUID, stored: StoredObject, override_sha256: str | None
) -> dict[str, Any]:
    key = (exposure.survey, exposure.observation_id, exposure.detector, stored.sha256)
    return {
        "id": row_id("observations", *key),
        "survey_id": survey_id,
        "observation_id": exposure.observation_id,
        "detector": exposure.detector,
        "night": exposure.night,
        "tile": exposure.tile,
        "ra": exposure.ra_deg,
        "dec": exposure.dec_deg,
        "footprint": [list(corner) for corner in exposure.footprint],
        "observation_time": exposure.time_start_utc,
        "mjd_mid": exposure.mjd_mid_tai,
        "filter_band": exposure.filter_band,
        "exposure_time": exposure.exposure_time_s,
        "content_sha256": stored.sha256,
        "raw_path": stored.key,
        "size_bytes": stored.size,
        "hdu": exposure.hdu,
        "override_sha256": override_sha256,
        "facts": plain_json(asdict(exposure)),
        "width_pix": exposure.shape[1],
        "height_pix": exposure.shape[0],
        "pixel_scale": exposure.pixel_scale_arcsec,
        "airmass": exposure.airmass,
        "seeing": exposure.seeing_arcsec,
        "instrument": exposure.instrument,
        "gain": exposure.gain_e_per_adu,
        "read_noise": exposure.read_noise_e,
        "saturation_level": exposure.saturation_adu,
        "longitude": exposure.longitude_east_deg,
        "is_resampled": exposure.is_resampled,
        "is_sky_subtracted": exposure.is_sky_subtracted,
        "is_synthetic": exposure.is_synthetic,
    }


@dataclass(frozen=True)
class Delivery:
    """A file in the drop folder as the last look left it."""

    size: int
    mtime_ns: int
    sha256: str | None
    outcome: DeliveryOutcome
    sidecar_sha256: str | None
    seen_at: datetime


class Deliveries:
    """What is known of the files that lie in one drop folder."""

    def __init__(self, database: Database, *, folder: str, now: datetime) -> None:
        self._folder = folder
        self._now = now
        query = sa.select(DeliveredFile).where(DeliveredFile.folder == folder)
        with database.read() as session:
            self._seen = {
                row.name: Delivery(
                    row.size,
                    row.mtime_ns,
                    row.sha256,
                    row.outcome,
                    row.sidecar_sha256,
                    row.seen_at,
                )
                for row in session.scalars(query)
            }

    def get(self, name: str) -> Delivery | None:
        """Return what the last look saw under a name."""
        return self._seen.get(name)

    def put(
        self,
        session: Session,
        name: str,
        stamp: FileStamp,
        outcome: DeliveryOutcome,
        *,
        sha256: str | None,
        rules: str | None,
    ) -> None:
        """Record the outcome of this look; `seen_at` stays while nothing changes.

        rules: digest of the declaration and sidecar row under which the outcome holds.
        """
        old = self._seen.get(name)
        new = Delivery(stamp.size, stamp.mtime_ns, sha256, outcome, rules, self._now)
        if old is not None and asdict(old) | {"seen_at": None} == asdict(new) | {"seen_at": None}:
            return
        key = row_id("delivered_files", self._folder, name)
        row = {"id": key, "folder": self._folder, "name": name, **asdict(new)}
        upsert(session, DeliveredFile, [row])

    def is_recorded(self, session: Session, name: str) -> bool:
        """Return whether this very look has recorded the file already."""
        key = row_id("delivered_files", self._folder, name)
        query = sa.select(DeliveredFile.seen_at).where(DeliveredFile.id == key)
        return session.scalar(query) == self._now

    def forget_all_but(self, session: Session, names: Set[str]) -> None:
        """Delete the rows of files that left the folder; what they became is kept elsewhere."""
        for name in sorted(set(self._seen) - names):
            key = row_id("delivered_files", self._folder, name)
            session.execute(sa.delete(DeliveredFile).where(DeliveredFile.id == key))
