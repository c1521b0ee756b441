"""Dagster: promotion of references, told to Dagster, and the nights that waited for it."""

from collections.abc import Iterable

import dagster as dg

from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.jobs import night_chain, tile_references
from astrid_assets.partitions import TILE, TILES, is_in_calendar, partition_key
from astrid_assets.reference.due import due_references
from astrid_assets.reference.promotion import TileReferences, promote, waiting_partitions
from astrid_assets.reported import NO_SCHEMA, observation, reported_version
from astrid_resources.dagster_resources import DatabaseResource

INTERVAL_S = 60
CHAIN_VERSION = "1"
"""Part of every run key: raised when waiting nights must be run again by newer code."""


def new_observations_of_references(
    instance: dg.DagsterInstance, promoted: Iterable[TileReferences]
) -> list[dg.AssetObservation]:
    """Return the observations that tell Dagster what it has not been told yet."""
    return [
        observation(
            "current_reference",
            entry.data_version,
            partition=entry.tile,
            description="; ".join(entry.summary),
        )
        for entry in promoted
        if reported_version(instance, "current_reference", partition=entry.tile)
        != entry.data_version
    ]


@dg.sensor(
    job=night_chain,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Promotes the newest passing reference of each tile, reports it as an observation "
    "of `current_reference`, and runs the nights whose differences were not made with it.",
)
def promoted_references(
    context: dg.SensorEvaluationContext, database: DatabaseResource, surveys: SurveysResource
) -> dg.SensorResult | dg.SkipReason:
    """One run per night and tile whose recorded reference differs from the promoted one."""
    opened = database.database
    if not opened.is_current_schema():
        return NO_SCHEMA
    observations = new_observations_of_references(context.instance, promote(opened))
    requests = [
        dg.RunRequest(
            run_key=f"{night}|{tile}|{version}|{CHAIN_VERSION}",
            partition_key=partition_key(night, tile),
        )
        for (night, tile), version in waiting_partitions(opened, surveys.load()).items()
        if is_in_calendar(night)
    ]
    if not observations and not requests:
        return dg.SkipReason("no reference was promoted and no night waits for one")
    return dg.SensorResult(run_requests=requests, asset_events=observations)


@dg.sensor(
    job=tile_references,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the first reference of a tile as soon as the survey's rule finds enough "
    "calibrated exposures; later versions follow the weekly refresh.",
)
def missing_references(
    context: dg.SensorEvaluationContext, database: DatabaseResource, surveys: SurveysResource
) -> dg.SensorResult | dg.SkipReason:
    """One run per tile and set of inputs, while the tile has no reference of that filter."""
    opened = database.database
    if not opened.is_current_schema():
        return NO_SCHEMA
    due = due_references(opened, surveys.load())
    if not due:
        return dg.SkipReason("no tile waits for its first reference")
    known = set(context.instance.get_dynamic_partitions(TILE))
    new = sorted(set(due) - known)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{tile}|{digest}|{CHAIN_VERSION}", partition_key=tile)
            for tile, digest in due.items()
        ],
        dynamic_partitions_requests=[TILES.build_add_request(new)] if new else [],
    )
