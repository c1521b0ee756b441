"""Dagster: a partition's detections brought into the catalog of transients."""

from dataclasses import asdict

import dagster as dg

from astrid_assets.catalog.figures import light_curve_png
from astrid_assets.catalog.listing import find_transient
from astrid_assets.catalog.points import stored_points
from astrid_assets.catalog.update import CatalogSettings, CatalogUpdate, update_catalog
from astrid_assets.declared import NIGHT_TILE_ASSET, result
from astrid_assets.metadata import pictures, table
from astrid_assets.partitions import split_key
from astrid_assets.stage import StageCode
from astrid_assets.stored import PREVIEWS_MAX
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database.connection import Database
from astrid_resources.identity import product_id, row_id
from astrid_resources.products import PartitionProducts, Product, Verdict

SETTINGS = CatalogSettings()
CODE = StageCode("transients", "1", asdict(SETTINGS))


@dg.asset(
    **NIGHT_TILE_ASSET,
    deps=["injection_recovery"],
    group_name="catalog",
    kinds={"python", "table"},
    code_version=CODE.code_version,
)
def transients(
    context: dg.AssetExecutionContext,
    detections: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Transients of the sky region this night and tile touch, with forced light curves.

    A function of every current detection of the region, across tiles and nights: the order in
    which partitions are run does not matter.
    """
    night, tile = split_key(context.partition_key)
    opened = database.database
    update = update_catalog(
        opened,
        object_store.store,
        night=night,
        tile=tile,
        settings=SETTINGS,
    )
    made_from = tuple(p.product_id for p in detections.products)
    product = Product(
        asset=CODE.asset,
        product_id=product_id(
            CODE.code_version, CODE.parameters, (update.data_version,) if made_from else ()
        ),
        metrics=_metrics(update) if made_from else {},
        verdict=Verdict.PASSED if made_from else Verdict.NO_WORK,
        reasons=() if made_from else ("NothingSearched: no exposure here was differenced",),
        code_version=CODE.code_version,
        inputs=made_from,
    )
    products = PartitionProducts(CODE.asset, night, tile, (product,))
    entries = _entries(opened, update)
    extra = {"transients": table(entries)} if entries else {}
    return result(
        products, {**_metrics(update), **extra, **pictures(_light_curves(opened, update))}
    )


def _metrics(update: CatalogUpdate) -> dict[str, int]:
    return {
        "n_detections": update.n_detections,
        "n_transients": update.n_transients,
        "n_confirmed": update.n_confirmed,
        "n_points": update.n_points,
        "n_points_detected": update.n_points_detected,
        "n_differences": update.n_differences,
    }


def _entries(database: Database, update: CatalogUpdate) -> list[dict[str, object]]:
    found = [find_transient(database, name) for name in update.names]
    return [
        {
            "name": entry.name,
            "RA Dec (deg)": f"{entry.ra:.6f} {entry.dec:+.6f}",
            "confirmation": entry.confirmation,
            "classification": entry.classification,
            "detections": entry.n_detections,
            "probability": entry.best_probability,
        }
        for entry in found
        if entry is not None
    ]


def _light_curves(database: Database, update: CatalogUpdate) -> dict[str, bytes]:
    with database.read() as session:
        return {
            name: light_curve_png(stored_points(session, row_id("transients", name)))
            for name in update.names[:PREVIEWS_MAX]
        }
