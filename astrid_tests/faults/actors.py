"""What other processes do in the fault tests: the pipeline's own runs, until they are killed.

They are forked from a server process that has imported everything, so that a run costs what it
does and not its imports.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from astrid_tests.faults.place import Place

Action = tuple[str, ...]
"""`("ingest",)`, `("night", DATE, TILE)` or `("reference", TILE)`."""

_PRELOADED = ["astrid_assets.cli.pipeline", "astrid_tests.faults.actors", "moto"]
_END_S = 240


def act(environment: dict[str, str], actions: Sequence[Action], channel: Connection) -> None:
    """Do the actions one after another; tell every write as a letter, and how each run ended."""
    os.environ.update(environment)
    _watch(channel, environment["ASTRID_DATABASE_URL"])
    from datetime import date

    from astrid_assets.cli.pipeline import open_pipeline

    with open_pipeline() as pipeline:
        for name, *arguments in actions:
            if name == "ingest":
                outcome = pipeline.ingest(pipeline.settings.drop_folder)
            elif name == "night":
                outcome = pipeline.run_night(date.fromisoformat(arguments[0]), arguments[1])
            else:
                outcome = pipeline.make_references(arguments[0])
            channel.send_bytes(b"!" + "; ".join(outcome.failures).encode())
            if not outcome.is_success:
                raise SystemExit(1)


def _watch(channel: Connection, url: str) -> None:
    """Tell every write before it happens.

    `o` an object is put, `r` rows are sent to our tables, `c` our transaction is committed,
    `d` Dagster's own tables are written.
    """
    import sqlalchemy as sa

    from astrid_resources.objects import ObjectStore

    ours = sa.engine.make_url(url).database

    def is_ours(connection: Any) -> bool:
        return connection.engine.url.database == ours

    def execute(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW", "BEGIN")):
            channel.send_bytes(b"r" if is_ours(connection) else b"d")

    def commit(connection: Any) -> None:
        if is_ours(connection):
            channel.send_bytes(b"c")

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", commit)
    put = ObjectStore._put

    def told(self: ObjectStore, *arguments: Any) -> Any:
        channel.send_bytes(b"o")
        return put(self, *arguments)

    ObjectStore._put = told  # type: ignore[method-assign]


@dataclass(frozen=True)
class Ended:
    """How a process ended: the writes it told, the failures of its runs, whether it was killed."""

    told: str
    failures: tuple[str, ...]
    is_killed: bool

    @property
    def is_success(self) -> bool:
        """Whether every run succeeded."""
        return not self.is_killed and not any(self.failures)


def context() -> Any:
    """Return the context of processes that start with everything imported."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(_PRELOADED)
    return made


def start(place: Place, actions: Sequence[Action]) -> tuple[BaseProcess, Connection]:
    """Start a process that does the actions; it tells what it does through the connection."""
    made = context()
    reading, writing = made.Pipe(duplex=False)
    process = made.Process(target=act, args=(place.environment, tuple(actions), writing))
    process.start()
    writing.close()
    return process, reading


def perform(
    place: Place,
    *actions: Action,
    kill: tuple[str, int] | None = None,
    on_write: Callable[[str], object] | None = None,
) -> Ended:
    """Do the actions in another process; wait for its end.

    kill: kill it at the n-th write (from 1) of a kind. on_write: called with each write's letter.
    """
    process, reading = start(place, actions)
    return finish(process, reading, kill=kill, on_write=on_write)


def finish(
    process: BaseProcess,
    reading: Connection,
    *,
    kill: tuple[str, int] | None = None,
    on_write: Callable[[str], object] | None = None,
) -> Ended:
    """Follow a process to its end, or kill it on the way."""
    told: list[str] = []
    failures: list[str] = []
    is_killed = False
    while True:
        try:
            message = reading.recv_bytes().decode()
        except (EOFError, ConnectionResetError):
            break
        if message.startswith("!"):
            failures.append(message[1:])
            continue
        told.append(message)
        if on_write is not None:
            on_write(message)
        if kill is not None and message == kill[0] and told.count(message) == kill[1]:
            process.kill()
            is_killed = True
            kill = None
    process.join(_END_S)
    assert process.exitcode is not None
    if not is_killed and process.exitcode != 0 and not any(failures):
        failures.append(f"the process ended with {process.exitcode}")
    return Ended("".join(told), tuple(failures), is_killed)
