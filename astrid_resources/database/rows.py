"""Writing rows: values settled by their declared column, upsert by id of what changed."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database.base import Base, utc_now
from astrid_resources.database.bulk import insert_rows, update_rows
from astrid_resources.database.columns import UTCDateTime
from astrid_resources.database.healpix import healpix29_array
from astrid_resources.identity import (
    BOOKKEEPING_COLUMNS,
    VOLATILE_COLUMNS,
    UnstorableValueError,
    canonical_json,
    plain,
    plain_json,
    stable,
)

TableLike = str | sa.Table | type[Base]
_CHUNK = 500
_LARGEST_EXACT = 2**53


@dataclass(frozen=True)
class Upserted:
    """How many rows were inserted, changed, and left untouched."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


def table_of(table: TableLike) -> sa.Table:
    """Return the table itself; KeyError, naming it, where there is none of that name."""
    if isinstance(table, sa.Table):
        return table
    if isinstance(table, str):
        if table not in Base.metadata.tables:
            raise KeyError(f"there is no table {table!r}")
        return Base.metadata.tables[table]
    found = table.__table__
    if not isinstance(found, sa.Table):
        raise TypeError(f"{table} is not mapped to a table")
    return found


def chunks(ids: Iterable[Any], *, size: int = _CHUNK) -> Iterator[list[Any]]:
    """Yield `ids` in lists that every database takes as parameters of one statement."""
    members = list(ids)
    for start in range(0, len(members), size):
        yield members[start : start + size]


def settle_value(column: sa.Column[Any], value: Any) -> Any:
    """Return `value` as the column's own Python type; UnstorableValueError where it cannot be."""
    where = f"{column.table.name}.{column.name}"
    value = plain(value, where=where)
    if isinstance(column.type, sa.JSON):
        return plain_json(value, where=where)
    if value is None:
        return None
    try:
        return _settled(column.type, value)
    except (TypeError, ValueError) as error:
        raise UnstorableValueError(f"{where} cannot hold {value!r}: {error}") from error


def _settled(kind: sa.types.TypeEngine[Any], value: Any) -> Any:
    if isinstance(kind, sa.Uuid):
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    if isinstance(kind, sa.Enum):
        if kind.enum_class is None:
            raise TypeError("the enum has no class")
        return kind.enum_class(value)
    if isinstance(kind, UTCDateTime):
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        if instant.tzinfo is None:
            raise ValueError("it has no time zone, give UTC")
        return instant.astimezone(UTC)
    if isinstance(kind, sa.Date):
        if isinstance(value, datetime):
            raise TypeError("it is an instant, not a date")
        return value if isinstance(value, date) else date.fromisoformat(value)
    if isinstance(kind, sa.Boolean):
        return _exactly(bool, value)
    if isinstance(kind, sa.Double):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError("a number is needed")
        return float(value)
    if isinstance(kind, sa.Integer):
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return _exactly(int, value)
    return str(_exactly(str, value))


def _exactly(kind: type, value: Any) -> Any:
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{kind.__name__} is needed, not {type(value).__name__}")


def settle_rows(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return full rows: every column settled, defaults and HEALPix indices filled in."""
    columns = [(column, column.name, _unchanged(column), _default(column)) for column in table.c]
    known = set(table.c.keys())
    out = []
    for row in rows:
        if not known.issuperset(row):
            unknown = ", ".join(sorted(set(row) - known))
            raise UnstorableValueError(f"table {table.name} has no column {unknown}")
        if row.get("id") is None:
            raise UnstorableValueError(f"a row of {table.name} was handed over without its id")
        settled = {}
        for column, name, unchanged, default in columns:
            if name not in row:
                settled[name] = default
                continue
            value = row[name]
            is_settled = value is None or (
                type(value) is unchanged and (type(value) is not float or math.isfinite(value))
            )
            settled[name] = value if is_settled else settle_value(column, value)
        out.append(settled)
    if "healpix29" in table.columns and out:
        indices = healpix29_array([row["ra"] for row in out], [row["dec"] for row in out])
        for row, index in zip(out, indices, strict=True):
            row["healpix29"] = int(index)
    return out


def _unchanged(column: sa.Column[Any]) -> type | None:
    """Return the type whose values, where finite, `settle_value` returns as they are."""
    if isinstance(column.type, sa.JSON):
        return None
    kinds = ((sa.Boolean, bool), (sa.Double, float), (sa.Integer, int), (sa.Uuid, uuid.UUID))
    return next((kind for declared, kind in kinds if isinstance(column.type, declared)), None)


def _default(column: sa.Column[Any]) -> Any:
    default = column.default
    return default.arg if isinstance(default, sa.ColumnDefault) and default.is_scalar else None


def upsert(session: Session, table: TableLike, rows: Sequence[Mapping[str, Any]]) -> Upserted:
    """Insert or update rows by `id`; a row that already says the same is not touched at all.

    A column that is left out takes its default, also in an update; columns declared `set_once`
    (what people or a promotion change later) are written by the insert only. Columns that differ
    from run to run never make a row count as changed.
    """
    table = table_of(table)
    return upsert_settled(session, table, settle_rows(table, rows))


def upsert_settled(session: Session, table: sa.Table, rows: list[dict[str, Any]]) -> Upserted:
    """Do what `upsert` does with rows that `settle_rows` returned; it fills in their instants."""
    settled = {row["id"]: row for row in rows}
    if len(settled) != len(rows):
        raise UnstorableValueError(f"two rows of {table.name} have the same id")
    present = _present(session, table, settled)
    now = utc_now()
    inserts: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    set_once = {column.name for column in table.columns if column.info.get("set_once")}
    kept = set_once | {"id", "created_at"}
    for row_id, row in settled.items():
        row["created_at"] = row["updated_at"] = now
        old = present.get(row_id)
        if old is None:
            inserts.append(row)
        elif _differs(table, old, row, ignored=kept):
            changes = {name: value for name, value in row.items() if name not in kept}
            updates.append({"id": row_id, **changes})
    if inserts:
        insert_rows(session, table, inserts)
    if updates:
        update_rows(session, table, updates)
    return Upserted(len(inserts), len(updates), len(settled) - len(inserts) - len(updates))


def _present(session: Session, table: sa.Table, ids: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for some in chunks(ids):
        for row in session.execute(sa.select(table).where(table.c.id.in_(some))).mappings():
            found[row["id"]] = dict(row)
    return found


def rows_digest(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the sha256 (hex) of settled rows by table: the same before and after the database.

    Left out are volatile and bookkeeping columns, what people or a promotion change later, and
    nulls, so that a nullable column of a later version changes no hash.
    """
    digest = hashlib.sha256()
    for name in sorted(rows):
        columns = _digested(table_of(name))
        for row in sorted(rows[name], key=lambda row: str(row["id"])):
            values = {
                key: _comparable(row[key]) if is_json else _written(row[key])
                for key, is_json in columns
                if row[key] is not None
            }
            digest.update(json.dumps([name, values], sort_keys=True, allow_nan=False).encode())
    return digest.hexdigest()


def _digested(table: sa.Table) -> list[tuple[str, bool]]:
    left_out = VOLATILE_COLUMNS | BOOKKEEPING_COLUMNS
    return [
        (column.name, isinstance(column.type, sa.JSON))
        for column in table.columns
        if column.name not in left_out and not column.info.get("set_once")
    ]


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0  # SQLite does not keep the sign of zero
    return value if isinstance(value, (str, int)) else plain_json(value)


def _differs(
    table: sa.Table, old: Mapping[str, Any], new: Mapping[str, Any], *, ignored: set[str]
) -> bool:
    for column in table.columns:
        if column.name in ignored or column.name in VOLATILE_COLUMNS:
            continue
        before, after = old[column.name], new[column.name]
        if isinstance(column.type, sa.JSON):
            if canonical_json(_comparable(before)) != canonical_json(_comparable(after)):
                return True
        elif before != after:
            return True
    return False


def _comparable(value: Any) -> Any:
    return _one_number_form(stable(value))


def _one_number_form(value: Any) -> Any:
    # JSONB gives 1e16 back as an integer: numbers are compared by value, not by spelling.
    if isinstance(value, dict):
        return {key: _one_number_form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_one_number_form(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_exact = abs(value) <= _LARGEST_EXACT and float(value).is_integer()
        return int(value) if is_exact else float(value)
    return value
