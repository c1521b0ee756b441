"""Dagster: difference images of a night and tile against the promoted reference."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from uuid import UUID

import dagster as dg
import sqlalchemy as sa

from astrid_assets.declared import NIGHT_TILE_ASSET, partition_of, result
from astrid_assets.difference.choose_reference import choose_reference
from astrid_assets.difference.rows import UsedReference, completed_row, outcome_row
from astrid_assets.difference.stored import store_subtraction
from astrid_assets.difference.subtract import SubtractionSettings, subtract
from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.metadata import products_metadata
from astrid_assets.observations import labels_of, loaded_products, observations_by_id
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import image_at, image_of
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Database, Survey
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.products import PartitionProducts

SETTINGS = SubtractionSettings()
CODE = StageCode("difference_images", "8", asdict(SETTINGS))
SHOWN = (
    "score_median",
    "score_std",
    "noise_scale_factor",
    "flux_ratio",
    "shift_x_pix",
    "shift_y_pix",
    "n_stars",
    "residual_power_ratio",
    "coverage_fraction",
    "limiting_flux_5sigma",
    "wcs_correction_arcsec",
    "score_disagreement",
)


@dg.asset(
    **NIGHT_TILE_ASSET,
    deps=["current_reference"],
    group_name="difference",
    kinds={"fits", "python"},
    code_version=CODE.code_version,
)
def difference_images(
    context: dg.AssetExecutionContext,
    calibrated_exposures: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    surveys: SurveysResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Difference, score in sigmas and PSF flux of each exposure, on its own grid.

    By ZOGY, or what the survey's declaration names. Without a reference that the night may use the
    exposure is recorded as *no work*.
    """
    partition, opened, store = partition_of(context), database.database, object_store.store
    science_of = {p.product_id: p for p in calibrated_exposures.passed}
    rows = observations_by_id(opened, [p.observation_id for p in science_of.values()])
    labels = labels_of(rows.values())
    declared = surveys.load()
    settings = settings_by_survey(opened, declared)
    references: dict[UUID | None, UsedReference | NoWork] = {}
    for identity, observation in rows.items():
        try:
            references[identity] = choose_reference(
                opened, observation, declared, is_stored=store.exists
            )
        except NoWork as outcome:
            references[identity] = outcome

    def make(task: Task) -> Content:
        reference = references[task.observation_id]
        if isinstance(reference, NoWork):
            raise reference
        science = image_of(store, science_of[task.inputs[0]])
        chosen = settings[rows[task.observation_id].survey_id]
        subtraction = subtract(science, image_at(store, reference.key), settings=chosen)
        objects = store_subtraction(store, subtraction)
        row = completed_row(
            rows[task.observation_id].id,
            reference,
            subtraction,
            objects["difference"],
            product_id=CODE.product_id(task),
            parameters=asdict(chosen),
        )
        return Content(
            objects=objects,
            metrics={**asdict(subtraction.metrics), "is_resampled": science.meta.is_resampled},
            rows={"difference_runs": (row,)},
            failures=subtraction.quality.reasons if not subtraction.quality.is_passed else (),
        )

    def on_outcome(task: Task, outcome: KnownFailure | NoWork) -> Content:
        reference = references[task.observation_id]
        row = outcome_row(
            rows[task.observation_id].id,
            None if isinstance(reference, NoWork) else reference,
            outcome,
            product_id=CODE.product_id(task),
            parameters=task.parameters or CODE.parameters,
        )
        return Content(rows={"difference_runs": (row,)})

    tasks = []
    for product in science_of.values():
        reference = references[product.observation_id]
        used = () if isinstance(reference, NoWork) else (reference.sha256,)
        label = labels[product.observation_id]
        chosen = asdict(settings[rows[product.observation_id].survey_id])
        tasks.append(Task(label, (product.product_id, *used), product.observation_id, chosen))
    products = run_stage(
        CODE,
        partition,
        tasks,
        make,
        existing=loaded_products(opened, CODE.asset, partition, is_stored=store.exists),
        log=context.log.info,
        on_outcome=on_outcome,
    )
    return result(products, products_metadata(products, labels=labels, metrics=SHOWN))


def settings_by_survey(
    database: Database, declared: Mapping[str, SurveyConfig]
) -> dict[UUID, SubtractionSettings]:
    """Return the settings of every survey that has exposures, by its row id."""
    with database.read() as session:
        names = session.execute(sa.select(Survey.id, Survey.name)).all()
    return {
        identity: replace(SETTINGS, **declared[name].difference.model_dump())
        if name in declared
        else SETTINGS
        for identity, name in names
    }
