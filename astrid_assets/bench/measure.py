"""Measurements: wall time, CPU time and peak memory of a call here, or of a process of its own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil

Result = TypeVar("Result")
_SAMPLE_S = 0.005
_MEGABYTE = 1e6
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Cost:
    """What a call cost: seconds of wall clock and of all threads' CPU, peak resident megabytes.

    grown_mb: that peak less what was resident when the call began.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    grown_mb: float = 0.0


class ProcessFailedError(RuntimeError):
    """A measured process ended with an error or took too long."""


def measured(call: Callable[[], Result]) -> tuple[Result, Cost]:
    """Return the result of `call` and its cost; memory is sampled every 5 ms in a thread."""
    process = psutil.Process()
    start = peak = process.memory_info().rss
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
    peak = max(peak, process.memory_info().rss)
    return result, Cost(*cost, peak / _MEGABYTE, (peak - start) / _MEGABYTE)


def in_turns(*calls: Callable[[], Any], n_turns: int) -> list[Cost]:
    """Return the typical cost of each of `calls`, from warm turns of all of them in succession.

    Taken in turns, calls that are compared meet the same mood of the machine.
    """
    for call in calls:
        call()
    turns = [[measured(call)[1] for call in calls] for _ in range(n_turns)]
    return [typical(costs) for costs in zip(*turns, strict=True)]


def typical(costs: Sequence[Cost]) -> Cost:
    """Return the medians of wall and CPU time, and the highest memory."""
    return Cost(
        float(np.median([cost.wall_s for cost in costs])),
        float(np.median([cost.cpu_s for cost in costs])),
        max(cost.peak_mb for cost in costs),
        max(cost.grown_mb for cost in costs),
    )


def measured_process(
    command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[str, Cost]:
    """Return the standard output of a process run in `folder`, and its cost from start to end.

    Its peak is its own high-water mark (Linux), not what it inherited from this process.
    Raises ProcessFailedError with the end of its standard error.
    """
    kept = {**os.environ, **(environment or {})}
    with (folder / "stdout.txt").open("w+") as out, (folder / "stderr.txt").open("w+") as err:
        wall = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  (the commands are ours)
            [str(part) for part in command],
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        peak = 0.0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, high_water_mb(process.pid))
            if time.perf_counter() - wall > _LONGEST_S:
                process.kill()
            time.sleep(_SAMPLE_S)
        cost = Cost(time.perf_counter() - wall, usage.ru_utime + usage.ru_stime, peak, peak)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            err.seek(0)
            raise ProcessFailedError(
                f"{command[0]}: status {process.returncode}: {err.read()[-500:]}"
            )
        out.seek(0)
        return out.read(), cost


def high_water_mb(pid: int | None = None) -> float:
    """Return the largest resident memory so far of a process (this one), MB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((1024e-6 * float(line.split()[1]) for line in lines if "VmHWM" in line), 0.0)
