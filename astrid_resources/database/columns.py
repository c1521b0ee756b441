"""Column kinds: each declares type, bounds, unit, UCD and description of a column in one place.

The declaration is the only one: DDL, checks, exports and documentation are derived from it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import MappedColumn, mapped_column

FINITE = "[-1e30, 1e30]"
POSITIVE = "(0, 1e30]"
NOT_NEGATIVE = "[0, 1e30]"
FRACTION = "[0, 1]"
COUNT = "[0, 2147483647]"
MJD = "[0, 200000]"
MAGNITUDE = "[-100, 100]"

_INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """A point in time in UTC; naive datetimes are refused, SQLite's lost zone is put back."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC as the database takes it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: give an aware datetime (UTC)")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` as an aware datetime in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


JSON_TYPE = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)


def check_of(name: str, interval: str) -> str:
    """Return the SQL condition that column `name` lies in `interval`, like "[0, 360)"."""
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        raise ValueError(f"an interval reads like '[0, 360)', got {interval!r}")
    left, low, high, right = match.groups()
    above, below = (">=" if left == "[" else ">"), ("<=" if right == "]" else "<")
    return f"{name} {above} {low} AND {name} {below} {high}"


def _info(description: str, *, unit: str = "", ucd: str = "", **more: Any) -> dict[str, Any]:
    return {"description": description, "unit": unit, "ucd": ucd, **more}


def real(
    description: str,
    *,
    unit: str = "",
    ucd: str = "",
    interval: str = FINITE,
    set_once: bool = False,
    told_by: tuple[str, str] | None = None,
    **kwargs: Any,
) -> MappedColumn[Any]:
    """Return a double precision column whose CHECK refuses NaN, infinity and excess.

    told_by: (asset, metric) of the later stage that alone knows the value and writes it.
    """
    later = {"set_once": set_once or told_by is not None, "told_by": told_by}
    info = _info(description, unit=unit, ucd=ucd, interval=interval, **later)
    return mapped_column(sa.Double(), info=info, **kwargs)


def whole(
    description: str,
    *,
    unit: str = "",
    ucd: str = "",
    interval: str = COUNT,
    told_by: tuple[str, str] | None = None,
    **kwargs: Any,
) -> MappedColumn[Any]:
    """Return an integer column with bounds; BIGINT where the upper bound needs it.

    told_by: (asset, metric) of the later stage that alone knows the value and writes it.
    """
    later = {"set_once": told_by is not None, "told_by": told_by}
    match = _INTERVAL.fullmatch(interval)
    is_big = match is not None and int(match.group(3)) > 2**31 - 1
    info = _info(description, unit=unit, ucd=ucd, interval=interval, **later)
    return mapped_column(sa.BigInteger() if is_big else sa.Integer(), info=info, **kwargs)


def text(
    description: str, *, ucd: str = "", set_once: bool = False, **kwargs: Any
) -> MappedColumn[Any]:
    """Return a text column."""
    return mapped_column(sa.Text(), info=_info(description, ucd=ucd, set_once=set_once), **kwargs)


def object_key(description: str, **kwargs: Any) -> MappedColumn[Any]:
    """Return a text column that names an object of the store: verified, and never collected."""
    info = _info(f"object key of {description}", ucd="meta.ref", is_object_key=True)
    return mapped_column(sa.Text(), info=info, **kwargs)


def flag(
    description: str, *, default: bool | None = False, set_once: bool = False, **kwargs: Any
) -> MappedColumn[Any]:
    """Return a Boolean column, false unless told."""
    info = _info(description, set_once=set_once)
    return mapped_column(sa.Boolean(), default=default, info=info, **kwargs)


def choice(
    kind: type[Enum], description: str, *, set_once: bool = False, **kwargs: Any
) -> MappedColumn[Any]:
    """Return an enum column: native on PostgreSQL, CHECK-constrained text on SQLite."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    column_type = sa.Enum(
        kind,
        name=name,
        values_callable=lambda members: [member.value for member in members],
        validate_strings=True,
    )
    return mapped_column(column_type, info=_info(description, set_once=set_once), **kwargs)


def json(description: str, *, set_once: bool = False, **kwargs: Any) -> MappedColumn[Any]:
    """Return a JSON column: JSONB on PostgreSQL, canonical JSON text on SQLite."""
    return mapped_column(JSON_TYPE, info=_info(description, set_once=set_once), **kwargs)


def instant(description: str, *, set_once: bool = False, **kwargs: Any) -> MappedColumn[Any]:
    """Return a column of points in time, timezone-aware UTC."""
    info = _info(description, ucd="time", set_once=set_once)
    return mapped_column(UTCDateTime(), info=info, **kwargs)


def refers_to(
    target: str, description: str, *, on_delete: str = "CASCADE", **kwargs: Any
) -> MappedColumn[Any]:
    """Return a foreign key column to `target` ("table.id") with its ON DELETE."""
    return mapped_column(
        sa.Uuid(), sa.ForeignKey(target, ondelete=on_delete), info=_info(description), **kwargs
    )
