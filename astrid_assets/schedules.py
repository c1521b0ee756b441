"""Dagster: what happens by the clock."""

from collections.abc import Iterator

import dagster as dg

from astrid_assets.jobs import ingest, tile_references, train_classifier
from astrid_assets.partitions import TILE

nightly_ingest = dg.ScheduleDefinition(
    name="nightly_ingest",
    job=ingest,
    cron_schedule="0 18 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="A look at the whole drop folder once a day, whatever the sensor saw.",
)


@dg.schedule(
    job=tile_references,
    cron_schedule="0 19 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Candidates for the references of every observed tile, once a week.",
)
def reference_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """One run per observed tile; a tile whose inputs did not change makes nothing new."""
    when = context.scheduled_execution_time.date().isoformat()
    for tile in context.instance.get_dynamic_partitions(TILE):
        yield dg.RunRequest(run_key=f"{tile}|{when}", partition_key=tile)


weekly_training = dg.ScheduleDefinition(
    name="weekly_training",
    job=train_classifier,
    cron_schedule="0 20 * * 6",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="A challenger for the classifier, with what people labelled since; where no label "
    "and no setting changed, nothing is made again. Off until somebody turns it on: a training "
    "takes hours of two cores.",
)

SCHEDULES = (nightly_ingest, reference_refresh, weekly_training)
