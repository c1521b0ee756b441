"""Many rows at once: COPY on PostgreSQL, an insert of many everywhere else."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

COPY_ROWS_MIN = 500
"""From so many rows on COPY is faster than an insert of many."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"
_SHADOW = "astrid_changes"

Rows = Sequence[Mapping[str, Any]]


def insert_rows(session: Session, table: sa.Table, rows: Rows) -> None:
    """Insert settled rows, all with the same columns."""
    if not _is_copied(session, rows):
        session.execute(sa.insert(table), list(rows))
        return
    session.flush()
    _copy(session.connection(), _quoted(session, table), table, rows)


def update_rows(session: Session, table: sa.Table, rows: Rows) -> None:
    """Change settled rows by `id`, all with the same columns."""
    names = [name for name in rows[0] if name != "id"]
    if not _is_copied(session, rows):
        statement = (
            sa.update(table)
            .where(table.c.id == sa.bindparam("row_id"))
            .values({name: sa.bindparam(name) for name in names})
        )
        parameters = [{"row_id": row["id"], **{n: row[n] for n in names}} for row in rows]
        session.connection().execute(statement, parameters)
        return
    session.flush()
    connection, target = session.connection(), _quoted(session, table)
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in rows[0])
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_SHADOW}")
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {_SHADOW} ON COMMIT DROP AS SELECT {columns} FROM {target} LIMIT 0"
    )
    _copy(connection, _SHADOW, table, rows)
    changes = ", ".join(f"{quote(name)} = {_SHADOW}.{quote(name)}" for name in names)
    connection.exec_driver_sql(
        f"UPDATE {target} SET {changes} FROM {_SHADOW} WHERE {target}.id = {_SHADOW}.id"
    )


def _is_copied(session: Session, rows: Rows) -> bool:
    return len(rows) >= COPY_ROWS_MIN and session.get_bind().dialect.name == "postgresql"


def _quoted(session: Session, table: sa.Table) -> str:
    return str(session.get_bind().dialect.identifier_preparer.format_table(table))


def _copy(connection: sa.Connection, target: str, table: sa.Table, rows: Rows) -> None:
    """Send rows by COPY, in the text format; errors are SQLAlchemy's, as of any statement."""
    dialect = connection.dialect
    writers = [(name, _writer(table.columns[name], dialect)) for name in rows[0]]
    lines = ("\t".join([write(row[name]) for name, write in writers]) + "\n" for row in rows)
    columns = ", ".join(dialect.identifier_preparer.quote(name) for name in rows[0])
    statement = f"COPY {target} ({columns}) FROM STDIN"
    driver = connection.connection.dbapi_connection
    if driver is None:
        raise sa.exc.InvalidRequestError("the connection is closed")
    cursor = driver.cursor()
    try:
        cursor.copy_expert(statement, io.StringIO("".join(lines)))
    except dialect.loaded_dbapi.Error as error:
        is_lost = dialect.is_disconnect(error, driver, cursor)
        if is_lost:
            connection.invalidate(error)
        raise sa.exc.DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        ) from error
    finally:
        cursor.close()


def _writer(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[Any], str]:
    """Return what writes a value of a column in COPY's text format."""
    if isinstance(column.type, (sa.Double, sa.Integer)):
        return _number
    if isinstance(column.type, sa.Uuid):
        return _identity
    bind = column.type.dialect_impl(dialect).bind_processor(dialect)

    def write(value: Any) -> str:
        if bind is not None:
            value = bind(value)
        if value is None:
            return _NULL
        if isinstance(value, str):
            return value.translate(_ESCAPES)
        if isinstance(value, bool):
            return "t" if value else "f"
        return value.isoformat() if isinstance(value, date) else str(value)

    return write


def _number(value: float | None) -> str:
    return _NULL if value is None else repr(value)


def _identity(value: UUID | None) -> str:
    return _NULL if value is None else str(value)
