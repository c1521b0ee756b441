"""Row bands over threads for compiled functions that release the GIL.

A plain thread pool, because numba's own threading layers break on fork or on concurrent callers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MIN_ROWS_PER_BAND = 64
ROWS_PER_BLOCK = 256


def n_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_rows(
    function: Callable[[int, int], object], n_rows: int, *, min_rows: int = MIN_ROWS_PER_BAND
) -> None:
    """Call `function(first, stop)` for bands that cover rows 0 to n_rows, on all cores."""
    n_bands = max(1, min(n_cores(), n_rows // min_rows))
    edges = [n_rows * i // n_bands for i in range(n_bands + 1)]
    if n_bands == 1:
        function(0, n_rows)
        return
    with ThreadPoolExecutor(n_bands) as pool:
        list(pool.map(function, edges[:-1], edges[1:]))


def over_blocks(
    function: Callable[[int, int], object], n_rows: int, *, rows: int = ROWS_PER_BLOCK
) -> None:
    """Call `function(first, stop)` for blocks of `rows`, on all cores.

    For steps of whole-array operations: what they set aside is as large as a block, no more.
    """
    edges = [*range(0, n_rows, rows), n_rows]
    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(function, edges[:-1], edges[1:]))
