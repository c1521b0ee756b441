"""What has arrived and is not taken up: files that wait, nights and tiles that changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.exposures.sensors_logic import PartitionId, PartitionState
from astrid_resources.database import (
    DeliveredFile,
    DeliveryOutcome,
    Observation,
    ProductInput,
    ProductRow,
)
from astrid_resources.database.connection import Database
from astrid_resources.database.rows import chunks
from astrid_resources.identity import sha256_json

_RAW = "raw_exposures"
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def raw_inputs(observation: Observation) -> tuple[str, str]:
    """Return what identifies an exposure as input: its row id and the hash of its facts.

    The facts are what header, sidecar and survey declaration made together: a gain declared anew
    is another input, although not a byte of the file changed.
    """
    return _inputs(observation.id, observation.facts)


def _inputs(identity: UUID, facts: Any) -> tuple[str, str]:
    return str(identity), sha256_json(facts)


def arrived_partitions(
    database: Database, *, since: datetime | None
) -> dict[PartitionId, PartitionState]:
    """Return the partitions whose current exposures differ from those last taken up.

    since: look only at observations that changed from then on (None: at all of them). The
    partition that a changed exposure left is among them.
    """
    with database.read() as session:
        touched = sorted(_touched(session, since))
        states: dict[PartitionId, PartitionState] = {}
        taken: dict[PartitionId, set[tuple[str, str]]] = {}
        if touched:
            states = _states(session, touched)
            taken = _taken_up(session, touched)
    return {
        key: state
        for key, state in states.items()
        if {(one[0], part) for one in state.exposures for part in one} != taken[key]
    }


def waiting_files(database: Database, folder: str) -> list[str]:
    """Return the names of the files of a drop folder that the last look left for the next one."""
    query = (
        sa.select(DeliveredFile.name)
        .where(DeliveredFile.folder == folder, DeliveredFile.outcome == DeliveryOutcome.WAITING)
        .order_by(DeliveredFile.name)
    )
    with database.read() as session:
        return list(session.scalars(query))


def _touched(session: Session, since: datetime | None) -> set[PartitionId]:
    changed = sa.select(Observation.id, Observation.night, Observation.tile)
    if since is not None:
        changed = changed.where(Observation.updated_at >= since)
    found: set[PartitionId] = set()
    ids = []
    for identity, night, tile in session.execute(changed):
        found.add((night, tile))
        ids.append(identity)
    for some in chunks(ids):
        query = sa.select(ProductRow.night, ProductRow.tile).where(
            ProductRow.asset == _RAW, ProductRow.is_current, ProductRow.observation_id.in_(some)
        )
        found |= {
            (night, tile)
            for night, tile in session.execute(query)
            if night is not None and tile is not None
        }
    return found


def _states(session: Session, keys: Sequence[PartitionId]) -> dict[PartitionId, PartitionState]:
    exposures: dict[PartitionId, set[tuple[str, str]]] = {key: set() for key in keys}
    changed_at = dict.fromkeys(keys, _EPOCH)
    columns = (Observation.id, Observation.facts, Observation.is_current, Observation.updated_at)
    query = sa.select(Observation.night, Observation.tile, *columns).where(
        _around(Observation, keys)
    )
    for row in session.execute(query):
        key = (row.night, row.tile)
        if key not in exposures:
            continue
        changed_at[key] = max(changed_at[key], row.updated_at)
        if row.is_current:
            exposures[key].add(_inputs(row.id, row.facts))
    commits = (
        sa.select(ProductRow.night, ProductRow.tile, sa.func.max(ProductRow.updated_at))
        .where(ProductRow.asset == _RAW, _around(ProductRow, keys))
        .group_by(ProductRow.night, ProductRow.tile)
    )
    committed_at = {(night, tile): at for night, tile, at in session.execute(commits)}
    return {
        key: PartitionState(frozenset(exposures[key]), changed_at[key], committed_at.get(key))
        for key in keys
    }


def _taken_up(
    session: Session, keys: Sequence[PartitionId]
) -> dict[PartitionId, set[tuple[str, str]]]:
    query = (
        sa.select(
            ProductRow.night,
            ProductRow.tile,
            ProductRow.observation_id,
            ProductInput.input_product_id,
        )
        .join(ProductRow, ProductRow.id == ProductInput.product_row_id)
        .where(ProductRow.asset == _RAW, ProductRow.is_current, _around(ProductRow, keys))
    )
    taken: dict[PartitionId, set[tuple[str, str]]] = {key: set() for key in keys}
    for night, tile, identity, text in session.execute(query):
        if night is not None and tile is not None and (night, tile) in taken:
            taken[night, tile].add((str(identity), text))
    return taken


def _around(
    table: type[Observation] | type[ProductRow], keys: Sequence[PartitionId]
) -> sa.ColumnElement[bool]:
    """Return the condition of rows of these nights and tiles, and of few others besides.

    Databases try a list of pairs on every row, and SQLAlchemy spells out each.
    """
    nights = [night for night, _ in keys]
    tiles = sorted({tile for _, tile in keys})
    return sa.and_(table.tile.in_(tiles), table.night.between(min(nights), max(nights)))
