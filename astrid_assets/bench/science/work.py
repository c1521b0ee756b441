"""Many fields measured by processes of one core each, every result stored as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized

from astrid_assets.bench.science.cases import Case
from astrid_assets.bench.science.measure import measure
from astrid_assets.bench.science.store import Results
from astrid_resources.images import KnownFailure

Task = tuple[Case, int]


def measure_all(
    tasks: Sequence[Task], results: Results, *, n_workers: int, say: Callable[[str], None]
) -> None:
    """Measure in processes of one core each: a field's own threads would only wait for memory."""
    if not tasks:
        return
    start = time.monotonic()
    # Spawned, since a fork would carry over locks of running threads.
    context = get_context("spawn")
    with ProcessPoolExecutor(
        n_workers,
        mp_context=context,
        initializer=_take_one_core,
        initargs=(context.Value("i", 0),),
    ) as workers:
        waiting = {workers.submit(_measure_one, task, results): task for task in tasks}
        for done, future in enumerate(as_completed(waiting), 1):
            case, seed = waiting[future]
            future.result()
            passed = time.monotonic() - start
            left = passed / done * (len(tasks) - done)
            say(f"{done} of {len(tasks)}: {case.name} {seed} ({passed:.0f} s, {left:.0f} s to go)")


def _take_one_core(n_started: Synchronized[int]) -> None:
    """Keep this process on a core of its own, so that the chain uses one thread."""
    with n_started.get_lock():
        number = n_started.value
        n_started.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def _measure_one(task: Task, results: Results) -> None:
    case, seed = task
    try:
        results.write(case, measure(case, seed))
    except KnownFailure as failure:
        results.write_failure(case, seed, f"{type(failure).__name__}: {failure}")
