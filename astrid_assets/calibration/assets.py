"""Dagster: calibrated exposures of a night and tile."""

from dataclasses import asdict

import dagster as dg

from astrid_assets.calibration.calibrate import DEFAULTS, calibrate
from astrid_assets.calibration.rows import completed_row, failed_row
from astrid_assets.declared import NIGHT_TILE_ASSET, partition_of, result
from astrid_assets.exposures.load import load_raw
from astrid_assets.imaging.figures import stamp_png
from astrid_assets.metadata import pictures, products_metadata
from astrid_assets.observations import labels_of, loaded_products, observations_by_id
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import PREVIEW, previews_of, store_image
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.products import PartitionProducts

CODE = StageCode("calibrated_exposures", "5", asdict(DEFAULTS))
SHOWN = (
    "grade",
    "seeing_arcsec",
    "psf_fwhm_pix",
    "n_psf_stars",
    "sky_sigma_adu",
    "flux_limit_5sigma_adu",
    "zero_point_ab_mag",
    "masked_fraction",
    "blank_std",
    "flux_scale_ratio",
    "flux_scale_error",
)


@dg.asset(
    **NIGHT_TILE_ASSET,
    group_name="calibration",
    kinds={"fits", "python"},
    code_version=CODE.code_version,
)
def calibrated_exposures(
    context: dg.AssetExecutionContext,
    raw_exposures: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Data, variance, mask, PSF, WCS and depth of each exposure, with its grade and reasons.

    Fluxes are ADU of the exposure; where no zero point is known, that is what they stay.
    """
    partition, opened, store = partition_of(context), database.database, object_store.store
    rows = observations_by_id(opened, [p.observation_id for p in raw_exposures.passed])
    labels = labels_of(rows.values())
    raw_of = {product.product_id: product for product in raw_exposures.passed}

    def make(task: Task) -> Content:
        observation = rows[task.observation_id]
        with store.fetch(raw_of[task.inputs[0]].objects["raw"].key) as path:
            calibration = calibrate(load_raw(observation, path), settings=DEFAULTS)
        stored = store_image(store, calibration.image)
        preview = stamp_png(calibration.image.data, "science", size_px=360)
        return Content(
            objects={"image": stored, PREVIEW: store.put_bytes(preview)},
            metrics={
                **asdict(calibration.metrics),
                "grade": calibration.grade.value,
                "is_resampled": calibration.image.meta.is_resampled,
            },
            rows={"preprocess_runs": (completed_row(observation.id, calibration, stored),)},
            failures=() if calibration.passed else calibration.reasons,
        )

    products = run_stage(
        CODE,
        partition,
        [
            Task(labels[p.observation_id], (p.product_id,), p.observation_id)
            for p in raw_exposures.passed
        ],
        make,
        existing=loaded_products(opened, CODE.asset, partition, is_stored=store.exists),
        log=context.log.info,
        on_outcome=lambda task, outcome: Content(
            rows={"preprocess_runs": (failed_row(rows[task.observation_id].id, outcome),)}
        ),
    )
    metadata = products_metadata(products, labels=labels, metrics=SHOWN)
    return result(products, {**metadata, **pictures(previews_of(store, products, labels=labels))})
