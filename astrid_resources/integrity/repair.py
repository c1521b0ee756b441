"""What can be made again is withdrawn, so that its next run makes it; the rest is asked for.

An altered object goes to the quarantine first; a kill between the steps leaves a state that the
next repair finishes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import (
    Database,
    DeliveredFile,
    Observation,
    ProductRow,
    QuarantinedFile,
    take_lock,
    utc_now,
)
from astrid_resources.database.rows import chunks
from astrid_resources.integrity.problems import Problem, ProblemKind, Verification
from astrid_resources.objects import ObjectStore

_GIVEN = {"observations", "quarantined_files"}
_TO_QUARANTINE = {ProblemKind.ALTERED_OBJECT, ProblemKind.WRONG_SIZE}


@dataclass(frozen=True, order=True)
class Rerun:
    """A partition of an asset whose next run makes what is damaged again; None sorts as ""."""

    night: str
    tile: str
    asset: str

    @classmethod
    def of(cls, asset: str, night: date | None, tile: str | None) -> Rerun:
        """Return the partition in its written form."""
        return cls(night.isoformat() if night else "", tile or "", asset)


@dataclass(frozen=True, order=True)
class Redelivery:
    """An object that was given to us and that no run can make again."""

    what: str
    name: str
    sha256: str
    address: str


@dataclass(frozen=True)
class Repair:
    """What a repair did, and what is left to do."""

    quarantined: tuple[str, ...]
    n_withdrawn: int
    reruns: tuple[Rerun, ...]
    redeliveries: tuple[Redelivery, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {
            "quarantined": list(self.quarantined),
            "n_withdrawn": self.n_withdrawn,
            "reruns": [
                {"asset": item.asset, "night": item.night or None, "tile": item.tile or None}
                for item in self.reruns
            ],
            "redeliveries": [vars(item) for item in self.redeliveries],
        }


def repair(database: Database, store: ObjectStore, found: Verification) -> Repair:
    """Quarantine altered objects and withdraw their products; say what must be run or delivered.

    A file that is still in the drop folder is taken again by the next ingest.
    """
    quarantined = []
    for problem in found.problems:
        if problem.kind in _TO_QUARANTINE and store.exists(problem.subject):
            quarantined.append(store.quarantine(problem.subject))
    return database.transaction(lambda session: _withdraw(session, found, tuple(quarantined)))


def pending_reruns(database: Database) -> dict[Rerun, datetime]:
    """Return the partitions of assets with withdrawn products, and when the last one was."""
    query = (
        sa.select(
            ProductRow.asset,
            ProductRow.night,
            ProductRow.tile,
            sa.func.max(ProductRow.withdrawn_at),
        )
        .where(ProductRow.withdrawn_at.is_not(None))
        .group_by(ProductRow.asset, ProductRow.night, ProductRow.tile)
    )
    with database.read() as session:
        return {
            Rerun.of(asset, night, tile): at
            for asset, night, tile, at in session.execute(query)
            if at is not None
        }


def _withdraw(session: Session, found: Verification, quarantined: tuple[str, ...]) -> Repair:
    sources = {entry for problem in found.problems for entry in problem.source_row_ids}
    rows = list(_rows(session, _recomputable(found.problems)))
    for asset in sorted({row.asset for row in rows}):
        take_lock(session, f"replace:{asset}")
    n_withdrawn = 0
    for row in rows:
        if row.withdrawn_at is None:
            n_withdrawn += 1
            row.is_current, row.withdrawn_at = False, utc_now()
    reruns = {Rerun.of(row.asset, row.night, row.tile) for row in rows}
    redeliveries = set(_redeliveries(session, sources))
    for some in chunks(sorted(item.sha256 for item in redeliveries if item.sha256)):
        session.execute(sa.delete(DeliveredFile).where(DeliveredFile.sha256.in_(some)))
    return Repair(quarantined, n_withdrawn, tuple(sorted(reruns)), tuple(sorted(redeliveries)))


def _recomputable(problems: Iterable[Problem]) -> set[uuid.UUID]:
    """Return the manifest's rows that a run makes again: not what names a file given to us."""
    return {
        row_id
        for problem in problems
        if not any(table in _GIVEN for table, _ in problem.source_row_ids)
        for row_id in problem.product_row_ids
    }


def _rows(session: Session, ids: set[uuid.UUID]) -> Iterable[ProductRow]:
    for some in chunks(sorted(ids)):
        yield from session.scalars(sa.select(ProductRow).where(ProductRow.id.in_(some)))


def _redeliveries(
    session: Session, sources: Iterable[tuple[str, uuid.UUID]]
) -> Iterable[Redelivery]:
    for table, row_id in sorted(sources, key=str):
        if table == "observations":
            row = session.get_one(Observation, row_id)
            yield Redelivery("exposure", row.file_name, row.content_sha256, row.fits_url or "")
        elif table == "quarantined_files":
            refused = session.get_one(QuarantinedFile, row_id)
            yield Redelivery("file in quarantine", refused.name, refused.sha256, "")
        else:
            yield Redelivery(table, str(row_id), "", "")
