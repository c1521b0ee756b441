"""Dagster: new files start an ingest, new exposures the run of their night and tile."""

from datetime import UTC, datetime

import dagster as dg

from astrid_assets.exposures.arrivals import arrived_partitions
from astrid_assets.exposures.folder import snapshot_folder
from astrid_assets.exposures.ingest import IngestSettings
from astrid_assets.exposures.sensors_logic import chain_tick, folder_tick, high_water
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.jobs import ingest, night_chain
from astrid_assets.partitions import FIRST_NIGHT, TILE, TILES, partition_key
from astrid_assets.reported import NO_SCHEMA
from astrid_resources.dagster_resources import DatabaseResource
from astrid_resources.identity import sha256_json
from astrid_resources.settings import Settings

INTERVAL_S = 30
LOOK_BACK_S = 3600.0
PIPELINE_VERSION = "1"
"""Part of every run key: raised when the same exposures must be run again by newer code."""


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at names, sizes and times in the drop folder, never at the bytes; starts an "
    "ingest once new files have settled.",
)
def delivered_files(
    context: dg.SensorEvaluationContext, surveys: SurveysResource
) -> dg.SensorResult | dg.SkipReason:
    """One ingest run per state of the drop folder."""
    declared = {name: survey.declaration for name, survey in surveys.load().items()}
    tick = folder_tick(
        snapshot_folder(surveys.drop_path),
        context.cursor,
        now=datetime.now(UTC),
        quiet_period_s=IngestSettings().quiet_period_s,
        rules=sha256_json(declared),
    )
    if tick.run_key is None:
        context.update_cursor(tick.cursor)
        return dg.SkipReason(tick.reason)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=tick.run_key)], cursor=tick.cursor)


@dg.sensor(
    job=night_chain,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads which nights and tiles gained, lost or changed an exposure; after a quiet "
    "period it adds new tiles and runs the chain of each.",
)
def new_observations(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """One run per night and tile whose exposures are not those last taken up."""
    opened = database.database
    if not opened.is_current_schema():
        return NO_SCHEMA
    tick = chain_tick(
        arrived_partitions(opened, since=high_water(context.cursor, look_back_s=LOOK_BACK_S)),
        context.cursor,
        known_tiles=set(context.instance.get_dynamic_partitions(TILE)),
        now=datetime.now(UTC),
        quiet_period_s=Settings().quiet_period_s,
        pipeline_version=PIPELINE_VERSION,
        first_night=FIRST_NIGHT,
    )
    if tick.before_calendar:
        nights = ", ".join(night.isoformat() for night in tick.before_calendar[:10])
        context.log.warning(
            f"{len(tick.before_calendar)} nights before {FIRST_NIGHT}, where the calendar begins, "
            f"cannot be run ({nights}): set ASTRID_FIRST_NIGHT"
        )
    if not tick.requests:
        context.update_cursor(tick.cursor)
        return dg.SkipReason(tick.reason)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=item.run_key, partition_key=partition_key(item.night, item.tile))
            for item in tick.requests
        ],
        dynamic_partitions_requests=[TILES.build_add_request(list(tick.new_tiles))]
        if tick.new_tiles
        else [],
        cursor=tick.cursor,
    )
