"""The declarative base and the column groups that several tables share."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from astrid_resources.database.columns import (
    check_of,
    flag,
    instant,
    real,
    refers_to,
    text,
    whole,
)
from astrid_resources.database.healpix import healpix29

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
HEALPIX_INTERVAL = f"[0, {12 * 4**29 - 1}]"


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def _healpix_of_row(context: Any) -> int:
    row = context.get_current_parameters(isolate_multiinsert_groups=True)
    return healpix29(row["ra"], row["dec"])


class Base(DeclarativeBase):
    """Base of every table: bounds become CHECKs, foreign keys and statuses get their index."""

    metadata = sa.MetaData(naming_convention=_NAMES)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if isinstance(table, sa.Table):
            _complete(table)


def _complete(table: sa.Table) -> None:
    led = {next(iter(index.columns)).name for index in table.indexes}
    led |= {
        next(iter(item.columns)).name
        for item in table.constraints
        if isinstance(item, sa.UniqueConstraint) and len(item.columns) > 0
    }
    for column in table.columns:
        interval = column.info.get("interval")
        if interval:
            condition = check_of(column.name, interval)
            table.append_constraint(sa.CheckConstraint(condition, name=f"{column.name}_bounds"))
        values = _values_condition(column)
        if values is not None:
            check = sa.CheckConstraint(values, name=f"{column.name}_values")
            table.append_constraint(check.ddl_if(dialect="sqlite"))
        is_status = column.name in {"status", "verdict", "healpix29"}
        if (column.foreign_keys or is_status) and column.name not in led:
            sa.Index(None, column)


def _values_condition(column: sa.Column[Any]) -> str | None:
    if isinstance(column.type, sa.Boolean):
        return f"{column.name} IN (0, 1)"
    if isinstance(column.type, sa.Enum):
        return f"{column.name} IN ({', '.join(repr(value) for value in column.type.enums)})"
    return None


class Identified:
    """Primary key: deterministic for what a stage writes, random for what a person creates."""

    id: Mapped[uuid.UUID] = mapped_column(
        sa.Uuid(),
        primary_key=True,
        default=uuid.uuid4,
        sort_order=-10,
        info={"description": "row id", "unit": "", "ucd": "meta.id"},
    )


class Timestamped:
    """When the row was first written and last changed."""

    created_at: Mapped[datetime] = instant("first written", default=utc_now, sort_order=100)
    updated_at: Mapped[datetime] = instant(
        "last changed", default=utc_now, onupdate=utc_now, sort_order=101
    )


class NightTile:
    """The partition a row belongs to."""

    night: Mapped[date] = mapped_column(
        sa.Date(),
        sort_order=-5,
        info={"description": "night: local date of the evening", "unit": "", "ucd": "time.epoch"},
    )
    tile: Mapped[str] = text("tile: a scheduling key, never the sky coverage", sort_order=-4)


class SkyPosition:
    """A position on the sky with its HEALPix index, which is filled in when the row is written."""

    ra: Mapped[float] = real(
        "right ascension, ICRS", unit="deg", ucd="pos.eq.ra;meta.main", interval="[0, 360)"
    )
    dec: Mapped[float] = real(
        "declination, ICRS", unit="deg", ucd="pos.eq.dec;meta.main", interval="[-90, 90]"
    )
    healpix29: Mapped[int] = whole(
        "HEALPix index, NESTED, order 29",
        ucd="pos.healpix",
        interval=HEALPIX_INTERVAL,
        default=_healpix_of_row,
    )


@sa.event.listens_for(SkyPosition, "before_update", propagate=True)
def _follow_position(mapper: object, connection: object, row: SkyPosition) -> None:
    del mapper, connection
    row.healpix29 = healpix29(row.ra, row.dec)


class Produced:
    """Written by a partitioned asset: which product it belongs to, and whether it still counts."""

    manifest_id: Mapped[uuid.UUID | None] = refers_to(
        "products.id",
        "the product this row belongs to",
        on_delete="RESTRICT",
        sort_order=90,
    )
    is_superseded: Mapped[bool] = flag(
        "vanished from its partition, kept because something refers to it", sort_order=91
    )
