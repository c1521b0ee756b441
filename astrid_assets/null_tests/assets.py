"""Dagster: one exposure minus another of the same night, tile and filter; nothing may be there."""

from dataclasses import asdict, replace
from uuid import UUID

import dagster as dg
import numpy as np

from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.declared import NIGHT_TILE_ASSET, partition_of, result
from astrid_assets.difference.assets import SETTINGS as SUBTRACTION
from astrid_assets.difference.assets import settings_by_survey
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.imaging.figures import Circle, preview_png
from astrid_assets.metadata import pictures, products_metadata
from astrid_assets.null_tests.counts import CANNOT_SEE
from astrid_assets.null_tests.pair import ObservedAt, PairNull, choose_pairs, pair_null
from astrid_assets.observations import labels_of, loaded_products, observations_by_id
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import PREVIEW, image_of, previews_of
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE
from astrid_resources.products import PartitionProducts

CODE = StageCode(
    "null_pairs",
    "1",
    {"subtraction": asdict(SUBTRACTION), "candidates": asdict(CandidateSettings())},
)
SHOWN = (
    "score_median",
    "score_std",
    "n_positive",
    "n_negative",
    "n_positive_passed",
    "n_negative_passed",
    "n_expected",
    "poisson_chance",
    "area_mpix",
)


@dg.asset(
    **NIGHT_TILE_ASSET,
    group_name="candidates",
    kinds={"python"},
    code_version=CODE.code_version,
)
def null_pairs(
    context: dg.AssetExecutionContext,
    calibrated_exposures: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    surveys: SurveysResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """One exposure minus another of this night, for each filter: a null test of the subtraction.

    By the algorithm that makes the survey's differences. Peaks of either sign are counted against
    Gaussian noise. Nothing later depends on it.
    """
    partition, opened, store = partition_of(context), database.database, object_store.store
    product_of = {p.observation_id: p for p in calibrated_exposures.passed}
    rows = observations_by_id(opened, list(product_of))
    labels = labels_of(rows.values())
    seen = [
        ObservedAt(row.id, str(row.survey_id), row.filter_band, row.detector or "", row.mjd_mid)
        for row in rows.values()
    ]
    pairs: dict[UUID | None, UUID] = dict(choose_pairs(seen))
    settings = {
        survey: replace(chosen, compare_with=None)
        for survey, chosen in settings_by_survey(opened, surveys.load()).items()
    }

    def make(task: Task) -> Content:
        earlier = product_of[pairs[task.observation_id]]
        science = image_of(store, product_of[task.observation_id])
        null = pair_null(
            science,
            image_of(store, earlier),
            rng=np.random.default_rng(int(CODE.product_id(task)[:16], 16)),
            subtraction_settings=settings[rows[task.observation_id].survey_id],
        )
        picture = store.put_bytes(_preview(null, science, title=task.label))
        return Content(
            objects={PREVIEW: picture},
            metrics={**null.metrics, "is_resampled": science.meta.is_resampled},
        )

    tasks = [
        Task(
            f"{labels[later]} - {labels[earlier]}",
            (product_of[later].product_id, product_of[earlier].product_id),
            later,
            {**CODE.parameters, "subtraction": asdict(settings[rows[later].survey_id])},
        )
        for later, earlier in pairs.items()
    ]
    existing = loaded_products(opened, CODE.asset, partition, is_stored=store.exists)
    products = run_stage(CODE, partition, tasks, make, existing=existing, log=context.log.info)
    named = {task.observation_id: task.label for task in tasks}
    metadata = products_metadata(products, labels=named, metrics=SHOWN)
    previews = pictures(previews_of(store, products, labels=named))
    return result(products, {**metadata, "what_it_cannot_see": CANNOT_SEE, **previews})


def _preview(null: PairNull, science: Image, *, title: str) -> bytes:
    difference = null.subtraction.difference
    return preview_png(
        science.data,
        null.subtraction.reference_on_science.data,
        difference.image.data,
        difference.score_corrected,
        circles=[
            Circle(one.pixel_x, one.pixel_y, "accepted" if one.is_accepted else "rejected")
            for one in null.candidates
        ],
        title=title,
        unusable=has_any(difference.image.mask, *UNUSABLE),
    )
