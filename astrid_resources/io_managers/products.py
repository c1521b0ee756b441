"""The IO manager of every asset that makes products: manifest and rows in one transaction."""

from __future__ import annotations

from datetime import date

import dagster as dg

from astrid_resources.counts import COUNTS
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import load_partition, replace_partition
from astrid_resources.objects import MissingObjectError
from astrid_resources.products import Partition, PartitionProducts


class ProductsIOManager(dg.ConfigurableIOManager):
    """Commits `PartitionProducts` to the database and loads them again.

    An asset stores its objects itself while it runs; here their presence is checked, and rows and
    manifest are replaced in one transaction. The Dagster event follows only after that.
    """

    database: DatabaseResource
    objects: ObjectStoreResource

    def handle_output(self, context: dg.OutputContext, obj: PartitionProducts) -> None:
        """Commit the partition; a kill at any instant leaves the old or the new one, whole."""
        if not isinstance(obj, PartitionProducts):
            raise TypeError(f"an asset returns PartitionProducts, got {type(obj).__name__}")
        asset, partition = context.asset_key.path[-1], _partition_of(context)
        if (obj.asset, obj.night, obj.tile) != (asset, *partition):
            raise ValueError(
                f"{asset} of {partition} handed over products of {obj.asset}, "
                f"night {obj.night}, tile {obj.tile}"
            )
        store = self.objects.store
        for product in obj.products:
            for role, item in product.objects.items():
                if not store.exists(item.key):
                    raise MissingObjectError(
                        f"{asset} names object {item.key} ({role}) that is not in the store: "
                        f"objects are stored before the commit"
                    )
        database = self.database.database
        done = database.transaction(
            lambda session: replace_partition(
                session, asset=asset, night=obj.night, tile=obj.tile, products=obj.products
            )
        )
        context.add_output_metadata(
            {
                "products": len(obj.products),
                "products_passed": len(obj.passed),
                "rows_inserted": done.inserted,
                "rows_updated": done.updated,
                "rows_unchanged": done.unchanged,
                "rows_deleted": done.deleted,
                "rows_superseded": done.superseded,
                **COUNTS.take(),
                "transactions_repeated": database.n_repeated,
            }
        )

    def load_input(self, context: dg.InputContext) -> PartitionProducts:
        """Return the current products of the upstream asset's partition."""
        partition = _partition_of(context)
        with self.database.database.read() as session:
            return load_partition(
                session,
                asset=context.asset_key.path[-1],
                night=partition.night,
                tile=partition.tile,
            )


def _partition_of(context: dg.InputContext | dg.OutputContext) -> Partition:
    if not context.has_asset_partitions:
        return Partition(None, None)
    keys = list(context.asset_partition_keys)
    if len(keys) != 1:
        raise ValueError(
            f"{context.asset_key.to_user_string()} is read and written one partition at a time, "
            f"{len(keys)} were asked for: list it in `deps` and query the database instead"
        )
    definition = context.asset_partitions_def
    if isinstance(definition, dg.MultiPartitionsDefinition):
        dimensions = definition.get_partition_key_from_str(keys[0]).keys_by_dimension
        night = dimensions.get("night")
        return Partition(date.fromisoformat(night) if night else None, dimensions.get("tile"))
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return Partition(date.fromisoformat(keys[0]), None)
    return Partition(None, keys[0])
