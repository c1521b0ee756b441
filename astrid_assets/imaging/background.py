"""The sky level and its noise as smooth maps, sources kept out.

Sources are looked for on bins of 2 x 2 pixels, of which the level is taken, too: the median of
bins is as precise as that of the pixels and costs a quarter. The noise is that of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.noise_steps import find_noise_steps
from astrid_assets.imaging.sky_cells import Cells
from astrid_assets.imaging.smoothing import gaussian_taps, smoothed
from astrid_assets.imaging.sources import DEFAULT_FWHM_PIX, source_mask
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import KnownFailure

Bools = NDArray[np.bool_]
Floats32 = NDArray[np.float32]
_LEVEL_MASK_SIGMA = 2.7
_RMS_MASK_SIGMA = 3.5
_GROW_BINS = 2
_LEAST_COVER = np.float32(0.3)
_ROUNDS = 2
_FINE_MESH_PIX = 48
_MIN_USABLE_PIXELS = 256


class NoSkyError(KnownFailure):
    """Too few usable pixels to measure a sky."""


@dataclass(frozen=True)
class Background:
    """level, rms: sky level and blank-sky standard deviation, float32 [y, x], units of the data."""

    level: Floats32 = field(repr=False)
    rms: Floats32 = field(repr=False)


def estimate_background(
    data: Floats32,
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
    usable = _usable(data, unusable)
    cells = Cells(data.shape, mesh_pix)
    if sources is not None:
        sky = usable & ~sources
        sky = sky if sky.any() else usable
        mean, cover = _binned(data, sky)
        return _background(data, sky, cells, cells.medians(mean, cover >= 0.5))
    mean, cover = _binned(data, usable)
    whole = cover >= 0.5
    step = 2 if mesh_pix >= _FINE_MESH_PIX else 1
    levels, scatters = cells.clipped(mean, whole, step=step)
    factor: Floats32 | None = None
    for _ in range(_ROUNDS):
        base = cells.map(levels, is_binned=True)
        left = mean - base
        rms = _rms_map(cells, scatters, factor, is_binned=True)
        significance = _significance(left, cover, rms, fwhm_pix)
        near, nearest = (
            source_mask(significance, threshold_sigma=sigma, grow_pix=_GROW_BINS)
            for sigma in (_LEVEL_MASK_SIGMA, _RMS_MASK_SIGMA)
        )
        levels = cells.medians(left, whole & ~near) + cells.at_centres(base)
        sky = whole & ~nearest
        scatters = cells.scatters(left if factor is None else left / factor, sky)
        if factor is None:
            steps = find_noise_steps(left, sky, scatters, cells.edges(is_binned=True))
            if steps is not None:
                factor = steps.map(left.shape)
                scatters = cells.scatters(left / factor, sky)
    sky = usable & _unbinned(~nearest, data.shape)
    return _background(data, sky, cells, levels, factor)


def rough_background(data: Floats32, *, unusable: Bools, mesh_pix: int = 64) -> Background:
    """Return level and rms good to a few percent of the rms, sources cut off as outliers.

    Enough to tell cosmic rays and bright stars from the sky. Raises NoSkyError.
    """
    usable = _usable(data, unusable)
    cells = Cells(data.shape, mesh_pix)
    step = 4 if mesh_pix >= _FINE_MESH_PIX else 2
    levels, scatters = cells.clipped(data, usable, step=step)
    level = cells.map(levels)
    steps = find_noise_steps(data, usable, scatters, cells.edges(is_binned=False))
    if steps is None:
        return Background(level, _rms_map(cells, scatters))
    factor = steps.map(data.shape)
    scatters = cells.clipped((data - level) / factor, usable, step=step)[1]
    return Background(level, _rms_map(cells, scatters, factor))


def _usable(data: Floats32, unusable: Bools) -> Bools:
    usable: Bools = ~unusable & np.isfinite(data)
    n_usable = int(usable.sum())
    if n_usable < _MIN_USABLE_PIXELS:
        raise NoSkyError(
            f"the sky needs {_MIN_USABLE_PIXELS} usable pixels, got {n_usable} of {data.size}",
            n_usable=n_usable, n_required=_MIN_USABLE_PIXELS,
        )  # fmt: skip
    return usable


def _background(
    data: Floats32,
    sky: Bools,
    cells: Cells,
    levels: NDArray[np.float64],
    factor: Floats32 | None = None,
) -> Background:
    """The maps that follow from the cells' levels and from the pixels where `sky`.

    factor: steps of the noise, on bins.
    """
    level = cells.map(levels)
    left = data - level
    if factor is not None:
        factor = _unbinned(factor, data.shape)
        left /= factor
    return Background(level, _rms_map(cells, cells.scatters(left, sky), factor))


def _rms_map(
    cells: Cells,
    scatters: NDArray[np.float64],
    factor: Floats32 | None = None,
    *,
    is_binned: bool = False,
) -> Floats32:
    """The cells' scatters, times the noise's steps, as a map that is positive everywhere."""
    least = np.float32(0.1 * np.nanmedian(scatters) + 1e-12)
    rms = cells.map(scatters, is_binned=is_binned)
    np.maximum(rms, least, out=rms)
    return rms if factor is None else rms * factor


def _significance(
    left: Floats32, cover: Floats32, rms: Floats32, fwhm_pix: float | None
) -> Floats32:
    """Bins less their level, smoothed to `fwhm_pix`, in sigmas of smoothed noise.

    rms: scatter of whole bins. 0 where less than 30 % of the kernel is usable.
    """
    sigma_pix = (fwhm_pix or DEFAULT_FWHM_PIX) / 2.3548
    taps = gaussian_taps(np.sqrt(max(sigma_pix**2 - 0.25, 0.1)) / 2)
    smooth = smoothed(left * cover, taps)
    smooth /= rms * np.float32((taps**2).sum())
    if (cover < 1).any():
        share = smoothed(cover, taps)
        smooth /= np.maximum(share, _LEAST_COVER)
        smooth[share < _LEAST_COVER] = 0
    return smooth


def _binned(data: Floats32, usable: Bools) -> tuple[Floats32, Floats32]:
    """Mean of the usable pixels of each 2 x 2 bin (0 without any), and their share of the four."""
    shape = ((data.shape[0] + 1) // 2, (data.shape[1] + 1) // 2)
    mean, cover = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def band(first: int, stop: int) -> None:
        _bin(data, usable, first, stop, mean, cover)

    over_rows(band, shape[0])
    return mean, cover


def _unbinned(bins: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    out = np.repeat(np.repeat(bins, 2, axis=0), 2, axis=1)[: shape[0], : shape[1]]
    return np.ascontiguousarray(out)


@njit(cache=True, nogil=True)
def _bin(data, usable, first, stop, mean, cover):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    for j in range(first, stop):
        for i in range(mean.shape[1]):
            total, n = np.float32(0), 0
            for y in range(2 * j, min(2 * j + 2, ny)):
                for x in range(2 * i, min(2 * i + 2, nx)):
                    if usable[y, x]:
                        total += data[y, x]
                        n += 1
            mean[j, i] = total / max(n, 1)
            cover[j, i] = np.float32(0.25) * n
