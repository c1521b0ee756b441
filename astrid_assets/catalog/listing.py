"""The catalog as a list: transients with their names, positions and brightest points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import formats
from astrid_resources.database import (
    Confirmation,
    Database,
    NameKind,
    Transient,
    TransientName,
    TransientStatus,
)
from astrid_resources.database.cone import cone_search

COLUMNS = (
    "name",
    "RA Dec (deg)",
    "status",
    "detections",
    "bands",
    "probability",
    "significance",
    "brightest",
    "first seen (UTC)",
    "last seen (UTC)",
)


@dataclass(frozen=True)
class TransientEntry:
    """A transient in a list. ra, dec: ICRS degrees, error per axis in arcsec; times in UTC.

    brightest: the summary of its strongest point (see `lightcurve.summarise`), None without one.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    ra: float
    dec: float
    error_arcsec: float | None
    confirmation: str
    classification: str
    n_detections: int
    n_nights: int
    bands: tuple[str, ...]
    first_seen_utc: str
    last_seen_utc: str
    first_mjd_tai: float | None
    last_mjd_tai: float | None
    best_probability: float | None
    best_significance: float | None
    brightest: dict[str, Any] | None
    n_points: int
    is_synthetic: bool

    @property
    def brightest_text(self) -> str:
        """The brightest point's flux with unit, "-" without one."""
        point = self.brightest
        if point is None:
            return formats.NOT_KNOWN
        return formats.flux_text(
            point["flux_adu"],
            point["flux_adu_error"],
            point["flux_njy"],
            point["flux_njy_error"],
        )

    def cells(self) -> tuple[str, ...]:
        """Return the row of a printed table, in the order of COLUMNS."""
        return (
            self.name,
            formats.degrees_text(self.ra, self.dec),
            self.confirmation.replace("_", "-"),
            str(self.n_detections),
            ",".join(self.bands),
            formats.number_text(self.best_probability),
            formats.number_text(self.best_significance),
            self.brightest_text,
            self.first_seen_utc,
            self.last_seen_utc,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON's own types, with the sexagesimal position."""
        return asdict(self) | {"sexagesimal": formats.sexagesimal_text(self.ra, self.dec)}


def list_transients(
    database: Database,
    *,
    is_confirmed_only: bool = False,
    cone: tuple[float, float, float] | None = None,
) -> tuple[TransientEntry, ...]:
    """Return the active transients, confirmed ones first, then by significance and name.

    cone: (ra, dec, radius_arcsec) in degrees to look in, or everywhere.
    """
    with database.read() as session:
        return entries(session, is_confirmed_only=is_confirmed_only, cone=cone)


def find_transient(database: Database, name: str) -> TransientEntry | None:
    """Return the transient that a name, in use or an alias, stands for, or None."""
    with database.read() as session:
        row = session.scalar(sa.select(TransientName).where(TransientName.name == name))
        transient = None if row is None else session.get(Transient, row.transient_id)
        if transient is None or transient.status is not TransientStatus.ACTIVE:
            return None
        return _entry(transient, _aliases(session, [transient.id]))


def entries(
    session: Session,
    *,
    is_confirmed_only: bool = False,
    cone: tuple[float, float, float] | None = None,
) -> tuple[TransientEntry, ...]:
    """Return the active transients within a session (see `list_transients`)."""
    conditions = [Transient.status == TransientStatus.ACTIVE]
    if is_confirmed_only:
        conditions.append(Transient.confirmation == Confirmation.CONFIRMED)
    if cone is not None:
        near = cone_search(session, Transient, *cone)
        conditions.append(Transient.id.in_([row["id"] for row in near]))
    rows = session.scalars(sa.select(Transient).where(*conditions)).all()
    aliases = _aliases(session, [row.id for row in rows])
    found = [_entry(row, aliases) for row in rows]
    found.sort(
        key=lambda entry: (
            entry.confirmation != Confirmation.CONFIRMED.value,
            -abs(entry.best_significance or 0.0),
            entry.name,
        )
    )
    return tuple(found)


def _aliases(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    query = sa.select(TransientName.transient_id, TransientName.name).where(
        TransientName.kind == NameKind.ALIAS
    )
    wanted = set(ids)
    found: dict[UUID, list[str]] = {}
    for transient_id, name in session.execute(query):
        if transient_id in wanted:
            found.setdefault(transient_id, []).append(name)
    return found


def _entry(row: Transient, aliases: dict[UUID, list[str]]) -> TransientEntry:
    summary = row.light_curve_summary or {}
    brightest = [item["brightest"] for item in summary.values() if item["brightest"]]
    return TransientEntry(
        id=str(row.id),
        name=row.name,
        aliases=tuple(sorted(aliases.get(row.id, ()))),
        ra=row.ra,
        dec=row.dec,
        error_arcsec=row.ra_error,
        confirmation=row.confirmation.value,
        classification=row.classification.value,
        n_detections=row.n_detections,
        n_nights=row.n_nights or 0,
        bands=tuple(sorted(summary)),
        first_seen_utc=f"{row.first_seen:%Y-%m-%d %H:%M:%S}",
        last_seen_utc=f"{row.last_seen:%Y-%m-%d %H:%M:%S}",
        first_mjd_tai=row.first_mjd,
        last_mjd_tai=row.last_mjd,
        best_probability=row.best_score,
        best_significance=row.best_significance,
        brightest=max(brightest, key=lambda point: abs(point["snr"]), default=None),
        n_points=sum(item["n_points"] for item in summary.values()),
        is_synthetic=row.is_synthetic,
    )
