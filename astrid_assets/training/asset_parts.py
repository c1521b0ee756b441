"""What the training assets share: their configuration, and products that are made already."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import dagster as dg

from astrid_assets.declared import result
from astrid_assets.metadata import pictures
from astrid_assets.observations import loaded_products
from astrid_assets.stored import PREVIEW
from astrid_assets.training.build import ChampionSettings
from astrid_resources.database.connection import Database
from astrid_resources.identity import plain_json, row_id
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Partition, PartitionProducts, Product

_EVERYTHING = Partition(None, None)


class TrainingConfig(dg.Config):
    """What may be made smaller for a trial; the defaults are those of the shipped champion."""

    n_nights: int | None = None
    side_pix: int | None = None
    n_steps: int | None = None
    n_members: int | None = None
    channels: list[int] | None = None

    def settings(self) -> ChampionSettings:
        """Return the full settings with these changes."""
        settings = ChampionSettings()
        fields, fit, network = settings.dataset.fields, settings.fit, settings.network
        if self.n_nights:
            fields = replace(fields, n_nights=self.n_nights)
        if self.side_pix:
            fields = replace(fields, sides_pix=(self.side_pix,))
        if self.n_steps:
            fit = replace(fit, n_steps=self.n_steps)
        if self.n_members:
            fit = replace(fit, n_members=self.n_members)
        if self.channels:
            network = replace(network, channels=tuple(self.channels))
        dataset = replace(settings.dataset, fields=fields)
        return replace(settings, dataset=dataset, fit=fit, network=network)


def require_same_settings(record: Mapping[str, Any], settings: ChampionSettings) -> None:
    """Raise dg.Failure where a training set was made with other settings than the run's.

    A model's record tells with what it was trained: it must not tell of another set.
    """
    if record["settings"] != plain_json(asdict(settings.dataset)):
        raise dg.Failure(
            "the training set was made with other settings than this run's: materialise "
            "training_set and unet_model with the same configuration",
            allow_retries=False,
        )


def model_row_id(name: str, model: Product) -> UUID:
    """Return the id that a product of `unet_model` has in `models`."""
    return row_id("models", name, model.objects["onnx"].sha256)


def alone(product: Product) -> PartitionProducts:
    """Return the one product of an asset without partitions."""
    return PartitionProducts(product.asset, *_EVERYTHING, (product,))


def known_product(database: Database, asset: str, identity: str) -> Product | None:
    """Return the current product of an asset where it is the one that would be made."""
    return loaded_products(database, asset, _EVERYTHING).get(identity)


def taken_over(
    context: dg.AssetExecutionContext, known: Product, store: ObjectStore
) -> dg.MaterializeResult[PartitionProducts]:
    """Return what was made already: equal settings and inputs give equal products."""
    context.log.info("unchanged, taken over")
    return result(alone(known), {**known.metrics, **preview(store, known), "taken_over": True})


def preview(store: ObjectStore, product: Product) -> dict[str, dg.MetadataValue]:
    """Return the product's stored picture as metadata, nothing where it has none."""
    if PREVIEW not in product.objects:
        return {}
    return pictures({"samples of each kind": store.get_bytes(product.objects[PREVIEW].key)})
