"""Dagster: which model is in use, told as an observation of `champion_model`."""

import dagster as dg

from astrid_assets.detections.model_in_use import active_model
from astrid_assets.reported import NO_SCHEMA, observation, reported_version
from astrid_resources.dagster_resources import DatabaseResource
from astrid_resources.database.connection import Database

INTERVAL_S = 300


def new_observations_of_champion(
    instance: dg.DagsterInstance, database: Database
) -> list[dg.AssetObservation]:
    """Return the observation that tells Dagster which model scores, if it does not know yet."""
    model = active_model(database)
    if reported_version(instance, "champion_model") == model.content_sha256:
        return []
    described = f"{model.name} {model.version}"
    return [observation("champion_model", model.content_sha256, description=described)]


@dg.sensor(
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports the model in use as an observation of `champion_model`, so that what "
    "another model scored is seen to be stale.",
)
def champion_in_use(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """One observation per model that came into use; it starts no run."""
    opened = database.database
    if not opened.is_current_schema():
        return NO_SCHEMA
    observations = new_observations_of_champion(context.instance, opened)
    if not observations:
        return dg.SkipReason("the model in use is known")
    return dg.SensorResult(asset_events=observations)
