"""Medians of whole images from a regular sample: enough for numbers that describe an exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 250_000


def sampled(
    values: NDArray[np.floating], where: NDArray[np.bool_] | None = None
) -> NDArray[np.floating]:
    """Return at most about a quarter million of `values` [y, x] (`where` True), evenly spread."""
    n = values.size if where is None else int(np.count_nonzero(where))
    step = max(1, -(-n // MAX_VALUES))
    while step > 1 and values.shape[-1] % step == 0:
        step += 1
    every = values.ravel()[::step]
    return every if where is None else every[where.ravel()[::step]]


def sampled_median(values: NDArray[np.floating], where: NDArray[np.bool_] | None = None) -> float:
    """Return the median of such a sample; NaN of nothing."""
    chosen = sampled(values, where)
    return float(np.median(chosen)) if chosen.size else float("nan")
