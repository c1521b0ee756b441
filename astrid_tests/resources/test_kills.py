"""A process killed at any instant of a commit leaves the old partition or the new one, whole."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from astrid_resources.database import Base, Database, load_partition
from astrid_resources.identity import VOLATILE_COLUMNS
from astrid_resources.integrity import collect_garbage, find_garbage, verify
from astrid_resources.objects import CorruptObjectError, LocalFolder, ObjectStore
from astrid_resources.products import PartitionProducts
from astrid_tests.resources.garbage import own
from astrid_tests.resources.killed import ASSET, NIGHTS, VARIANTS, partition, prepare, run
from astrid_tests.resources.rows import TILE

N_KILLS = 26
EARLY_S = 0.003
"""A third of the kills come while the first objects are being stored, however fast the disk is."""
LONGEST_S = {"sqlite+local": 0.25, "postgresql+s3": 0.4}
ROOT = Path(__file__).parents[2]


@contextmanager
def killer(*arguments: str) -> Iterator[Any]:
    """Yield a function that lets a child commit for some seconds and tells where it was killed."""
    command = [sys.executable, "-m", "astrid_tests.resources.killed", *arguments]
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | keys,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def kill_after(seconds: float) -> str:
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield kill_after
        process.stdin.close()
        assert process.wait(20) == 0


def state(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table without its volatile columns."""
    with database.read() as session:
        return {
            table.name: [
                {key: value for key, value in row.items() if key not in VOLATILE_COLUMNS}
                for row in session.execute(sa.select(table).order_by(table.c.id)).mappings()
            ]
            for table in Base.metadata.sorted_tables
        }


def versions(database: Database) -> list[str]:
    """Return the data version of each partition as it is loaded."""
    with database.read() as session:
        return [
            load_partition(session, asset=ASSET, night=night, tile=TILE).data_version
            for night in NIGHTS
        ]


def partial_objects(store: ObjectStore, seen: set[str]) -> list[str]:
    """Return the objects, of those not seen before, whose bytes are not those of their key."""
    bad = []
    for item in store.list():
        if item.key not in seen:
            seen.add(item.key)
            try:
                store.verify(item.key)
            except CorruptObjectError:
                bad.append(item.key)
    return bad


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["sqlite+local", "postgresql+s3"])
def test_killed_at_any_instant(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    tables, objects = kind.split("+")
    url = request.getfixturevalue(f"{tables}_url")
    store: ObjectStore = request.getfixturevalue(f"{objects}_store")
    database, undisturbed = Database(url), _undisturbed(request, tables, tmp_path)
    prepare(database, store)
    prepare(*undisturbed)
    whole = [
        [partition(undisturbed[1], night, variant).data_version for variant in VARIANTS]
        for night in NIGHTS
    ]
    seed = random.Random(20180803)
    phases: Counter[str] = Counter()
    seen: set[str] = set()
    with killer(url, *_address(store, request)) as kill_after:
        for number in range(N_KILLS):
            longest = EARLY_S if number % 3 == 0 else LONGEST_S[kind]
            phases[kill_after(seed.uniform(0.0, longest))] += 1
            assert partial_objects(store, seen) == []
            assert verify(database, store, is_reading=False).problems == ()
            for night, version, forms in zip(NIGHTS, versions(database), whole, strict=True):
                assert version in {*forms, PartitionProducts(ASSET, night, TILE).data_version}
    sys.stdout.write(f"{kind}: killed in phases {dict(phases)}\n")
    assert phases.total() == N_KILLS
    assert phases["o"] > 0
    assert phases["t"] > 0
    for variant in (1, 0):
        run(database, store, variant)
        run(*undisturbed, variant)
    assert verify(database, store).is_clean
    assert state(database) == state(undisturbed[0])
    _collect(database, store)
    assert [item.key for item in store.list()] == [item.key for item in undisturbed[1].list()]
    for each in (database, undisturbed[0]):
        each.dispose()


def _undisturbed(
    request: pytest.FixtureRequest, tables: str, tmp_path: Path
) -> tuple[Database, ObjectStore]:
    """Return an installation of its own, on SQLite and local files: the same for both kinds."""
    path = tmp_path / "undisturbed.sqlite"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return Database(f"sqlite:///{path}"), ObjectStore.from_url((tmp_path / "undisturbed").as_uri())


def _address(store: ObjectStore, request: pytest.FixtureRequest) -> list[str]:
    backend = store.backend
    if isinstance(backend, LocalFolder):
        return [backend.folder.as_uri()]
    endpoint = request.getfixturevalue("s3_endpoint")
    return [f"s3://{backend.bucket}/{backend.prefix}", endpoint]  # type: ignore[attr-defined]


def _collect(database: Database, store: ObjectStore) -> None:
    """Remove what the killed processes left."""
    later = datetime.now(UTC) + timedelta(hours=30)
    garbage = find_garbage(database, store, age=timedelta(hours=24), now=later)
    garbage = own(garbage, store)
    removed = collect_garbage(store, garbage)
    assert len(removed.objects) == len(garbage.objects)
    if isinstance(store.backend, LocalFolder):
        assert list(store.backend.leftovers()) == []
