"""What the benchmark measures of a process is that process's own."""

import sys

import numpy as np
import pytest

from astrid_assets.bench.measure import (
    Cost,
    ProcessFailedError,
    in_turns,
    measured,
    measured_process,
    typical,
)

_MEMORY = "import time; kept = bytearray(60_000_000); time.sleep(0.2); print('done')"


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
def test_a_process_is_charged_with_its_own_memory_and_not_with_its_parents(tmp_path):
    here = np.ones(60_000_000)  # half a gigabyte that a child would inherit at first
    text, small = measured_process([sys.executable, "-c", "print('done')"], folder=tmp_path)
    assert text == "done\n"
    _, large = measured_process([sys.executable, "-c", _MEMORY], folder=tmp_path)
    assert small.peak_mb < here.nbytes / 1e6 / 4
    assert large.peak_mb - small.peak_mb > 50
    assert large.wall_s > 0.2


def test_a_failed_process_says_why(tmp_path):
    with pytest.raises(ProcessFailedError, match=r"status 1.*no such peer"):
        measured_process(
            [sys.executable, "-c", "raise SystemExit('no such peer')"], folder=tmp_path
        )


def test_growth_is_counted_from_the_start_of_the_call():
    held = np.ones(20_000_000)
    made, cost = measured(lambda: np.ones(20_000_000))
    assert made.size == held.size
    assert 100 < cost.grown_mb < 300
    assert cost.peak_mb > cost.grown_mb


def test_calls_take_turns_after_one_that_is_not_counted():
    order = []
    first, second = in_turns(lambda: order.append("a"), lambda: order.append("b"), n_turns=3)
    assert order == ["a", "b"] * 4
    assert min(first.wall_s, second.wall_s) >= 0


def test_times_are_medians_and_memory_is_the_worst():
    cost = typical(
        [Cost(1.0, 5.0, 10.0, 1.0), Cost(9.0, 6.0, 30.0, 2.0), Cost(2.0, 7.0, 20.0, 3.0)]
    )
    assert cost == Cost(2.0, 6.0, 30.0, 3.0)
