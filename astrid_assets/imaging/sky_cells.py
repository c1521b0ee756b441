"""Cells of a sky map: their medians and scatters, and the smooth map that goes through them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from astrid_assets.imaging.medians import empty_histogram, median
from astrid_assets.imaging.threads import over_rows

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
MAD_TO_SIGMA = 1.482602
_MIN_CELL_FRACTION = 0.1
_CLIP_ROUNDS = 6


class Cells:
    """A grid of nearly equal cells of about `mesh_pix` squared over an image of `shape`.

    Their edges lie between bins of 2 x 2 pixels, so that they serve the binned image as well.
    """

    def __init__(self, shape: tuple[int, int], mesh_pix: float) -> None:
        self.shape = shape
        self._bin_edges = [
            np.linspace(0, (n + 1) // 2, max(1, round(n / mesh_pix)) + 1).astype(int) for n in shape
        ]

    def edges(self, *, is_binned: bool) -> tuple[NDArray[np.int64], ...]:
        """Return the edges of the cells' rows and of their columns, in pixels or bins."""
        if is_binned:
            return tuple(self._bin_edges)
        return tuple(np.minimum(2 * e, n) for e, n in zip(self._bin_edges, self.shape, strict=True))

    def medians(self, values: Floats32, sky: Bools) -> Floats:
        """Return each cell's median of `values` (pixels or bins) where `sky`; NaN where none."""
        return self._statistics(values, sky)[..., 0]

    def scatters(self, values: Floats32, sky: Bools) -> Floats:
        """Return 1.4826 times the median of |values|, whose own medians are near 0."""
        return MAD_TO_SIGMA * self._statistics(values, sky, is_absolute=True)[..., 0]

    def clipped(self, values: Floats32, sky: Bools, *, step: int) -> tuple[Floats, Floats]:
        """Return medians and scatters of what remains when sources are cut off as outliers.

        step: every so many pixels or bins along each axis are looked at.
        """
        out = self._statistics(values, sky, step=step, is_clipped=True)
        return out[..., 0], out[..., 1]

    def _statistics(
        self,
        values: Floats32,
        sky: Bools,
        *,
        step: int = 1,
        is_clipped: bool = False,
        is_absolute: bool = False,
    ) -> Floats:
        """Both statistics on the last axis; where no cell has enough, all sky is one cell."""
        bins = 1 if values.shape == self.shape else 2
        rows, columns = (
            np.minimum(edges * (2 // bins), n)
            for edges, n in zip(self._bin_edges, values.shape, strict=True)
        )
        out = np.full((len(rows) - 1, len(columns) - 1, 2), np.nan)

        def band(first: int, stop: int) -> None:
            scratch = empty_histogram()
            _cell_statistics(
                values, sky, rows, columns, step, is_clipped, is_absolute, first, stop, scratch, out
            )

        over_rows(band, len(rows) - 1, min_rows=2)
        if not np.isfinite(out[..., 0]).any() and sky.any():
            alone = values[sky]
            out[:] = _level_and_rms(np.abs(alone) if is_absolute else alone, empty_histogram())
        return out

    def at_centres(self, binned: Floats32) -> Floats:
        """Return a smooth map of bins at the cells' centres."""
        floor, ceil = (
            [rounded((e[:-1] + e[1:] - 1) / 2).astype(int) for e in self._bin_edges]
            for rounded in (np.floor, np.ceil)
        )
        corners = [binned[np.ix_(y, x)] for y in (floor[0], ceil[0]) for x in (floor[1], ceil[1])]
        return np.mean(corners, axis=0, dtype=float)

    def map(self, cells: Floats, *, is_binned: bool = False) -> Floats32:
        """Return `cells`, smoothed 3 x 3, at every pixel (or bin) by cubic convolution."""
        wide = _extended(_smoothed(_filled(cells)), 2).astype(np.float32)
        along_y, along_x = (
            _cubic_weights(edges[:-1] + edges[1:] - 0.5, n, 2 if is_binned else 1)
            for edges, n in zip(self._bin_edges, self.shape, strict=True)
        )
        out = np.empty((len(along_y[0]), len(along_x[0])), np.float32)
        over_rows(
            lambda first, stop: _interpolate(wide, *along_y, *along_x, first, stop, out), len(out)
        )
        return out


@njit(cache=True, nogil=True)
def _level_and_rms(values, scratch):  # type: ignore[no-untyped-def]
    """Median and 1.4826 MAD, cut at 2.5 sigma above and 4 below until it settles."""
    for _ in range(_CLIP_ROUNDS):
        middle = median(values, scratch)
        sigma = MAD_TO_SIGMA * median(np.abs(values - middle), scratch)
        kept = values[(values < middle + 2.5 * sigma) & (values > middle - 4 * sigma)]
        if kept.size == values.size or kept.size == 0:
            break
        values = kept
    return middle, sigma


@njit(cache=True, nogil=True)
def _cell_statistics(  # type: ignore[no-untyped-def]
    data, sky, rows, columns, step, is_clipped, is_absolute, first, stop, scratch, out
):
    """Statistics (last axis of `out`) of the cells with enough sky; others stay NaN."""
    for j in range(first, stop):
        for i in range(columns.size - 1):
            area = (rows[j + 1] - rows[j]) * (columns[i + 1] - columns[i])
            values = np.empty(area + 1, np.float32)
            n = 0
            for y in range(rows[j], rows[j + 1], step):
                line = data[y, columns[i] : columns[i + 1] : step]
                is_sky = sky[y, columns[i] : columns[i + 1] : step]
                for x in range(line.size):
                    values[n] = line[x]
                    n += is_sky[x]
            if is_absolute:
                for k in range(n):
                    values[k] = abs(values[k])
            if n * step * step < _MIN_CELL_FRACTION * area or n == 0:
                continue
            if is_clipped:
                out[j, i, 0], out[j, i, 1] = _level_and_rms(values[:n], scratch)
            else:
                out[j, i, 0] = median(values[:n], scratch)


def _filled(cells: Floats) -> Floats:
    """NaN cells filled from the mean of their neighbours, ring by ring."""
    cells = cells.copy()
    while np.isnan(cells).any():
        padded = np.pad(cells, 1, constant_values=np.nan)
        around = np.stack(
            [
                padded[1 + j : padded.shape[0] - 1 + j, 1 + i : padded.shape[1] - 1 + i]
                for j in (-1, 0, 1)
                for i in (-1, 0, 1)
            ]
        )
        known = np.isfinite(around)
        mean = np.where(known, around, 0).sum(0) / np.maximum(known.sum(0), 1)
        cells = np.where(np.isnan(cells) & known.any(0), mean, cells)
    return cells


def _extended(cells: Floats, width: int) -> Floats:
    """Cells continued linearly beyond the edge (a lone row or column is repeated)."""
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (width, width)
        if cells.shape[axis] > width:
            cells = np.pad(cells, pad, mode="reflect", reflect_type="odd")
        else:
            cells = np.pad(cells, pad, mode="edge")
    return cells


def _smoothed(cells: Floats) -> Floats:
    """3 x 3 median against outliers, where it is far off, then a 3 x 3 mean; linear slopes stay."""
    wide = _extended(cells, 1)
    middle = median_filter(wide, 3, mode="nearest")[1:-1, 1:-1]
    spread = MAD_TO_SIGMA * float(np.median(np.abs(cells - middle)))
    wide = _extended(np.where(np.abs(cells - middle) > 4 * spread, middle, cells), 1)
    rows = (wide[:-2] + wide[1:-1] + wide[2:]) / 3
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 3


def _cubic_weights(positions: Floats, n: int, bin_pix: int) -> tuple[NDArray[np.int64], Floats32]:
    """Return each bin's first cell and the weights (bins, 4) of Catmull-Rom from there on.

    positions: of the cells' centres, evenly spaced; the cells themselves go on by two at each end.
    """
    step = positions[1] - positions[0] if len(positions) > 1 else float(n)
    place = np.interp(
        np.arange((bin_pix - 1) / 2, n + (bin_pix - 1) / 2, bin_pix),
        np.concatenate([[positions[0] - step], positions, [positions[-1] + step]]),
        np.arange(len(positions) + 2) + 1.0,
    )
    base = np.clip(np.floor(place).astype(np.int64), 1, len(positions) + 1)
    t = place - base
    weights = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    return base - 1, np.stack(weights, axis=1).astype(np.float32)


@njit(cache=True, nogil=True)
def _interpolate(cells, at_y, weights_y, at_x, weights_x, first, stop, out):  # type: ignore[no-untyped-def]
    """Fill rows first to stop of `out` from `cells`, four by four."""
    row = np.empty(cells.shape[1], np.float32)
    for y in range(first, stop):
        j, w = at_y[y], weights_y[y]
        for i in range(row.size):
            row[i] = (
                w[0] * cells[j, i] + w[1] * cells[j + 1, i] + w[2] * cells[j + 2, i]
                + w[3] * cells[j + 3, i]
            )  # fmt: skip
        for x in range(out.shape[1]):
            i, w = at_x[x], weights_x[x]
            out[y, x] = w[0] * row[i] + w[1] * row[i + 1] + w[2] * row[i + 2] + w[3] * row[i + 3]
