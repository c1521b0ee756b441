"""A backfill of many nights on Dagster's own daemon, which is killed twice on the way."""

from __future__ import annotations

import io
import os
import random
import select
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import IO

import dagster as dg
import pytest
import sqlalchemy as sa
from astropy.io import fits
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from astrid_assets.definitions import build_defs
from astrid_assets.partitions import TILE as TILES
from astrid_assets.partitions import partition_key
from astrid_resources.database import Observation
from astrid_tests.faults.actors import perform
from astrid_tests.faults.place import DAGSTER, Place, Places
from astrid_tests.faults.sky import SCIENCE_NIGHTS_MJD, frame, put

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(3000),
    # Dagster asks itself, as it makes a backfill, for what it calls by another name now.
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated"),
]

N_NIGHTS = int(os.environ.get("BACKFILL_NIGHTS", "20"))
"""`make test-backfill` has 200."""
N_BAD = max(1, N_NIGHTS // 20)
ASSETS = ("raw_exposures", "calibrated_exposures")
FIRST, TILE = date(2018, 1, 1), "5-6814"
END_S = 2400
ROOT = Path(__file__).parents[2]
SETTINGS = """\
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {{dequeue_use_threads: true, dequeue_interval_seconds: 1}}
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - {{key: dagster/partition, value: {{applyLimitPerUniqueValue: true}}, limit: 1}}
run_launcher:
  module: astrid_tests.faults.launcher
  class: ForkedRunLauncher
  config: {{address: {address}}}
run_monitoring: {{enabled: true, start_timeout_seconds: 30, poll_interval_seconds: 5}}
run_retries: {{enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}}
"""
STARTER = """
import signal, os, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def night_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def exposure_of(night: date) -> bytes:
    """Return an exposure of a night: the same pixels, another moment."""
    stream = io.BytesIO()
    with fits.open(io.BytesIO(frame(SCIENCE_NIGHTS_MJD[0], 0))) as hdus:
        for hdu in hdus:
            if "DATE-OBS" in hdu.header:
                hdu.header["DATE-OBS"] = f"{night + timedelta(days=1)}T04:00:00"
            hdu.add_checksum(when="AstrID")
        hdus.writeto(stream)
    return stream.getvalue()


@pytest.fixture
def place(places: Places) -> Iterator[Place]:
    """An installation with an exposure a night, some of which are spoilt in the store."""
    place = places.make()
    for number in range(N_NIGHTS):
        put(place.drop / "synthetic" / f"{number:04}.fits", exposure_of(night_of(number)))
    assert perform(place, ("ingest",)).is_success
    for path in (place.drop / "synthetic").iterdir():
        path.unlink()
    address = place.home / "runs.socket"
    settings = DAGSTER + SETTINGS.format(address=address)
    (place.home / "dagster" / "dagster.yaml").write_text(settings)
    environment = place.environment | {
        "DAGSTER_HOME": str(place.home / "dagster"),
        "ASTRID_QUIET_PERIOD_S": "1000000",
    }
    return Place(environment)


def spoil(place: Place, nights: list[date]) -> None:
    """Change a bit of the stored file of some nights."""
    with place.database() as database, database.read() as session:
        query = sa.select(Observation.raw_path).where(Observation.night.in_(nights))
        for key in session.scalars(query):
            path = place.home / "objects" / key
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.chmod(0o644)
            path.write_bytes(content)


@contextmanager
def process(place: Place, *command: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Yield a process in a session of its own; killed with all its children at the end."""
    running = subprocess.Popen(
        [sys.executable, "-c", STARTER, "-m", *command],
        env=os.environ | place.environment,
        cwd=ROOT,
        start_new_session=True,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


@contextmanager
def daemon(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Yield Dagster's daemon with its code server."""
    with (place.home / "daemon.log").open("a") as log:
        command = ("dagster._daemon", "run", "-m", "astrid_assets.definitions")
        with process(place, *command, stdout=log, stderr=log) as running:
            yield running


def test_each_good_partition_is_done_once(place: Place, monkeypatch: pytest.MonkeyPatch):
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    rng = random.Random(5)
    nights = [night_of(number) for number in range(N_NIGHTS)]
    bad = sorted(rng.sample(nights, N_BAD))
    spoil(place, bad)
    started = time.monotonic()
    command = ("astrid_tests.faults.launcher", str(place.home / "runs.socket"))
    with (
        dg.DagsterInstance.get() as instance,
        (place.home / "runs.log").open("w") as log,
        process(place, *command, stdout=subprocess.PIPE, stderr=log) as runs,
    ):
        assert runs.stdout is not None
        assert runs.stdout.readline() == "ready\n"
        instance.add_dynamic_partitions(TILES, [TILE])
        backfill_id = launch(instance, nights)
        for _ in range(2):
            with daemon(place):
                for _ in range(N_NIGHTS // 3):
                    assert runs.stdout.readline()
        with daemon(place):
            follow(instance, backfill_id, runs.stdout, started)
        seconds = time.monotonic() - started
        check(instance, place, backfill_id, nights, bad)
    sys.stdout.write(
        f"{N_NIGHTS} partitions, {N_BAD} of them bad, daemon killed twice: {seconds:.0f} s\n"
    )


def launch(instance: dg.DagsterInstance, nights: list[date]) -> str:
    """Ask for a backfill as the UI does."""
    backfill_id = uuid.uuid4().hex[:8]
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=backfill_id,
            asset_graph=build_defs().resolve_asset_graph(),
            partition_names=[str(partition_key(night, TILE)) for night in nights],
            asset_selection=[dg.AssetKey(name) for name in ASSETS],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )
    return backfill_id


def follow(instance: dg.DagsterInstance, backfill_id: str, ended: IO[str], started: float) -> None:
    """Wait for the end of a backfill, looking whenever a run has ended or half a second passed."""
    ends = {
        BulkActionStatus.COMPLETED_SUCCESS,
        BulkActionStatus.COMPLETED_FAILED,
        BulkActionStatus.FAILED,
        BulkActionStatus.CANCELED,
    }
    while True:
        found = instance.get_backfill(backfill_id)
        assert found is not None
        if found.status in ends:
            assert found.status is BulkActionStatus.COMPLETED_FAILED, found.error
            return
        assert time.monotonic() - started < END_S, found.status
        if select.select([ended], [], [], 0.5)[0]:
            ended.readline()


def check(
    instance: dg.DagsterInstance,
    place: Place,
    backfill_id: str,
    nights: list[date],
    bad: list[date],
) -> None:
    """Fail unless every good partition was made once, and every bad one failed with its reason."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
    assert all(run.is_finished for run in runs), Counter(run.status for run in runs)
    ended = {
        status: Counter(run.tags["dagster/partition"] for run in runs if run.status is status)
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    }
    good = {str(partition_key(night, TILE)) for night in nights if night not in bad}
    assert dict(ended[dg.DagsterRunStatus.SUCCESS]) == dict.fromkeys(good, 1)
    failed = {str(partition_key(night, TILE)) for night in bad}
    assert set(ended[dg.DagsterRunStatus.FAILURE]) == failed
    for run in runs:
        if run.status is dg.DagsterRunStatus.FAILURE:
            events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
            texts = " ".join(str(entry.dagster_event.step_failure_data.error) for entry in events)
            assert "CorruptObjectError" in texts, texts
    made = place.query(
        "SELECT night, count(*) FROM products WHERE asset = 'calibrated_exposures' "
        "AND is_current GROUP BY night"
    )
    assert {str(night): n for night, n in made} == {
        str(night): 1 for night in nights if night not in bad
    }
    for name in ASSETS:
        query = dg.AssetRecordsFilter(asset_key=dg.AssetKey(name))
        records = instance.fetch_materializations(query, limit=5 * N_NIGHTS).records
        done = Counter(record.partition_key for record in records)
        assert all(done[key] == 1 for key in good), name
