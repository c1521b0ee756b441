"""Dagster: candidates for the reference of a tile, and the promoted one as an external asset."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import dagster as dg

from astrid_assets.declared import OWNERS, PRODUCTS_ASSET, result
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.imaging.figures import stamp_png
from astrid_assets.metadata import pictures, products_metadata, table
from astrid_assets.observations import loaded_products
from astrid_assets.partitions import TILES
from astrid_assets.reference.coadd import Coadd, CoaddSettings, coadd
from astrid_assets.reference.inputs import (
    ReferenceGroup,
    StoredInput,
    declared_rules,
    reference_groups,
    version_of,
)
from astrid_assets.reference.rows import coverage_failures, reference_row, reference_row_id
from astrid_assets.reference.selection import NotEnoughInputs, select_inputs
from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_assets.stored import PREVIEW, image_at, previews_of, store_image
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.images import Image
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Partition, PartitionProducts

SETTINGS = CoaddSettings()
CODE = StageCode("reference_images", "2", asdict(SETTINGS))
SHOWN = (
    "n_inputs",
    "psf_fwhm_pix",
    "seeing_arcsec",
    "flux_limit_5sigma_adu",
    "coverage_fraction",
    "blank_std",
)

current_reference_spec = dg.AssetSpec(
    "current_reference",
    partitions_def=TILES,
    group_name="reference",
    owners=OWNERS,
    kinds={"fits"},
    description="The promoted reference of a tile: what differences depend on. Its data version, "
    "the hash over the promoted images, is reported as an observation when one is promoted.",
)


class StoredImages(Sequence[Image]):
    """Calibrated images read from the store when asked for, one at a time."""

    def __init__(self, store: ObjectStore, inputs: Sequence[StoredInput]) -> None:
        self._store, self._inputs = store, inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> Image:  # type: ignore[override]
        return image_at(self._store, self._inputs[index].image_key)

    def __iter__(self) -> Iterator[Image]:
        return (self[index] for index in range(len(self)))


@dg.asset(
    **PRODUCTS_ASSET,
    partitions_def=TILES,
    deps=["calibrated_exposures"],
    group_name="reference",
    kinds={"fits", "python"},
    code_version=CODE.code_version,
)
def reference_images(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    surveys: SurveysResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """A linear coadd per survey and filter of every exposure that overlaps the tile's own.

    Which exposures enter is the survey's declared rule, a pure function of their set.
    """
    partition = Partition(None, context.partition_key)
    opened, store = database.database, object_store.store
    rules = declared_rules(opened, surveys.load())
    plans: dict[str, tuple[ReferenceGroup, tuple[StoredInput, ...], NotEnoughInputs | None]] = {}
    for group in reference_groups(opened, context.partition_key):
        label = f"{group.survey} {group.filter_band}"
        by_key = {entry.exposure.key: entry for entry in group.inputs}
        try:
            chosen = select_inputs([entry.exposure for entry in group.inputs], rules[group.survey])
        except NotEnoughInputs as outcome:
            plans[label] = (group, group.inputs, outcome)
        else:
            plans[label] = (group, tuple(by_key[entry.key] for entry in chosen), None)

    def make(task: Task) -> Content:
        group, inputs, not_enough = plans[task.label]
        identity = CODE.product_id(task)
        if not_enough is not None:
            raise not_enough
        reference = coadd(StoredImages(store, inputs), settings=SETTINGS)
        stored = store_image(store, reference.image)
        version = version_of(
            opened, reference_row_id(identity), tile=context.partition_key, group=group
        )
        row = reference_row(identity, group, inputs, reference, stored, version=version)
        preview = stamp_png(reference.image.data, "reference", size_px=420)
        return Content(
            objects={"image": stored, PREVIEW: store.put_bytes(preview)},
            metrics={
                "n_inputs": reference.n_inputs,
                "psf_fwhm_pix": reference.psf_fwhm_pix,
                "seeing_arcsec": reference.seeing_arcsec,
                "flux_limit_5sigma_adu": reference.flux_limit_5sigma_adu,
                "limiting_mag_5sigma": reference.limiting_mag_5sigma,
                "coverage_fraction": reference.coverage_fraction,
                "blank_median": reference.blank.median,
                "blank_std": reference.blank.std,
                "blank_std_error": reference.blank.std_error,
                "inputs": _inputs_table(reference, task.label),
            },
            rows={"reference_images": (row,)},
            failures=coverage_failures(reference),
        )

    tasks = [
        Task(label, tuple(entry.exposure.key for entry in inputs))
        for label, (_, inputs, _) in plans.items()
    ]
    existing = loaded_products(opened, CODE.asset, partition, is_stored=store.exists)
    products = run_stage(CODE, partition, tasks, make, existing=existing, log=context.log.info)
    metadata = products_metadata(products, labels={}, metrics=SHOWN)
    inputs = [row for product in products.passed for row in product.metrics["inputs"]]
    extra = {"inputs": table(inputs)} if inputs else {}
    previews = pictures(previews_of(store, products, labels={}))
    return result(products, {**metadata, **extra, **previews})


def _inputs_table(reference: Coadd, label: str) -> list[dict[str, object]]:
    return [
        {
            "reference": label,
            "observation": entry.observation_id,
            "weight": entry.weight,
            "flux_ratio": entry.relative.flux_ratio,
            "psf_fwhm_pix": entry.psf_fwhm_pix,
            "n_artefact_pixels": entry.n_artefact_pixels,
            "left out because": entry.reason,
        }
        for entry in (*reference.inputs, *reference.excluded)
    ]
