"""The database: engine, transactions, locks and migrations, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.orm import Session

from astrid_resources.database import views as _views  # noqa: F401  (views belong to the schema)
from astrid_resources.database.transient import Patience, connected, repeated
from astrid_resources.identity import canonical_json, plain

BUSY_TIMEOUT_S = 30.0
POOL_SIZE, POOL_OVERFLOW = 4, 8
"""Connections that one process keeps, and how many more it may open for a while."""

_POSTGRESQL = {
    "connect_timeout": 10,
    "application_name": "astrid",
    # A server or a network that vanished is noticed within two minutes, by both sides: a lock
    # whose holder's machine died is given back.
    "keepalives": 1,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "options": "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6",
}
_BEGIN = "astrid_begin"
_MIGRATIONS = Path(__file__).parent / "migrations"

Result = TypeVar("Result")


class SchemaError(RuntimeError):
    """The database does not have the schema this code was written for."""


class Database:
    """One database by its URL; safe to use from several threads and processes at once.

    `sqlite:///FILE` (write-ahead log, foreign keys on, writers begin immediately and wait up to
    30 s for each other) or `postgresql://…` (psycopg2; pooled connections, proven before use; a
    server that is away is waited for). The password never appears in its repr.
    patience: how long, and how often a transaction is repeated.
    """

    def __init__(self, url: str | SecretStr, *, patience: Patience | None = None) -> None:
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        self._url = _settled_url(text)
        self._patience = patience or Patience()
        self._n_repeated = 0

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded default."""
        return self._url.get_backend_name() == "sqlite"

    @cached_property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine; made on first use, without connecting."""
        options: dict[str, Any] = {"json_serializer": canonical_json, "hide_parameters": True}
        if self.is_sqlite:
            if self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            options["poolclass"] = sa.pool.NullPool
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        else:
            options["pool_pre_ping"] = True
            options["pool_size"], options["max_overflow"] = POOL_SIZE, POOL_OVERFLOW
            options["connect_args"] = {
                name: value for name, value in _POSTGRESQL.items() if name not in self._url.query
            }
            options["executemany_mode"] = "values_plus_batch"
        engine = sa.create_engine(self._url, **options)
        sa.event.listen(engine, "before_cursor_execute", _settle_parameters, retval=True)
        if self.is_sqlite:
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        else:
            sa.event.listen(engine, "do_connect", self._connect)
        return engine

    @property
    def n_repeated(self) -> int:
        """How many transactions had to be repeated since this was made."""
        return self._n_repeated

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session whose one transaction is committed at the end, rolled back on error.

        On SQLite it holds the write lock from its first statement: keep it short, and compute
        outside. Objects stay usable after the commit. A lost connection is an error: what can be
        repeated is better given to `transaction`.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session for reading only: it waits for nobody and is never committed.

        Loaded objects stay usable after it.
        """
        engine = self.engine.execution_options(**{_BEGIN: "BEGIN"})
        with Session(engine, expire_on_commit=False) as session:
            yield session
            session.expunge_all()
            session.rollback()

    @contextmanager
    def lock(self, name: str) -> Iterator[Session]:
        """Yield a session that alone holds the lock `name` until its transaction ends."""
        with self.session() as session:
            take_lock(session, name)
            yield session

    def transaction(self, work: Callable[[Session], Result], *, lock: str | None = None) -> Result:
        """Return what `work` returns, done in one transaction, alone with the lock of that name.

        It is repeated where the connection was lost, or another transaction won: `work` must lead
        to the same rows when it finds that an earlier try was committed and the answer lost.
        """

        def once() -> Result:
            with self.session() as session:
                if lock is not None:
                    take_lock(session, lock)
                return work(session)

        result, n_repeated = repeated(once, self._patience)
        self._n_repeated += n_repeated
        return result

    def upgrade(self) -> None:
        """Bring the schema up to date; does nothing, and takes no lock, where it already is."""
        if self.is_current_schema():
            return
        from alembic import command

        with self.engine.connect() as connection, connection.begin():
            _lock_connection(connection, "upgrade")
            config = self._alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def is_current_schema(self) -> bool:
        """Return whether the schema is the newest this code knows."""
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        head = ScriptDirectory.from_config(self._alembic()).get_current_head()
        engine = self.engine.execution_options(**{_BEGIN: "BEGIN"})
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head

    def require_current_schema(self) -> None:
        """Raise SchemaError, saying what to do, unless the schema is the newest this code knows."""
        if not self.is_current_schema():
            raise SchemaError(f"{self!r} does not have the present schema: run `astrid upgrade`")

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def _connect(self, dialect: Any, record: object, arguments: Any, options: Any) -> Any:
        del record
        return connected(
            lambda: dialect.connect(*arguments, **options),
            self._patience,
            refused=dialect.loaded_dbapi.OperationalError,
        )

    def _alembic(self) -> Any:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        return config


def take_lock(session: Session, name: str) -> None:
    """Hold the lock `name` until the session's transaction ends, waiting for whoever has it.

    An advisory lock on PostgreSQL; on SQLite every writing transaction is the only one anyway.
    """
    _lock_connection(session.connection(), name)


def _lock_connection(connection: sa.Connection, name: str) -> None:
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256(f"astrid:{name}".encode()).digest()[:8]
        number = int.from_bytes(digest, "big", signed=True)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _settled_url(text: str) -> sa.URL:
    url = sa.make_url(text)
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg2"}:
        return url.set(drivername="postgresql+psycopg2")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or url.database == ":memory:":
            raise ValueError("a database in memory is lost at once: give sqlite:///FILE")
        return url.set(database=str(Path(url.database).expanduser()))
    raise ValueError(
        f"database URLs start with sqlite:/// or postgresql://, got {url.drivername!r}"
    )


def _prepare_sqlite(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA foreign_keys = ON")
    _use_write_ahead_log(cursor)
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    # The busy timeout does not hold while the journal mode of a new file is being changed.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            cursor.execute("PRAGMA journal_mode = WAL")
        except cursor.connection.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE")
    connection.exec_driver_sql(begin)


def _settle_parameters(
    connection: sa.Connection,
    cursor: object,
    statement: str,
    parameters: Any,
    context: Any,
    executemany: bool,
) -> tuple[str, Any]:
    """Turn numpy scalars into Python's and refuse NaN and infinity in every statement."""
    del connection, cursor
    compiled = getattr(context, "compiled", None)
    names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
    if executemany and not isinstance(parameters, dict) and _is_nested(parameters):
        return statement, [_settled(item, names) for item in parameters]
    return statement, _settled(parameters, names)


def _is_nested(parameters: Sequence[Any]) -> bool:
    return bool(parameters) and isinstance(parameters[0], (dict, tuple))


def _settled(parameters: Any, names: Sequence[str]) -> Any:
    if isinstance(parameters, dict):
        return {key: plain(value, where=f"column {key}") for key, value in parameters.items()}
    return tuple(
        plain(value, where=f"column {names[index]}" if index < len(names) else "a parameter")
        for index, value in enumerate(parameters)
    )
