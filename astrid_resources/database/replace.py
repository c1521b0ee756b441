"""The commit of a partition: manifest and rows in one transaction, and reading it back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database.base import Base, utc_now
from astrid_resources.database.connection import take_lock
from astrid_resources.database.rows import (
    Upserted,
    chunks,
    rows_digest,
    settle_rows,
    upsert,
    upsert_settled,
)
from astrid_resources.database.storage import ProductInput, ProductRow
from astrid_resources.database.told import tell_inputs
from astrid_resources.identity import (
    BOOKKEEPING_COLUMNS,
    VOLATILE_COLUMNS,
    row_id,
    sha256_json,
)
from astrid_resources.products import PartitionProducts, Product, Row, StoredObject, Verdict


@dataclass(frozen=True)
class Replacement:
    """What the commit of a partition changed; all zero but `unchanged` where it was equal."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int
    superseded: int


def manifest_row_id(product: Product, *, night: date | None, tile: str | None) -> uuid.UUID:
    """Return the id of a product's manifest row.

    A product of an exposure keeps its row when the exposure moves to another partition.
    """
    if product.observation_id is not None:
        return row_id("products", product.asset, product.observation_id, product.product_id)
    return row_id("products", product.asset, night, tile, product.product_id)


def replace_partition(
    session: Session,
    *,
    asset: str,
    night: date | None,
    tile: str | None,
    products: Sequence[Product],
) -> Replacement:
    """Make the partition of `asset` hold exactly `products`, within the session's transaction.

    Objects must be stored already. Rows are upserted by id; rows that vanished are deleted,
    unless a row of a person, an alert or a later version refers to them: these become superseded.
    Committing equal products again changes no byte of any row.
    """
    handed = PartitionProducts(asset, night, tile, tuple(products))
    take_lock(session, f"replace:{asset}")
    ids = [manifest_row_id(product, night=night, tile=tile) for product in handed.products]
    tables = produced_tables()
    manifest: list[dict[str, Any]] = []
    written: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}
    for product, manifest_id in zip(handed.products, ids, strict=True):
        unknown = sorted(set(product.rows) - set(tables))
        if unknown:
            raise ValueError(f"no asset's rows stand in {', '.join(unknown)}")
        settled = {
            name: settle_rows(
                tables[name],
                [_placed(tables[name], row, night, tile, manifest_id) for row in rows],
            )
            for name, rows in product.rows.items()
        }
        for name, rows in settled.items():
            written[name].extend(rows)
        row = _manifest_row(product, night=night, tile=tile, manifest_id=manifest_id)
        manifest.append({**row, "stored_rows_sha256": rows_digest(settled)})
    done = upsert(session, ProductRow, manifest)
    done += _write_inputs(session, handed.products, ids)
    done += Upserted(updated=_retire(session, asset=asset, night=night, tile=tile, current=ids))
    for name, rows in written.items():
        if rows:
            done += upsert_settled(session, tables[name], rows)
    n_deleted = n_superseded = 0
    for name in reversed(tables):
        new_ids = {row["id"] for row in written[name]}
        gone = _owned(session, tables[name], asset=asset, night=night, tile=tile) - new_ids
        deleted, superseded = _remove(session, tables[name], gone)
        n_deleted, n_superseded = n_deleted + deleted, n_superseded + superseded
    done += Upserted(updated=tell_inputs(session, asset=asset, products=handed.products))
    session.expire_all()
    return Replacement(done.inserted, done.updated, done.unchanged, n_deleted, n_superseded)


def load_partition(
    session: Session,
    *,
    asset: str,
    night: date | None,
    tile: str | None,
    with_rows: bool = True,
) -> PartitionProducts:
    """Return the current products of a partition, ordered by observation and product id."""
    query = sa.select(ProductRow).where(
        *_of_partition(asset=asset, night=night, tile=tile), ProductRow.is_current
    )
    found = sorted(
        session.scalars(query), key=lambda row: (str(row.observation_id or ""), row.product_id)
    )
    ids = [row.id for row in found]
    inputs: dict[uuid.UUID, list[str]] = {}
    for some in chunks(ids):
        for item in session.scalars(
            sa.select(ProductInput).where(ProductInput.product_row_id.in_(some))
        ):
            inputs.setdefault(item.product_row_id, []).append(item.input_product_id)
    rows = _rows_by_manifest(session, ids) if with_rows else {}
    return PartitionProducts(
        asset,
        night,
        tile,
        tuple(
            Product(
                row.asset,
                row.product_id,
                row.observation_id,
                {role: StoredObject(**item) for role, item in row.objects.items()},
                row.metrics,
                row.verdict,
                tuple(row.reasons),
                rows.get(row.id, {}),
                row.code_version,
                tuple(inputs.get(row.id, ())),
                row.rows_sha256,
            )
            for row in found
        ),
    )


def _manifest_row(
    product: Product, *, night: date | None, tile: str | None, manifest_id: uuid.UUID
) -> dict[str, Any]:
    objects = {
        role: {"key": item.key, "sha256": item.sha256, "size": item.size}
        for role, item in sorted(product.objects.items())
    }
    return {
        "id": manifest_id,
        "asset": product.asset,
        "night": night,
        "tile": tile,
        "observation_id": product.observation_id,
        "product_id": product.product_id,
        "code_version": product.code_version,
        "objects": objects,
        "sha256": sha256_json({role: item["sha256"] for role, item in objects.items()}),
        "bytes": sum(item.size for item in product.objects.values()),
        "metrics": dict(product.metrics),
        "verdict": Verdict(product.verdict),
        "reasons": list(product.reasons),
        "rows_sha256": product.rows_sha256,
        "is_current": True,
    }


def _write_inputs(
    session: Session, products: Sequence[Product], ids: Sequence[uuid.UUID]
) -> Upserted:
    rows = [
        {
            "id": row_id("product_inputs", manifest_id, item),
            "product_row_id": manifest_id,
            "input_product_id": item,
        }
        for product, manifest_id in zip(products, ids, strict=True)
        for item in product.inputs
    ]
    wanted = {row["id"] for row in rows}
    for some in chunks(ids):
        query = sa.select(ProductInput.id).where(ProductInput.product_row_id.in_(some))
        gone = set(session.scalars(query)) - wanted
        for few in chunks(gone):
            session.execute(sa.delete(ProductInput).where(ProductInput.id.in_(few)))
    return upsert(session, ProductInput, rows)


def _of_partition(*, asset: str, night: date | None, tile: str | None) -> list[Any]:
    return [
        ProductRow.asset == asset,
        ProductRow.night.is_(None) if night is None else ProductRow.night == night,
        ProductRow.tile.is_(None) if tile is None else ProductRow.tile == tile,
    ]


def _retire(
    session: Session, *, asset: str, night: date | None, tile: str | None, current: list[uuid.UUID]
) -> int:
    query = sa.select(ProductRow.id).where(
        *_of_partition(asset=asset, night=night, tile=tile), ProductRow.is_current
    )
    old = set(session.scalars(query)) - set(current)
    session.execute(
        sa.update(ProductRow)
        .where(*_of_partition(asset=asset, night=night, tile=tile))
        .where(ProductRow.withdrawn_at.is_not(None))
        .values(withdrawn_at=None, updated_at=utc_now())
        .execution_options(synchronize_session=False)
    )
    for some in chunks(old):
        session.execute(
            sa.update(ProductRow)
            .where(ProductRow.id.in_(some))
            .values(is_current=False, updated_at=utc_now())
            .execution_options(synchronize_session=False)
        )
    return len(old)


def produced_tables() -> dict[str, sa.Table]:
    """Return the tables that partitioned assets write, by name, parents first."""
    return {
        table.name: table for table in Base.metadata.sorted_tables if "manifest_id" in table.columns
    }


def _placed(
    table: sa.Table, row: Row, night: date | None, tile: str | None, manifest_id: uuid.UUID
) -> dict[str, Any]:
    placed = {**row, "manifest_id": manifest_id}
    for key, value in (("night", night), ("tile", tile)):
        if key in table.columns:
            placed.setdefault(key, value)
    return placed


def _owned(
    session: Session, table: sa.Table, *, asset: str, night: date | None, tile: str | None
) -> set[uuid.UUID]:
    query = (
        sa.select(table.c.id)
        .join(ProductRow, ProductRow.id == table.c.manifest_id)
        .where(*_of_partition(asset=asset, night=night, tile=tile), sa.not_(table.c.is_superseded))
    )
    return set(session.scalars(query))


def _remove(session: Session, table: sa.Table, ids: set[uuid.UUID]) -> tuple[int, int]:
    kept = set(ids) if table.info.get("keeps_versions") else _referred(session, table, ids)
    for some in chunks(kept):
        session.execute(
            sa.update(table)
            .where(table.c.id.in_(some))
            .values(is_superseded=True, updated_at=utc_now())
        )
    for some in chunks(ids - kept):
        session.execute(sa.delete(table).where(table.c.id.in_(some)))
    return len(ids) - len(kept), len(kept)


def _referred(session: Session, table: sa.Table, ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of `ids` whose deletion some row would refuse, directly or down the cascade."""
    kept: set[uuid.UUID] = set()
    for child in Base.metadata.sorted_tables:
        for key in child.foreign_keys:
            if key.column.table is not table or key.ondelete == "SET NULL":
                continue
            owner: dict[uuid.UUID, uuid.UUID] = {}
            for some in chunks(ids):
                query = sa.select(child.c.id, key.parent).where(key.parent.in_(some))
                owner.update({row[0]: row[1] for row in session.execute(query)})
            if owner and key.ondelete == "CASCADE":
                held = _referred(session, child, owner)
                kept |= {owner[child_id] for child_id in held}
            else:
                kept |= set(owner.values())
    return kept


def rows_of_products(
    session: Session, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, list[dict[str, Any]]]]:
    """Return the rows of products by manifest row and table, every column, in order of rank."""
    gathered: dict[uuid.UUID, dict[str, list[dict[str, Any]]]] = {}
    for name, table in produced_tables().items():
        order = [table.c.rank, table.c.id] if "rank" in table.columns else [table.c.id]
        for some in chunks(ids):
            query = (
                sa.select(table)
                .where(table.c.manifest_id.in_(some), sa.not_(table.c.is_superseded))
                .order_by(*order)
            )
            for found in session.execute(query).mappings():
                tables = gathered.setdefault(found["manifest_id"], {})
                tables.setdefault(name, []).append(dict(found))
    return gathered


def _rows_by_manifest(
    session: Session, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, tuple[dict[str, Any], ...]]]:
    left_out = VOLATILE_COLUMNS | BOOKKEEPING_COLUMNS
    return {
        manifest_id: {
            name: tuple(
                {key: value for key, value in row.items() if key not in left_out} for row in rows
            )
            for name, rows in tables.items()
        }
        for manifest_id, tables in rows_of_products(session, ids).items()
    }
