"""Dagster: scored candidates of a night and tile, and the completeness of this very partition."""

import io
import time
from dataclasses import asdict

import dagster as dg
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.declared import NIGHT_TILE_ASSET, OWNERS, partition_of, result
from astrid_assets.detections.completeness import bins_of
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.model_in_use import model_in_use
from astrid_assets.detections.pooled import pooled_completeness
from astrid_assets.detections.recovery import RecoverySettings, recover
from astrid_assets.detections.recovery_figures import (
    completeness_failures,
    completeness_table,
    pooled_png,
    recovery_metrics,
    recovery_png,
)
from astrid_assets.detections.rows import detection_rows, model_run_row
from astrid_assets.detections.scoring import score
from astrid_assets.difference.stored import stored_subtraction
from astrid_assets.difference.subtract import SubtractionSettings
from astrid_assets.limits import INJECTED_COMPLETENESS
from astrid_assets.metadata import pictures, products_metadata, table
from astrid_assets.observations import labels_of, loaded_products, observations_by_id
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import PREVIEW, difference_of, image_of, previews_of
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database.connection import Database
from astrid_resources.images.fits_form import array_hdu, write_hdus
from astrid_resources.objects import ObjectStore
from astrid_resources.products import PartitionProducts, StoredObject

CODE = StageCode("detections", "1")
RECOVERY = StageCode(
    "injection_recovery",
    "2",
    {
        "recovery": asdict(RecoverySettings()),
        "subtraction": asdict(SubtractionSettings()),
        "candidates": asdict(CandidateSettings()),
        "completeness_deficit_sigma_min": INJECTED_COMPLETENESS.low,
    },
)
SHOWN = ("n_scored", "n_accepted", "best_probability")
RECOVERY_SHOWN = (
    "n_injected",
    "n_expected",
    "n_found",
    "completeness",
    "completeness_low",
    "completeness_high",
    "completeness_deficit_sigma",
)

champion_model_spec = dg.AssetSpec(
    "champion_model",
    group_name="training",
    owners=OWNERS,
    kinds={"onnx"},
    description="The model in use: the active row of `models`. Its data version, the sha256 of "
    "the file that scores, is reported as an observation.",
)


@dg.asset(
    **NIGHT_TILE_ASSET,
    deps=["champion_model"],
    group_name="detections",
    kinds={"python", "onnx"},
    code_version=CODE.code_version,
)
def detections(
    context: dg.AssetExecutionContext,
    calibrated_exposures: PartitionProducts,
    difference_images: PartitionProducts,
    candidates: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Candidates that no rule rejected, scored by the champion: probability, trail and mask."""
    partition, opened, store = partition_of(context), database.database, object_store.store
    model = model_in_use(opened, store)
    candidates_by_id = {p.product_id: p for p in candidates.passed}
    rows = observations_by_id(opened, [p.observation_id for p in candidates.passed])
    labels = labels_of(rows.values())

    def make(task: Task) -> Content:
        observation = rows[task.observation_id]
        found = candidates_by_id[task.inputs[0]].rows.get("candidates", ())
        kept = [row for row in found if row["rejection_rule"] is None]
        product = difference_images.of_observation(observation.id)
        cutouts = candidate_cutouts(
            difference_of(store, product),
            image_of(store, calibrated_exposures.of_observation(observation.id)),
            image_of(store, product, "reference_on_science"),
            x=np.array([row["pixel_x"] for row in kept], float),
            y=np.array([row["pixel_y"] for row in kept], float),
            is_negative=np.array([row["is_negative"] for row in kept], bool),
            settings=model.champion.cutouts,
        )
        start = time.perf_counter()
        scores = score(model.champion, cutouts)
        milliseconds = 1e3 * (time.perf_counter() - start)
        masks = _store_masks(store, scores.masks) if kept else None
        (difference_run,) = product.rows["difference_runs"]
        run = model_run_row(
            model,
            scores,
            observation_id=observation.id,
            difference_run_id=difference_run["id"],
            input_path=product.objects["difference"].key,
            masks=masks,
            inference_time_ms=milliseconds,
        )
        scored = detection_rows(model.champion, scores, kept, model_run_id=run["id"])
        best = float(scores.probability.max()) if kept else None
        return Content(
            objects={"masks": masks} if masks else {},
            metrics={
                "n_scored": len(kept),
                "n_accepted": int(scores.is_accepted.sum()),
                "best_probability": best,
                "threshold": model.champion.threshold,
            },
            rows={"model_runs": (run,), "detections": scored},
        )

    decider = model.champion.decision_sha256
    tasks = [
        Task(labels[p.observation_id], (p.product_id, decider), p.observation_id)
        for p in candidates.passed
    ]
    existing = loaded_products(opened, CODE.asset, partition, is_stored=store.exists)
    products = run_stage(CODE, partition, tasks, make, existing=existing, log=context.log.info)
    metadata = products_metadata(products, labels=labels, metrics=SHOWN)
    named = f"{model.champion.name} {model.champion.version} ({model.champion.sha256[:12]})"
    return result(products, {**metadata, "model": named})


@dg.asset(
    **NIGHT_TILE_ASSET,
    deps=["champion_model"],
    group_name="detections",
    kinds={"python"},
    code_version=RECOVERY.code_version,
)
def injection_recovery(
    context: dg.AssetExecutionContext,
    calibrated_exposures: PartitionProducts,
    difference_images: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Completeness of this partition: point sources injected into its images, found and scored.

    Nothing injected reaches the catalog, and nothing of an exposure that recovers too few.
    """
    partition, opened, store = partition_of(context), database.database, object_store.store
    model = model_in_use(opened, store)
    difference_by_id = {p.product_id: p for p in difference_images.passed}
    rows = observations_by_id(opened, [p.observation_id for p in difference_images.passed])
    labels = labels_of(rows.values())

    def make(task: Task) -> Content:
        product = difference_by_id[task.inputs[0]]
        science = image_of(store, calibrated_exposures.of_observation(rows[task.observation_id].id))
        recovery = recover(
            science,
            stored_subtraction(store, product),
            champion=model.champion,
            rng=np.random.default_rng(int(RECOVERY.product_id(task)[:16], 16)),
        )
        preview = recovery_png(recovery, title=task.label)
        metrics = recovery_metrics(recovery)
        return Content(
            objects={PREVIEW: store.put_bytes(preview)},
            metrics=metrics,
            failures=completeness_failures(metrics),
        )

    decider = model.champion.decision_sha256
    tasks = [
        Task(labels[p.observation_id], (p.product_id, decider), p.observation_id)
        for p in difference_images.passed
    ]
    existing = loaded_products(opened, RECOVERY.asset, partition, is_stored=store.exists)
    products = run_stage(RECOVERY, partition, tasks, make, existing=existing, log=context.log.info)
    metadata = products_metadata(products, labels=labels, metrics=RECOVERY_SHOWN)
    previews = pictures(previews_of(store, products, labels=labels))
    shown = [
        row
        for p in products.products
        for row in completeness_table(bins_of(p.metrics), labels[p.observation_id])
    ]
    extra = {"completeness_of_exposures": table(shown)} if shown else {}
    return result(products, {**metadata, **extra, **previews, **_pooled(opened, products)})


def _pooled(database: Database, products: PartitionProducts) -> dict[str, dg.MetadataValue]:
    """Return what the UI shows of the tile over all its nights, this one included."""
    found = pooled_completeness(database, tile=products.tile, made=products.products)
    if not found:
        return {}
    plots = {
        one.title: pooled_png(one.bins, title=one.title, n_exposures=one.n_exposures)
        for one in found
    }
    rows = [
        row
        for one in found
        for row in completeness_table(one.bins, f"{one.tile} {one.filter_band}")
    ]
    return {
        "completeness_of_the_tile": table([one.line for one in found]),
        "completeness_of_the_tile_by_bin": table(rows),
        **pictures(plots, name="completeness_of_the_tile_plot"),
    }


def _store_masks(store: ObjectStore, masks: NDArray[np.float32]) -> StoredObject:
    stream = io.BytesIO()
    write_hdus([array_hdu(masks, "MASK_PROBABILITY")], stream, primary=fits.Header())
    return store.put_bytes(stream.getvalue())
