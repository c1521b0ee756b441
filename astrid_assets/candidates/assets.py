"""Dagster: candidates of a night and tile, the rejected ones with the rule that rejected them."""

from collections import Counter
from dataclasses import asdict

import dagster as dg
import numpy as np

from astrid_assets.candidates.candidate import Candidate, unconfirmed_fraction
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.noise_peaks import noise_peaks
from astrid_assets.candidates.rows import candidate_rows
from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.declared import NIGHT_TILE_ASSET, partition_of, result
from astrid_assets.difference.stored import other_score_of
from astrid_assets.imaging.figures import Circle, preview_png
from astrid_assets.metadata import pictures, products_metadata, table
from astrid_assets.observations import labels_of, loaded_products, observations_by_id
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import PREVIEW, difference_of, image_of, previews_of
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.images import has_any
from astrid_resources.images.masks import UNUSABLE
from astrid_resources.products import PartitionProducts

SETTINGS = CandidateSettings()
CODE = StageCode("candidates", "4", asdict(SETTINGS))
SHOWN = (
    "n_candidates",
    "n_accepted",
    "accepted_per_mpix",
    "unconfirmed_fraction",
    "searched_area_mpix",
)


@dg.asset(
    **NIGHT_TILE_ASSET,
    group_name="candidates",
    kinds={"python"},
    code_version=CODE.code_version,
)
def candidates(
    context: dg.AssetExecutionContext,
    calibrated_exposures: PartitionProducts,
    difference_images: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Peaks of the corrected score of both signs, measured, each with its first failing rule."""
    partition, opened, store = partition_of(context), database.database, object_store.store
    difference_by_id = {p.product_id: p for p in difference_images.passed}
    rows = observations_by_id(opened, [p.observation_id for p in difference_images.passed])
    labels = labels_of(rows.values())

    def make(task: Task) -> Content:
        product = difference_by_id[task.inputs[0]]
        observation = rows[task.observation_id]
        difference = difference_of(store, product)
        science = image_of(store, calibrated_exposures.of_observation(observation.id))
        reference = image_of(store, product, "reference_on_science")
        found = find_candidates(
            difference,
            science,
            reference,
            flux_ratio=product.metrics["flux_ratio"],
            other_score=other_score_of(store, product),
            settings=SETTINGS,
        )
        unusable = has_any(difference.image.mask, *UNUSABLE)
        preview = preview_png(
            science.data,
            reference.data,
            difference.image.data,
            difference.score_corrected,
            circles=[_circle(candidate) for candidate in found],
            title=task.label,
            unusable=unusable,
        )
        area = float((~unusable).sum()) / 1e6
        n_accepted = sum(candidate.is_accepted for candidate in found)
        unconfirmed = unconfirmed_fraction(found, threshold_sigma=SETTINGS.threshold_sigma)
        noise = noise_peaks(
            difference.image.psf,
            threshold_sigma=SETTINGS.threshold_sigma,
            rng=np.random.default_rng(int(CODE.product_id(task)[:16], 16)),
        )
        (run,) = product.rows["difference_runs"]
        return Content(
            objects={PREVIEW: store.put_bytes(preview)},
            metrics={
                "n_candidates": len(found),
                "detection_threshold": SETTINGS.threshold_sigma,
                "n_accepted": n_accepted,
                "searched_area_mpix": area,
                "accepted_per_mpix": n_accepted / area if area > 0 else None,
                "unconfirmed_fraction": unconfirmed,
                "noise_peaks_per_mpix": 1e6 * noise.per_pixel,
                "accepted_per_mpix_error": max(n_accepted, 1) ** 0.5 / area if area > 0 else None,
            },
            rows={
                "candidates": candidate_rows(
                    found,
                    difference_run_id=run["id"],
                    observation=observation,
                    zero_point_ab_mag=science.meta.zero_point_ab_mag,
                )
            },
        )

    tasks = [
        Task(labels[p.observation_id], (p.product_id,), p.observation_id)
        for p in difference_images.passed
    ]
    existing = loaded_products(opened, CODE.asset, partition, is_stored=store.exists)
    products = run_stage(CODE, partition, tasks, make, existing=existing, log=context.log.info)
    metadata = products_metadata(products, labels=labels, metrics=SHOWN)
    rejected = _rejections(products).most_common() or [("none", 0)]
    by_rule = table([{"rule": rule, "rejected": n} for rule, n in rejected])
    shown = pictures(previews_of(store, products, labels=labels))
    return result(products, {**metadata, "rejected_by_rule": by_rule, **shown})


def _rejections(products: PartitionProducts) -> Counter[str]:
    rows = (row for p in products.products for row in p.rows.get("candidates", ()))
    return Counter(row["rejection_rule"] for row in rows if row["rejection_rule"] is not None)


def _circle(candidate: Candidate) -> Circle:
    kind = "accepted" if candidate.is_accepted else "rejected"
    label = f"{candidate.significance:.1f}" if candidate.is_accepted else ""
    return Circle(candidate.pixel_x, candidate.pixel_y, kind, label)
