"""What stages ask the database: observations of a partition, and products that already exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import sqlalchemy as sa

from astrid_resources.database import Observation
from astrid_resources.database.connection import Database
from astrid_resources.database.replace import load_partition
from astrid_resources.products import Partition, Product


def current_observations(database: Database, partition: Partition) -> list[Observation]:
    """Return the current observations of a night and tile, in order of time, then id."""
    query = (
        sa.select(Observation)
        .where(
            Observation.night == partition.night,
            Observation.tile == partition.tile,
            Observation.is_current,
        )
        .order_by(Observation.mjd_mid, Observation.id)
    )
    with database.read() as session:
        return list(session.scalars(query))


def observations_by_id(
    database: Database, ids: Iterable[UUID | None]
) -> dict[UUID | None, Observation]:
    """Return the observations with these row ids."""
    wanted = [identity for identity in ids if identity is not None]
    with database.read() as session:
        rows = session.scalars(sa.select(Observation).where(Observation.id.in_(wanted)))
        return {row.id: row for row in rows}


def labels_of(observations: Iterable[Observation]) -> dict[UUID | None, str]:
    """Return each exposure's name for people: the survey's id and the detector, if any."""
    return {
        row.id: f"{row.observation_id}/{row.detector}" if row.detector else row.observation_id
        for row in observations
    }


def loaded_products(
    database: Database,
    asset: str,
    partition: Partition,
    *,
    is_stored: Callable[[str], bool] | None = None,
) -> Mapping[str, Product]:
    """Return the current products of a partition by product id, with their rows.

    is_stored: says of an object's key whether it is there; a product that lacks one (lost, or in
    quarantine because it was damaged) is left out, so that it is made again.
    """
    with database.read() as session:
        products = load_partition(session, asset=asset, night=partition.night, tile=partition.tile)
    return {
        product.product_id: product
        for product in products.products
        if is_stored is None or all(is_stored(item.key) for item in product.objects.values())
    }


def partitions_of(database: Database) -> list[dict[str, str | int]]:
    """Return every observed night and tile with its number of current exposures, in order."""
    query = (
        sa.select(Observation.night, Observation.tile, sa.func.count())
        .where(Observation.is_current)
        .group_by(Observation.night, Observation.tile)
        .order_by(Observation.night, Observation.tile)
    )
    with database.read() as session:
        return [
            {"night": night.isoformat(), "tile": tile, "exposures": n}
            for night, tile, n in session.execute(query)
        ]
