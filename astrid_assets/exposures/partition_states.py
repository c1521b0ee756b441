"""Which nights and tiles changed, read from the database for the sensor that requests runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa

from astrid_assets.exposures.sensors_logic import PartitionId, PartitionState
from astrid_resources.database import Database, Observation, ProductRow

FIRST_STAGE = "raw_exposures"


def partition_states(
    database: Database, *, since: datetime | None = None
) -> dict[PartitionId, PartitionState]:
    """Return every night and tile in which an exposure came, changed or left since `since`.

    An exposure left a partition where the partition's current product of the first stage was made
    of it and it is now elsewhere, or superseded. None for `since` returns all.
    """
    changed: dict[PartitionId, datetime] = {}
    recent = sa.true() if since is None else Observation.updated_at > since

    def note(night: object, tile: object, at: datetime) -> None:
        key: PartitionId = (night, tile)  # type: ignore[assignment]
        changed[key] = max(at, changed.get(key, at))

    with database.read() as session:
        here = sa.select(Observation.night, Observation.tile, Observation.updated_at).where(recent)
        for night, tile, at in session.execute(here):
            note(night, tile, at)
        left = (
            sa.select(ProductRow.night, ProductRow.tile, Observation.updated_at)
            .join(Observation, Observation.id == ProductRow.observation_id)
            .where(
                ProductRow.asset == FIRST_STAGE,
                ProductRow.is_current,
                sa.or_(
                    ProductRow.night != Observation.night,
                    ProductRow.tile != Observation.tile,
                    Observation.is_current.is_(False),
                ),
                recent,
            )
        )
        for night, tile, at in session.execute(left):
            note(night, tile, at)
        members: dict[PartitionId, set[tuple[str, str]]] = defaultdict(set)
        present = sa.select(
            Observation.night, Observation.tile, Observation.id, Observation.override_sha256
        ).where(
            Observation.is_current,
            sa.tuple_(Observation.night, Observation.tile).in_(list(changed)),
        )
        for night, tile, identity, override in session.execute(present) if changed else ():
            members[night, tile].add((str(identity), override or ""))
    return {key: PartitionState(frozenset(members[key]), at) for key, at in changed.items()}
