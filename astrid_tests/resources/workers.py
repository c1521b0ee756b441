"""What other processes do in tests; little is imported here, since each of them pays for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import sqlalchemy as sa

from astrid_resources.database import Database, SystemConfig, replace_partition
from astrid_tests.resources.rows import NIGHT, TILE, difference_product, observation


def together(target: Callable[..., None], *arguments: tuple[object, ...]) -> None:
    """Run `target` in one new process per tuple of arguments; all must succeed."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=target, args=args) for args in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
    assert [worker.exitcode for worker in workers] == [0] * len(arguments)


def count(url: str, n: int) -> None:
    """Add 1 to a stored number n times, each in a transaction."""
    database = Database(url)
    for _ in range(n):
        with database.session() as session:
            config = session.scalars(sa.select(SystemConfig).with_for_update()).one()
            config.value = config.value + 1
    database.dispose()


def upgrade(url: str) -> None:
    """Bring a database up to date."""
    Database(url).upgrade()


def commit(url: str, n_candidates: int, times: int) -> None:
    """Commit the same partition again and again."""
    database = Database(url)
    product = difference_product(observation("a")["id"], n_candidates=n_candidates)
    for _ in range(times):
        with database.session() as session:
            replace_partition(
                session, asset="difference_images", night=NIGHT, tile=TILE, products=[product]
            )
    database.dispose()
