"""One measurement: wall time, CPU time and the peak of resident memory of a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psutil

Result = TypeVar("Result")
_SAMPLE_S = 0.005
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Cost:
    """What a call cost: seconds of wall clock and of all threads' CPU, peak resident megabytes."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measured(call: Callable[[], Result]) -> tuple[Result, Cost]:
    """Return the result of `call` and its cost; memory is sampled every 5 ms in a thread."""
    process = psutil.Process()
    peak = process.memory_info().rss
    is_done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_done.wait(_SAMPLE_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        result = call()
    finally:
        cost = (time.perf_counter() - wall, time.process_time() - cpu)
        is_done.set()
        watcher.join()
    return result, Cost(*cost, max(peak, process.memory_info().rss) / _MEGABYTE)
