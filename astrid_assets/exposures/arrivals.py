"""What has arrived and is not taken up: files that wait, nights and tiles that changed."""

from __future__ import annotations

from datetime import datetime

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
    return str(observation.id), sha256_json(observation.facts)


def arrived_partitions(
    database: Database, *, since: datetime | None
) -> dict[PartitionId, PartitionState]:
    """Return the partitions whose current exposures differ from those last taken up.

    since: look only at observations that changed from then on (None: at all of them). The
    partition that a changed exposure left is among them.
    """
    with database.read() as session:
        touched = _touched(session, since)
        states = {key: _state(session, key) for key in sorted(touched)}
        taken = {key: _taken_up(session, key) for key in states}
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


def _state(session: Session, key: PartitionId) -> PartitionState:
    here = session.scalars(
        sa.select(Observation).where(Observation.night == key[0], Observation.tile == key[1])
    ).all()
    current = [row for row in here if row.is_current]
    changed_at = max((row.updated_at for row in here), default=_EPOCH)
    committed_at = session.scalar(
        sa.select(sa.func.max(ProductRow.updated_at)).where(
            ProductRow.asset == _RAW, ProductRow.night == key[0], ProductRow.tile == key[1]
        )
    )
    return PartitionState(frozenset(raw_inputs(row) for row in current), changed_at, committed_at)


def _taken_up(session: Session, key: PartitionId) -> set[tuple[str, str]]:
    query = (
        sa.select(ProductRow.observation_id, ProductInput.input_product_id)
        .join(ProductRow, ProductRow.id == ProductInput.product_row_id)
        .where(
            ProductRow.asset == _RAW,
            ProductRow.is_current,
            ProductRow.night == key[0],
            ProductRow.tile == key[1],
        )
    )
    return {(str(identity), text) for identity, text in session.execute(query)}
