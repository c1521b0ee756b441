"""Which objects the database names: the manifest by role, and every column declared a key."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import Base, ProductRow
from astrid_resources.objects import is_object_key, object_key


@dataclass(frozen=True)
class NamedObject:
    """A row's word that there is an object.

    key: what the row says, an object's key where it is right. sha256, size: what else it says.
    role: the manifest's role, or the column. product_row_id: the manifest's row it belongs to,
    None for what no asset made (a file that was delivered, a model).
    is_current: whether it must be there: its product is current, it is the promoted reference, or
    nobody could make it again.
    """

    key: str
    table: str
    row_id: uuid.UUID
    role: str
    sha256: str | None = None
    size: int | None = None
    product_row_id: uuid.UUID | None = None
    is_current: bool = True

    @property
    def is_source(self) -> bool:
        """Whether it was given to us and no run can make it again."""
        return self.product_row_id is None

    @property
    def where(self) -> str:
        """Where the row stands, in words."""
        return f"{self.table}.{self.role} of {self.row_id}"


def key_columns() -> tuple[sa.Column[str], ...]:
    """Return every column that is declared to hold an object's key."""
    return tuple(
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.info.get("is_object_key")
    )


def named_objects(session: Session) -> Iterator[NamedObject]:
    """Yield what every row of the database says of objects, history too."""
    manifest: dict[uuid.UUID, bool] = {}
    for row in session.execute(
        sa.select(ProductRow.id, ProductRow.objects, ProductRow.is_current).order_by(ProductRow.id)
    ):
        manifest[row.id] = row.is_current
        for role, item in sorted(row.objects.items()):
            yield NamedObject(
                item["key"],
                "products",
                row.id,
                role,
                item["sha256"],
                item["size"],
                row.id,
                row.is_current,
            )
    for column in key_columns():
        yield from _of_column(session, column, manifest)


def _of_column(
    session: Session, column: sa.Column[str], manifest: dict[uuid.UUID, bool]
) -> Iterator[NamedObject]:
    table = column.table
    owner = table.columns.get("manifest_id", sa.null())
    promoted = table.columns.get("is_current", sa.false())
    query = (
        sa.select(table.c.id, column, owner.label("owner"), promoted.label("promoted"))
        .where(column.is_not(None))
        .order_by(table.c.id)
    )
    for row_id, key, product_row_id, is_promoted in session.execute(query):
        counts = product_row_id is None or bool(is_promoted) or manifest.get(product_row_id, False)
        yield NamedObject(
            key, table.name, row_id, column.name, product_row_id=product_row_id, is_current=counts
        )


def is_right(named: NamedObject) -> bool:
    """Return whether the key reads like one, and is that of the hash the row gives."""
    if not is_object_key(named.key):
        return False
    return named.sha256 is None or named.key == object_key(named.sha256)
