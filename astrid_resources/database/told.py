"""What a later stage tells the rows of its inputs: how a difference was searched, and the like.

A column declared `told_by` (asset, metric) belongs to a row of an earlier stage, and only the later
one can know it. It is written in the transaction that commits the later one's products.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database.base import Base
from astrid_resources.products import Product


def tell_inputs(session: Session, *, asset: str, products: Sequence[Product]) -> int:
    """Write the told columns of the rows that `products` of `asset` were made from.

    A metric that a product does not have makes its column null; a row that says so already is not
    touched. Returns the number of rows changed.
    """
    changed = 0
    for table, metrics in _told_by(asset).items():
        for product in products:
            values = {column: product.metrics.get(metric) for column, metric in metrics.items()}
            differs = (table.c[column].is_distinct_from(value) for column, value in values.items())
            made_from = table.c.product_id.in_(product.inputs)
            update = sa.update(table).where(made_from, sa.or_(*differs)).values(**values)
            changed += session.connection().execute(update).rowcount
    return changed


def _told_by(asset: str) -> dict[sa.Table, dict[str, str]]:
    """Return the columns that `asset` tells, by table, with the metric of each."""
    found: dict[sa.Table, dict[str, str]] = {}
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            teller, metric = column.info.get("told_by") or (None, None)
            if teller == asset:
                found.setdefault(table, {})[column.name] = str(metric)
    return found
