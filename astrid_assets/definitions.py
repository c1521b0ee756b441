"""The only place where everything meets: what Dagster loads."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from astrid_assets.calibration.assets import calibrated_exposures
from astrid_assets.candidates.assets import candidates
from astrid_assets.catalog.assets import transients
from astrid_assets.checks import build_checks
from astrid_assets.detections.assets import champion_model_spec, detections, injection_recovery
from astrid_assets.detections.sensors import champion_in_use
from astrid_assets.difference.assets import difference_images
from astrid_assets.exposures.assets import ingested_files, raw_exposures
from astrid_assets.exposures.sensors import delivered_files, new_observations
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.jobs import JOBS
from astrid_assets.null_tests.assets import null_pairs
from astrid_assets.reference.assets import current_reference_spec, reference_images
from astrid_assets.reference.sensors import missing_references, promoted_references
from astrid_assets.repeats import REPEATS
from astrid_assets.schedules import SCHEDULES
from astrid_assets.training.assets import (
    model_evaluation,
    model_promotion,
    training_set,
    unet_model,
)
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.io_managers import ProductsIOManager
from astrid_resources.model_registry import MLflowTracking


def default_resources() -> dict[str, Any]:
    """Return the resources by key, all from the settings of this installation."""
    database, object_store = DatabaseResource(), ObjectStoreResource()
    return {
        "database": database,
        "object_store": object_store,
        "surveys": SurveysResource(),
        "mlflow": MLflowTracking(),
        "products_io": ProductsIOManager(database=database, objects=object_store),
    }


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return the definitions; `resource_overrides` replaces resources by key (the tests' seam)."""
    return dg.Definitions(
        assets=[
            ingested_files,
            raw_exposures,
            calibrated_exposures,
            reference_images,
            current_reference_spec,
            difference_images,
            candidates,
            null_pairs,
            champion_model_spec,
            detections,
            injection_recovery,
            transients,
            training_set,
            unet_model,
            model_evaluation,
            model_promotion,
        ],
        asset_checks=build_checks(),
        jobs=JOBS,
        sensors=[
            delivered_files,
            new_observations,
            missing_references,
            promoted_references,
            champion_in_use,
            *REPEATS,
        ],
        schedules=SCHEDULES,
        resources={**default_resources(), **(resource_overrides or {})},
        executor=dg.in_process_executor,
    )


defs = build_defs()
