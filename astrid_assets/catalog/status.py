"""How much stands in the stores: counts per table and asset, the quarantine with its reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import (
    Candidate,
    Database,
    Detection,
    LightCurvePoint,
    Model,
    Observation,
    ProductRow,
    QuarantinedFile,
    ReferenceImage,
    Transient,
    TransientStatus,
)


@dataclass(frozen=True)
class AssetCount:
    """Current products of an asset by verdict, and the bytes of their objects."""

    asset: str
    n_passed: int
    n_failed: int
    n_no_work: int
    n_bytes: int


@dataclass(frozen=True)
class QuarantineEntry:
    """A file that was not taken, with the reason in words."""

    name: str
    sha256: str
    reason_code: str
    reason: str
    n_deliveries: int
    last_seen_utc: str


@dataclass(frozen=True)
class Status:
    """What the database holds."""

    n_observations: int
    n_nights: int
    n_tiles: int
    n_candidates: int
    n_candidates_rejected: int
    n_detections: int
    n_detections_accepted: int
    n_transients_confirmed: int
    n_transients_single_epoch: int
    n_light_curve_points: int
    references: tuple[str, ...]
    model: str | None
    assets: tuple[AssetCount, ...]
    quarantine: tuple[QuarantineEntry, ...]
    is_synthetic: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON's own types."""
        return asdict(self)


def status(database: Database) -> Status:
    """Return what the database holds now."""
    with database.read() as session:
        return _status(session)


def _status(session: Session) -> Status:
    current = sa.select(Observation).where(Observation.is_current).subquery()
    n_observations, n_nights, n_tiles, n_synthetic = session.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(current.c.night.distinct()),
            sa.func.count(current.c.tile.distinct()),
            sa.func.count(sa.case((current.c.is_synthetic, 1))),
        ).select_from(current)
    ).one()
    by_confirmation = {
        kind.value: n
        for kind, n in session.execute(
            sa.select(Transient.confirmation, sa.func.count())
            .where(Transient.status == TransientStatus.ACTIVE)
            .group_by(Transient.confirmation)
        )
    }
    return Status(
        n_observations=n_observations,
        n_nights=n_nights,
        n_tiles=n_tiles,
        n_candidates=_count(session, Candidate, Candidate.is_superseded.is_(False)),
        n_candidates_rejected=_count(
            session,
            Candidate,
            Candidate.is_superseded.is_(False),
            Candidate.rejection_rule.is_not(None),
        ),
        n_detections=_count(session, Detection, Detection.is_superseded.is_(False)),
        n_detections_accepted=_count(
            session, Detection, Detection.is_superseded.is_(False), Detection.is_accepted
        ),
        n_transients_confirmed=by_confirmation.get("confirmed", 0),
        n_transients_single_epoch=by_confirmation.get("single_epoch", 0),
        n_light_curve_points=_count(session, LightCurvePoint),
        references=_references(session),
        model=_model(session),
        assets=_assets(session),
        quarantine=_quarantine(session),
        is_synthetic=n_synthetic > 0,
    )


def _count(session: Session, table: Any, *conditions: Any) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return int(session.scalar(query) or 0)


def _references(session: Session) -> tuple[str, ...]:
    rows = session.scalars(
        sa.select(ReferenceImage)
        .where(ReferenceImage.is_current)
        .order_by(ReferenceImage.tile, ReferenceImage.filter_band, ReferenceImage.id)
    )
    return tuple(
        f"{row.tile} {row.filter_band} version {row.version}, {row.n_inputs} inputs" for row in rows
    )


def _model(session: Session) -> str | None:
    row = session.scalar(sa.select(Model).where(Model.is_active).order_by(Model.name).limit(1))
    return None if row is None else f"{row.name} {row.version}"


def _assets(session: Session) -> tuple[AssetCount, ...]:
    counts: dict[str, dict[str, int]] = {}
    query = (
        sa.select(
            ProductRow.asset, ProductRow.verdict, sa.func.count(), sa.func.sum(ProductRow.bytes)
        )
        .where(ProductRow.is_current)
        .group_by(ProductRow.asset, ProductRow.verdict)
    )
    for asset, verdict, n, size in session.execute(query):
        entry = counts.setdefault(asset, {"bytes": 0})
        entry[verdict.value] = n
        entry["bytes"] += int(size or 0)
    return tuple(
        AssetCount(
            asset,
            entry.get("passed", 0),
            entry.get("failed", 0),
            entry.get("no_work", 0),
            entry["bytes"],
        )
        for asset, entry in sorted(counts.items())
    )


def _quarantine(session: Session) -> tuple[QuarantineEntry, ...]:
    rows = session.scalars(
        sa.select(QuarantinedFile).order_by(QuarantinedFile.first_seen, QuarantinedFile.sha256)
    )
    return tuple(
        QuarantineEntry(
            row.name,
            row.sha256,
            row.reason_code,
            row.reason,
            row.n_deliveries,
            f"{row.last_seen:%Y-%m-%d %H:%M:%S}",
        )
        for row in rows
    )
