"""Dagster: the `ingest` of delivered files, and the partition's exposures chosen from the store."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

import dagster as dg

from astrid_assets.declared import NIGHT_TILE_ASSET, OWNERS, partition_of, result
from astrid_assets.exposures.arrivals import raw_inputs
from astrid_assets.exposures.ingest import ingest_folder
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.metadata import products_metadata, table
from astrid_assets.observations import current_observations, labels_of, loaded_products
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_resources.counts import COUNTS
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Observation
from astrid_resources.products import PartitionProducts, StoredObject

RAW = StageCode("raw_exposures", "1")
SHOWN = ("filter_band", "exposure_time_s", "mjd_mid_tai", "is_resampled", "is_sky_subtracted")


@dg.asset(
    group_name="exposures",
    owners=OWNERS,
    kinds={"fits", "python"},
    code_version="1",
    tags={"stage": "ingest"},
)
def ingested_files(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    surveys: SurveysResource,
) -> dg.MaterializeResult[None]:
    """Files of the drop folder taken into the store: hashed, checked, registered or quarantined.

    It needs no night or tile; `raw_exposures` chooses from what it registered.
    """
    report = ingest_folder(
        surveys.drop_path,
        store=object_store.store,
        database=database.database,
        surveys=surveys.load(),
        log=context.log.info,
    )
    files = [asdict(entry) for entry in report.quarantined]
    metadata: dict[str, Any] = {
        **report.counts(),
        **COUNTS.take(),
        **({"quarantined_files": table(files)} if files else {}),
    }
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    **NIGHT_TILE_ASSET,
    group_name="exposures",
    kinds={"fits", "python"},
    code_version=RAW.code_version,
)
def raw_exposures(
    context: dg.AssetExecutionContext, database: DatabaseResource
) -> dg.MaterializeResult[PartitionProducts]:
    """The exposures of a night and tile, as they were ingested: chosen from the store alone."""
    partition = partition_of(context)
    opened = database.database
    observations: dict[UUID | None, Observation] = {
        row.id: row for row in current_observations(opened, partition)
    }

    def make(task: Task) -> Content:
        row = observations[task.observation_id]
        stored = StoredObject(row.raw_path, row.content_sha256, row.size_bytes or 0)
        metrics = {
            "filter_band": row.filter_band,
            "exposure_time_s": row.exposure_time,
            "mjd_mid_tai": row.mjd_mid,
            "ra_deg": row.ra,
            "dec_deg": row.dec,
            "pixel_scale_arcsec": row.pixel_scale,
            "is_resampled": row.is_resampled,
            "is_sky_subtracted": row.is_sky_subtracted,
            "is_synthetic": row.is_synthetic,
        }
        return Content(objects={"raw": stored}, metrics=metrics)

    labels = labels_of(observations.values())
    tasks = [Task(labels[row.id], raw_inputs(row), row.id) for row in observations.values()]
    existing = loaded_products(opened, RAW.asset, partition)
    products = run_stage(RAW, partition, tasks, make, existing=existing, log=context.log.info)
    return result(products, products_metadata(products, labels=labels, metrics=SHOWN))
