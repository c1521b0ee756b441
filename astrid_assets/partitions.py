"""Night x tile: the partitions of every asset of the night chain.

The tile is a scheduling key, never the sky coverage; keys are added for observed tiles only.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg

from astrid_assets.exposures.tiles import checked_tile
from astrid_resources.settings import Settings

NIGHT = "night"
TILE = "tile"

TILES = dg.DynamicPartitionsDefinition(name=TILE)
"""The tiles observed so far."""


def night_tile_partitions(first_night: date) -> dg.MultiPartitionsDefinition:
    """Return night x tile, daily from `first_night` up to and including today's night."""
    nights = dg.DailyPartitionsDefinition(start_date=first_night.isoformat(), end_offset=1)
    return dg.MultiPartitionsDefinition({NIGHT: nights, TILE: TILES})


FIRST_NIGHT = Settings().first_night
NIGHT_TILE = night_tile_partitions(FIRST_NIGHT)
"""The partitions of this installation; the first night is a setting."""


def is_in_calendar(night: date) -> bool:
    """Return whether a night has a partition by now."""
    return FIRST_NIGHT <= night <= datetime.now(UTC).date()


def partition_key(night: date, tile: str) -> dg.MultiPartitionKey:
    """Return the key of a night and a tile; RejectedFile for a name that no tile may have."""
    return dg.MultiPartitionKey({NIGHT: night.isoformat(), TILE: checked_tile(tile)})


def split_key(key: str) -> tuple[date, str]:
    """Return (night, tile) of a partition key of `NIGHT_TILE`.

    Raises ValueError for any other text.
    """
    if isinstance(key, dg.MultiPartitionKey):
        parts = key.keys_by_dimension
        return date.fromisoformat(parts[NIGHT]), parts[TILE]
    night, separator, tile = key.partition("|")
    if not separator or not tile:
        raise ValueError(f"a partition key reads NIGHT|TILE, got {key!r}")
    return date.fromisoformat(night), tile
