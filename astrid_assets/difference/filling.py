"""Masked pixels of a pair: what stands in for them, and what they cost a source's flux.

A pixel without a measurement gets variance 0 (its value is no measurement and adds no noise) and a
value that keeps the static sky from leaving a hole: what the other image shows there. Outside the
image everything is 0, so the Fourier transforms neither wrap around nor see an edge.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_BRIGHT_SIGMA = 3.0
_MIN_NEIGHBOURS = 3


def filled(
    science: FloatArray,
    reference: FloatArray,
    science_variance: FloatArray,
    reference_variance: FloatArray,
    unusable_science: BoolArray | None,
    unusable_reference: BoolArray | None,
    *,
    flux_ratio: float,
    padded: tuple[int, int],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return science, reference and their variances, zero-padded to `padded`, masked pixels filled.

    A science pixel takes the scaled reference where that shows a source, else 0. A reference pixel
    takes the mean of its good neighbours, else the scaled science pixel where that shows a source,
    else 0. Where both are unusable, both hold 0.
    """
    arrays = (science, reference, science_variance, reference_variance)
    n, r, v_n, v_r = (_padded(array, padded) for array in arrays)
    nothing = np.zeros(0, np.int64)
    bad_n = nothing if unusable_science is None else np.flatnonzero(unusable_science)
    bad_r = nothing if unusable_reference is None else np.flatnonzero(unusable_reference)
    if bad_n.size or bad_r.size:
        width = science.shape[1]
        _fill(
            n, r, v_n, v_r, science, reference, science_variance, reference_variance,
            *np.divmod(bad_n, width), *np.divmod(bad_r, width), np.float32(flux_ratio),
        )  # fmt: skip
    return n, r, v_n, v_r


def lost_share(
    unusable: BoolArray | None, footprint: FloatArray, *, shape: tuple[int, int]
) -> FloatArray:
    """Return, per pixel, the share of a source's flux weight lost to unusable pixels and edges.

    footprint: float32 (n, n), n odd, sum 1: the weight of each pixel around a source.
    """
    half = footprint.shape[0] // 2
    ny, nx = shape
    lost = np.zeros(shape, np.float32)
    if unusable is not None:
        y, x = np.divmod(np.flatnonzero(unusable), nx)
        _scatter(lost, y, x, footprint)
    kept_y, kept_x = (
        _kept_inside(footprint.sum(axis=axis, dtype=float), length, half)
        for axis, length in ((1, ny), (0, nx))
    )
    rows, columns = np.flatnonzero(kept_y < 1), np.flatnonzero(kept_x < 1)
    lost[rows] += (1 - np.outer(kept_y[rows], kept_x)).astype(np.float32)
    others = np.setdiff1d(np.arange(ny), rows)
    lost[np.ix_(others, columns)] += (1 - kept_x[columns]).astype(np.float32)
    return lost


def _kept_inside(weights: NDArray[np.float64], length: int, half: int) -> NDArray[np.float64]:
    """Return the share of a one-dimensional footprint that lies inside, per position."""
    total = np.concatenate([[0.0], np.cumsum(weights)])
    position = np.arange(length)
    first = np.clip(half - position, 0, 2 * half + 1)
    stop = np.clip(length - position + half, 0, 2 * half + 1)
    whole = (first == 0) & (stop == 2 * half + 1)
    return np.where(whole, 1.0, np.clip(total[stop] - total[first], 0, 1))


def _padded(array: FloatArray, shape: tuple[int, int]) -> FloatArray:
    out = np.empty(shape, np.float32)
    ny, nx = array.shape
    out[:ny, :nx] = array
    out[ny:] = 0
    out[:ny, nx:] = 0
    return out


@numba.njit(cache=True)
def _fill(n, r, v_n, v_r, science, reference, var_n, var_r, yn, xn, yr, xr, ratio):  # type: ignore[no-untyped-def]
    ny, nx = science.shape
    for y, x in zip(yn, xn):  # noqa: B905
        v_n[y, x] = -1
    for y, x in zip(yr, xr):  # noqa: B905
        v_r[y, x] = -1
    for y, x in zip(yn, xn):  # noqa: B905
        value, noise = np.float32(0), np.float32(0)
        other = reference[y, x]
        if v_r[y, x] >= 0 and other > _BRIGHT_SIGMA * np.sqrt(var_r[y, x]):
            value = other / ratio
            noise = var_r[y, x] / (ratio * ratio)
        n[y, x] = value
        v_n[y, x] = -2 - noise
    for y, x in zip(yr, xr):  # noqa: B905
        total, count = np.float32(0), 0
        for v in range(max(y - 1, 0), min(y + 2, ny)):
            for u in range(max(x - 1, 0), min(x + 2, nx)):
                if v_r[v, u] >= 0:
                    total += reference[v, u]
                    count += 1
        value, noise = np.float32(0), np.float32(0)
        usable = v_n[y, x] >= 0
        if usable and count >= _MIN_NEIGHBOURS:
            value = total / count
        elif usable and science[y, x] > _BRIGHT_SIGMA * np.sqrt(var_n[y, x]):
            value = science[y, x] * ratio
            noise = var_n[y, x] * ratio * ratio
        r[y, x] = value
        v_r[y, x] = -2 - noise
    for y, x in zip(yn, xn):  # noqa: B905
        v_n[y, x] = -2 - v_n[y, x]
    for y, x in zip(yr, xr):  # noqa: B905
        v_r[y, x] = -2 - v_r[y, x]


@numba.njit(cache=True)
def _scatter(lost, ys, xs, weights):  # type: ignore[no-untyped-def]
    ny, nx = lost.shape
    half = weights.shape[0] // 2
    for k in range(ys.size):
        for j in range(weights.shape[0]):
            v = ys[k] - (j - half)
            if v < 0 or v >= ny:
                continue
            for i in range(weights.shape[1]):
                u = xs[k] - (i - half)
                if 0 <= u < nx:
                    lost[v, u] += weights[j, i]
