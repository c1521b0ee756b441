"""What sensors tell Dagster: data versions of external assets, and why they cannot ask yet."""

from __future__ import annotations

import dagster as dg

DATA_VERSION_TAG = "dagster/data_version"
NO_SCHEMA = dg.SkipReason("the database has no schema yet: run `astrid upgrade`")
"""What a sensor answers before the database was made or while it is older than the code."""


def observation(
    asset: str, data_version: str, *, description: str, partition: str | None = None
) -> dg.AssetObservation:
    """Return the observation that tells Dagster an external asset's data version."""
    return dg.AssetObservation(
        asset,
        partition=partition,
        description=description,
        tags={DATA_VERSION_TAG: data_version},
    )


def reported_version(
    instance: dg.DagsterInstance, asset: str, *, partition: str | None = None
) -> str | None:
    """Return the data version of the newest observation of an external asset, None without one."""
    records = instance.fetch_observations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(asset),
            asset_partitions=[partition] if partition is not None else None,
        ),
        limit=1,
    ).records
    if not records or records[0].asset_observation is None:
        return None
    return records[0].asset_observation.tags.get(DATA_VERSION_TAG)
