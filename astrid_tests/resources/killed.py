"""A process that commits partitions for ever, and its parent that kills it when told to.

Run as `python -m astrid_tests.resources.killed DATABASE OBJECTS [ENDPOINT]`: for each line of its
standard input, a number of seconds, it forks a child, kills it after that time, and answers with
what the child was doing: `o` storing objects, `t` in the transaction, `d` done with a partition.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import Database, Observation, replace_partition, upsert
from astrid_resources.objects import ObjectStore, S3Bucket
from astrid_resources.products import PartitionProducts, Product
from astrid_tests.resources.rows import NIGHT, SURVEY_ID, TILE, difference_product, observation

ASSET = "difference_images"
NIGHTS = tuple(NIGHT + timedelta(days=n) for n in range(4))
NAMES = "abcd"
ORPHAN_BYTES = 400_000
VARIANTS = (0, 1)
"""Each partition is committed in one of two forms, which differ in objects, rows and manifest."""

Tell = Callable[[str], object]


def prepare(database: Database, store: ObjectStore) -> None:
    """Register the exposures of the partitions, with their files."""
    rows = []
    for name in NAMES:
        raw = store.put_bytes(f"raw {name}".encode())
        rows.append(observation(name, content_sha256=raw.sha256, raw_path=raw.key))
    with database.session() as session:
        upsert(session, "surveys", [{"id": SURVEY_ID, "name": "test"}])
        upsert(session, "observations", rows)


def contents(night: date, variant: int) -> dict[str, bytes]:
    """Return the bytes of a partition's objects by role."""
    seed = random.Random(f"{night} {variant}")
    return {role: seed.randbytes(150_000 + 7 * variant) for role in ("difference", "score")}


def partition(store: ObjectStore, night: date, variant: int) -> PartitionProducts:
    """Store a partition's objects and return its products."""
    one = observation(NAMES[NIGHTS.index(night)])["id"]
    made = difference_product(one, n_candidates=12 + 5 * variant, flux=100.0 + variant)
    stored = {role: store.put_bytes(bits) for role, bits in contents(night, variant).items()}
    run = {**made.rows["difference_runs"][0], "difference_image_path": stored["difference"].key}
    rows = {**made.rows, "difference_runs": (run,)}
    name = f"{made.product_id} {variant}"
    product = Product(ASSET, name, one, stored, {"n": variant}, rows=rows, inputs=made.inputs)
    return PartitionProducts(ASSET, night, TILE, (product,))


def run(
    database: Database,
    store: ObjectStore,
    variant: int,
    nights: Sequence[date] = NIGHTS,
    tell: Tell = len,
) -> None:
    """Commit partitions in one form: objects, then one transaction."""
    for night in nights:
        tell("o")
        made = partition(store, night, variant)
        database.transaction(partial(_replace, made=made, night=night, tell=tell))
        tell("d")


def _replace(session: Session, *, made: PartitionProducts, night: date, tell: Tell) -> None:
    tell("t")
    replace_partition(session, asset=ASSET, night=night, tile=TILE, products=made.products)


def _forever(database: Database, store: ObjectStore, tell: Tell) -> None:
    anything = random.Random(os.getpid())
    with database.read() as session:
        store.exists(session.scalars(sa.select(Observation.raw_path)).first() or "")
    while True:
        (night,) = anything.sample(NIGHTS, 1)
        tell("o")
        for _ in range(3):
            store.put_bytes(os.urandom(ORPHAN_BYTES))
        run(database, store, anything.choice(VARIANTS), [night], tell)


def _kill_after(seconds: float, database: Database, store: ObjectStore) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _forever(database, store, lambda phase: os.write(writing, phase.encode()))
        finally:
            traceback.print_exc()
            os._exit(3)
    os.close(writing)
    told = os.read(reading, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while more := os.read(reading, 4096):
        told = more
    os.close(reading)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the child ended by itself")
    return told.decode()[-1]


def main() -> None:
    """Answer each line of standard input with the phase its child was killed in."""
    database_url, object_url, endpoint = (*sys.argv[1:], None)[:3]
    database = Database(str(database_url))
    store = ObjectStore.from_url(str(object_url), endpoint_url=endpoint, region="us-east-1")
    if isinstance(store.backend, S3Bucket):
        assert store.backend.client  # made once for all children; it has no connection yet
    for line in sys.stdin:
        sys.stdout.write(_kill_after(float(line), database, store) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
