"""The whole chain on an object store behind a line that fails all the time."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from astrid_resources import dagster_resources
from astrid_resources.objects import Retries
from astrid_resources.objects.retries import MAX_TRIES
from astrid_tests.faults.in_process import counted, log_as_json, opened, partitions
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.sky import REFERENCE_NIGHT_MJD, SCIENCE_NIGHTS_MJD, deliver
from astrid_tests.resources.fault_proxy import FaultProxy, fault_proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CLOCKED = {"audit_log", "models"}
"""Tables that say when the shipped model was put into use: left out of the comparison."""
STATUSES = ("500", "502", "503", "504", "429")


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many operations took how many tries; waits are short."""
    seen: Counter[int] = Counter()
    call = Retries.call
    monkeypatch.setitem(Retries.__init__.__kwdefaults__, "first_wait_s", 0.004)
    monkeypatch.setattr(dagster_resources, "STEP_RETRY_WAIT_S", 0.1)

    def watched(self: Retries, operation: Callable[[], Any], **options: Any) -> Any:
        numbers = [0]

        def once() -> Any:
            numbers[0] += 1
            return operation()

        try:
            return call(self, once, **options)
        finally:
            seen[numbers[0]] += 1

    monkeypatch.setattr(Retries, "call", watched)
    return seen


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before the S3 service whose slow answers take a quarter of a second."""
    with fault_proxy(s3_endpoint) as running:
        running.slow_s = 0.25
        yield running


def bad_line(seed: int) -> Callable[[str, int], str | None]:
    """30 % 5xx or 429, 5 % slow, 1 % resets, 1 % lost answers, 2 % cut-off bodies."""
    chances, lock = random.Random(seed), threading.Lock()

    def plan(method: str, number: int) -> str | None:
        del method, number
        with lock:
            chance, status = chances.random(), chances.choice(STATUSES)
        for limit, fault in (
            (0.30, status),
            (0.35, "slow"),
            (0.36, "reset"),
            (0.37, "lost_answer"),
            (0.39, "truncated"),
        ):
            if chance < limit:
                return fault
        return None

    return plan


def on_s3(places: Places, endpoint: str, drop: Path) -> Place:
    """Return an installation on SQLite with its objects behind `endpoint`."""
    place = places.make(drop=drop)
    bucket = places._bucket()
    return Place({**place.environment, **bucket, "ASTRID_S3_ENDPOINT_URL": endpoint})


def test_every_partition_succeeds_over_a_bad_line(
    places: Places,
    proxy: FaultProxy,
    tries: Counter[int],
    tmp_path: Path,
):
    drop = tmp_path / "incoming"
    deliver(drop, {REFERENCE_NIGHT_MJD: 2, **dict.fromkeys(SCIENCE_NIGHTS_MJD, 1)})
    good, bad = (on_s3(places, proxy.url, drop) for _ in range(2))
    run_all(good)
    assert set(tries) == {1}, "an undisturbed line needs no second try"
    proxy.forget()
    proxy.plan = bad_line(20180803)
    bad = log_as_json(bad, tmp_path / "log.jsonl")
    told = run_all(bad)
    proxy.plan = lambda method, number: None
    n_asked, n_faults = proxy.asked.total(), proxy.faults.total()
    sys.stdout.write(
        f"{n_asked} requests, {n_faults} faults {dict(proxy.faults)}; operations by tries "
        f"{dict(sorted(tries.items()))}; {told}\n"
    )
    assert 0.3 < n_faults / n_asked < 0.5
    assert max(tries) <= MAX_TRIES
    assert told["store_retries"] > 0.2 * n_asked, told
    assert told["store_wait_s"] > 0
    bad.require_clean()
    assert bad.objects() == good.objects()
    rows, expected = bad.rows(), good.rows()
    for name in set(expected) - CLOCKED:
        assert rows[name] == expected[name], name
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    repeated = [line for line in lines if line["logger"] == "astrid.store"]
    assert len(repeated) > 0.2 * n_asked
    assert all(line["run"] for line in lines if line["logger"] == "dagster")


def run_all(place: Place) -> Counter[str]:
    """Run every partition in this process; return the sums of what its assets counted."""
    with opened(place) as pipeline:
        outcomes = [pipeline.ingest(pipeline.settings.drop_folder)]
        (first, tile), *later = partitions(pipeline)
        outcomes += [pipeline.run_night(first, tile), pipeline.make_references(tile)]
        outcomes += [pipeline.run_night(night, tile) for night, _ in later]
        assert [outcome.failures for outcome in outcomes if not outcome.is_success] == []
        return counted(pipeline.instance)
