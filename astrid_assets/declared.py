"""What all assets have in common in Dagster's eyes: owners, groups, partitions, result form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from astrid_assets.partitions import NIGHT_TILE, split_key
from astrid_resources.products import Partition, PartitionProducts

OWNERS = ["team:astrid"]
PRODUCTS_IO = "products_io"
PRODUCTS_ASSET: dict[str, Any] = {"owners": OWNERS, "io_manager_key": PRODUCTS_IO}
"""What every asset declares that hands over products."""
NIGHT_TILE_ASSET: dict[str, Any] = {**PRODUCTS_ASSET, "partitions_def": NIGHT_TILE}
"""What every asset of a night and tile declares."""


def partition_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Partition:
    """Return the night and tile of the running partition."""
    night, tile = split_key(context.partition_key)
    return Partition(night, tile)


def result(
    products: PartitionProducts, metadata: Mapping[str, Any]
) -> dg.MaterializeResult[PartitionProducts]:
    """Return what an asset hands to its IO manager: products, data version and metadata.

    The data version is the content hash over all products, so that an unchanged partition is
    seen as unchanged by everything downstream.
    """
    return dg.MaterializeResult(
        value=products,
        data_version=dg.DataVersion(products.data_version),
        metadata=dict(metadata),
    )
