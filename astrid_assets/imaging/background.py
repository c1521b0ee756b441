"""The sky level and its noise as smooth maps, sources kept out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from astrid_assets.imaging.sources import source_mask, source_significance
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import KnownFailure

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
_MAD_TO_SIGMA = 1.482602
_MIN_CELL_FRACTION = 0.2
_LEVEL_MASK_SIGMA = 3.0
_RMS_MASK_SIGMA = 3.5
_ROUGH_MESH_PIX = 48
_MIN_USABLE_PIXELS = 256


class NoSkyError(KnownFailure):
    """Too few usable pixels to measure a sky."""


@dataclass(frozen=True)
class Background:
    """level, rms: sky level and blank-sky standard deviation, float32 [y, x], units of the data."""

    level: NDArray[np.float32] = field(repr=False)
    rms: NDArray[np.float32] = field(repr=False)


def estimate_background(
    data: NDArray[np.float32],
    *,
    unusable: Bools,
    mesh_pix: int = 64,
    sources: Bools | None = None,
    fwhm_pix: float | None = None,
) -> Background:
    """Return level and rms of the sky of `data` [y, x] in cells of about `mesh_pix`.

    A cell's level is the median of its pixels outside `unusable` and `sources`, its rms that of
    what the level map leaves (a gradient is no noise); the cells are smoothed 3 x 3 and
    interpolated by cubic convolution. Without `sources` they are found here, in two rounds, more
    generously for the level (which faint sources bias) than for the rms (which a cut on noise
    biases). Each round measures what the last level left, so that masks on one side of a cell on
    a slope do no harm.
    Raises NoSkyError where fewer than 256 pixels are usable.
    """
    usable = ~unusable & np.isfinite(data)
    n_usable = int(usable.sum())
    if n_usable < _MIN_USABLE_PIXELS:
        raise NoSkyError(
            f"the sky needs {_MIN_USABLE_PIXELS} usable pixels, got {n_usable} of {data.size}",
            n_usable=n_usable, n_required=_MIN_USABLE_PIXELS,
        )  # fmt: skip
    clean = np.where(usable, data, np.float32(0))
    if sources is not None:
        sky = usable & ~sources
        return _maps(clean, sky, sky, usable, mesh_pix)
    rough = 2 if mesh_pix >= _ROUGH_MESH_PIX else 1
    background = _maps(clean, usable, usable, usable, mesh_pix, is_clipped=True, step=rough)
    for step in (rough, 1):
        left = clean - background.level
        significance = source_significance(
            left, background.rms, unusable=~usable, fwhm_pix=fwhm_pix
        )
        for_level = usable & ~source_mask(significance, threshold_sigma=_LEVEL_MASK_SIGMA)
        for_rms = usable & ~source_mask(significance, threshold_sigma=_RMS_MASK_SIGMA)
        background = _maps(
            left, for_level, for_rms, usable, mesh_pix, base=background.level, step=step
        )
    return background


def _maps(
    data: NDArray[np.float32],
    for_level: Bools,
    for_rms: Bools,
    usable: Bools,
    mesh: int,
    *,
    is_clipped: bool = False,
    base: NDArray[np.float32] | None = None,
    step: int = 1,
) -> Background:
    """Cells' medians and scatters as smooth maps; cells without enough sky take neighbours'.

    base: a level already taken off `data`, part of the one returned. step: only every
    `step`-th pixel along each axis is looked at.
    """
    ny, nx = data.shape
    rows, columns = _edges(ny, mesh), _edges(nx, mesh)
    positions = [(edges[:-1] + edges[1:] - 1) / 2 for edges in (rows, columns)]
    clips = 6 if is_clipped else 1

    def cells(values: NDArray[np.float32], sky: Bools, *, column: int) -> Floats:
        out = np.full((len(rows) - 1, len(columns) - 1, 2), np.nan)

        def band(first: int, stop: int) -> None:
            _cell_statistics(values, sky, rows, columns, clips, step, first, stop, out)

        over_rows(band, len(rows) - 1, min_rows=2)
        if not np.isfinite(out).any():
            out[:] = _level_and_rms(values[usable], 6)
        return out[..., column]

    levels = cells(data, for_level, column=0)
    if base is not None:
        levels += _at_centres(base, positions)
    level = _interpolated(_smoothed(_filled(levels)), positions, (ny, nx))
    scatter = cells(data - (level if base is None else level - base), for_rms, column=1)
    rms = _interpolated(_smoothed(_filled(scatter)), positions, (ny, nx))
    return Background(level, np.maximum(rms, _tiny(scatter)))


def _at_centres(values: NDArray[np.float32], positions: list[Floats]) -> Floats:
    """A smooth map at cell centres, which stand on pixels or half-way between two."""
    (y0, y1), (x0, x1) = ((np.floor(p).astype(int), np.ceil(p).astype(int)) for p in positions)
    corners = [values[np.ix_(y, x)] for y in (y0, y1) for x in (x0, x1)]
    return np.mean(corners, axis=0, dtype=float)


def _edges(n: int, mesh: int) -> NDArray[np.intp]:
    """Edges of round(n / mesh) nearly equal cells."""
    cells = max(1, round(n / mesh))
    return np.linspace(0, n, cells + 1).astype(int)


def _tiny(rms: Floats) -> np.float32:
    return np.float32(0.1 * np.nanmedian(rms) + 1e-12)


@njit(cache=True, nogil=True)
def _level_and_rms(values, clips):  # type: ignore[no-untyped-def]
    """Median and 1.4826 MAD; with clips > 1 cut at 2.5 sigma above, 4 below, until it settles."""
    for _ in range(clips):
        middle = np.median(values)
        sigma = _MAD_TO_SIGMA * np.median(np.abs(values - middle))
        if clips > 1:
            kept = values[(values < middle + 2.5 * sigma) & (values > middle - 4 * sigma)]
            if kept.size == values.size or kept.size == 0:
                break
            values = kept
    return middle, sigma


@njit(cache=True, nogil=True)
def _cell_statistics(data, sky, rows, columns, clips, step, first, stop, out):  # type: ignore[no-untyped-def]
    """Level and rms (last axis of `out`) of the cells with enough sky; others stay NaN."""
    for j in range(first, stop):
        for i in range(columns.size - 1):
            area = (rows[j + 1] - rows[j]) * (columns[i + 1] - columns[i])
            values = np.empty(area, np.float32)
            n = 0
            for y in range(rows[j], rows[j + 1], step):
                for x in range(columns[i], columns[i + 1], step):
                    if sky[y, x]:
                        values[n] = data[y, x]
                        n += 1
            if n * step * step >= _MIN_CELL_FRACTION * area and n > 0:
                out[j, i, 0], out[j, i, 1] = _level_and_rms(values[:n], clips)


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
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(cells - middle)))
    wide = _extended(np.where(np.abs(cells - middle) > 4 * spread, middle, cells), 1)
    rows = (wide[:-2] + wide[1:-1] + wide[2:]) / 3
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 3


def _interpolated(
    cells: Floats, positions: list[Floats], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Cells at `positions` (rows, columns) to every pixel by separable cubic convolution."""
    wide = _extended(cells, 2)
    left = _cubic_matrix(positions[0], shape[0])
    right = _cubic_matrix(positions[1], shape[1])
    return np.ascontiguousarray(left @ wide.astype(np.float32) @ right.T)


def _cubic_matrix(positions: Floats, n: int) -> NDArray[np.float32]:
    """Weights (n, cells + 4) of Catmull-Rom interpolation between evenly spaced cell centres."""
    step = positions[1] - positions[0] if len(positions) > 1 else float(n)
    place = np.interp(
        np.arange(n),
        np.concatenate([[positions[0] - step], positions, [positions[-1] + step]]),
        np.arange(len(positions) + 2) + 1.0,
    )
    base = np.clip(np.floor(place).astype(int), 1, len(positions) + 1)
    t = place - base
    weights = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    matrix = np.zeros((n, len(positions) + 4), np.float32)
    for k, weight in enumerate(weights):
        matrix[np.arange(n), base - 1 + k] = weight
    return matrix
