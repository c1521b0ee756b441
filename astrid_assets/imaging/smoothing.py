"""Separable smoothing of images and growth of masks, compiled, in row bands on all cores."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.threads import over_rows

Bools = NDArray[np.bool_]
Floats32 = NDArray[np.float32]


def gaussian_taps(sigma_pix: float, *, truncate: float = 3.0) -> Floats32:
    """Return the odd number of weights, sum 1, of a Gaussian cut at `truncate` sigma."""
    radius = int(truncate * sigma_pix + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma_pix, 1e-6)) ** 2)
    return (taps / taps.sum()).astype(np.float32)


def smoothed(data: Floats32, taps: Floats32) -> Floats32:
    """Return float32 `data` [y, x] smoothed by symmetric `taps` along both axes.

    Beyond its edges the image is reflected.
    """
    out = np.empty_like(data, order="C")

    def band(first: int, stop: int) -> None:
        _smooth(data, taps, first, stop, out)

    over_rows(band, data.shape[0])
    return out


def smoothed_rows(data: Floats32, taps: Floats32, rows: slice) -> Floats32:
    """Return some rows of `smoothed`, on this thread alone."""
    out = np.empty_like(data, order="C")
    _smooth(data, taps, rows.start, rows.stop, out)
    return out[rows]


def grown(mask: Bools, pixels: int) -> Bools:
    """Return `mask` [y, x] grown by so many pixels along both axes: squares."""
    along, out = np.empty(mask.shape, bool), np.empty(mask.shape, bool)
    ny, nx = mask.shape
    over_rows(lambda first, stop: _grow_rows(mask, pixels, first, stop, along), ny)
    over_rows(lambda first, stop: _grow_columns(along, pixels, first, stop, out), nx)
    return out


def within(mask: Bools, radius_pix: float) -> Bools:
    """Return where [y, x] a pixel of `mask` is no farther than `radius_pix`."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    reach = int(radius_pix)
    rows = np.arange(-reach, reach + 1)
    half = np.sqrt(np.maximum(radius_pix**2 - rows**2, 0)).astype(np.int64)
    nearest, out = np.empty(mask.shape, np.uint16), np.zeros(mask.shape, bool)
    cap = reach + 1

    def along(first: int, stop: int) -> None:
        _row_distance(mask, cap, first, stop, nearest)

    def across(first: int, stop: int) -> None:
        _near_rows(nearest, half, first, stop, out)

    over_rows(along, mask.shape[0])
    over_rows(across, mask.shape[0])
    return out


@njit(cache=True, nogil=True, fastmath=True)
def _smooth(data, taps, first, stop, out):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    radius = taps.size // 2
    line = np.zeros(nx + 2 * radius, np.float32)
    inner = line[radius : radius + nx]
    for y in range(first, stop):
        inner[:] = taps[radius] * data[y]
        for k in range(1, radius + 1):
            above, below = data[_reflected(y - k, ny)], data[_reflected(y + k, ny)]
            weight = taps[radius + k]
            for x in range(nx):
                inner[x] += weight * (above[x] + below[x])
        for k in range(radius):
            line[radius - 1 - k] = inner[_reflected(-1 - k, nx)]
            line[radius + nx + k] = inner[_reflected(nx + k, nx)]
        row = out[y]
        row[:] = taps[radius] * inner
        for k in range(1, radius + 1):
            left, right = line[radius - k : radius - k + nx], line[radius + k : radius + k + nx]
            weight = taps[radius + k]
            for x in range(nx):
                row[x] += weight * (left[x] + right[x])


@njit(cache=True, nogil=True)
def _reflected(i, n):  # type: ignore[no-untyped-def]
    """Index i folded into 0 to n - 1 at the outer sides of the end pixels."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@njit(cache=True, nogil=True)
def _row_distance(mask, cap, first, stop, out):  # type: ignore[no-untyped-def]
    """Distance along the row to the nearest pixel of `mask`, at most `cap`."""
    nx = mask.shape[1]
    for y in range(first, stop):
        distance = cap
        for x in range(nx):
            distance = 0 if mask[y, x] else min(distance + 1, cap)
            out[y, x] = distance
        for x in range(nx - 1, -1, -1):
            distance = 0 if mask[y, x] else min(distance + 1, cap)
            out[y, x] = min(out[y, x], distance)


@njit(cache=True, nogil=True)
def _near_rows(nearest, half, first, stop, out):  # type: ignore[no-untyped-def]
    """True where some row above or below has its nearest pixel within the disc's `half` width."""
    ny, nx = nearest.shape
    reach = half.size // 2
    for y in range(first, stop):
        row = out[y]
        for k in range(max(-reach, -y), min(reach, ny - 1 - y) + 1):
            limit, other = np.uint16(half[k + reach]), nearest[y + k]
            for x in range(nx):
                row[x] |= other[x] <= limit


@njit(cache=True, nogil=True)
def _grow_rows(mask, pixels, first, stop, out):  # type: ignore[no-untyped-def]
    """Rows first to stop of `mask` grown by `pixels` to the left and to the right."""
    nx = mask.shape[1]
    for y in range(first, stop):
        out[y] = False
        last = -(10**9)
        for x in range(nx + pixels):
            if x < nx and mask[y, x]:
                last = x
            if x >= pixels and last >= x - 2 * pixels:
                out[y, x - pixels] = True


@njit(cache=True, nogil=True)
def _grow_columns(mask, pixels, first, stop, out):  # type: ignore[no-untyped-def]
    """Columns first to stop of `mask` grown by `pixels` up and down."""
    ny = mask.shape[0]
    latest = np.full(stop - first, -(10**9))
    for y in range(ny + pixels):
        if y < ny:
            row = mask[y, first:stop]
            for x in range(row.size):
                if row[x]:
                    latest[x] = y
        if y >= pixels:
            grown_row = out[y - pixels, first:stop]
            for x in range(grown_row.size):
                grown_row[x] = latest[x] >= y - 2 * pixels
