"""What is left of the sky and of the flux scale between two aligned images, as smooth functions.

The sky level is measured where the score says that nothing is: there its median is 0 by right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.difference.sub_images import Maps
from astrid_assets.difference.surfaces import Surface, fit_surfaces
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import Image

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
_MEDIAN_ERROR = 1.2533


@dataclass(frozen=True)
class LevelSettings:
    """How the residual sky level is measured.

    cell_pix: least edge of a cell whose median counts; n_cells_max: of them along an axis.
    stride_pix: every so many pixels count, in x and in y: neighbours tell the same.
    n_elements_min: independent elements of blank sky below which no level is measured.
    n_cells: cells needed for a level that is constant, linear, quadratic.
    significance: of the level itself, below which it is taken for 0.
    """

    cell_pix: int = 128
    n_cells_max: int = 8
    stride_pix: int = 4
    n_elements_min: int = 500
    n_cells: tuple[int, ...] = (1, 10, 30)
    significance: float = 2.0


def measured_level(
    psf_flux: FloatArray,
    flux_error: FloatArray,
    blank: BoolArray,
    *,
    pixels_per_element: float,
    settings: LevelSettings | None = None,
) -> Surface:
    """Return the PSF flux, science counts, that blank sky shows on the whole; 0 where by chance.

    pixels_per_element: pixels of the map that tell as much as one independent one.
    """
    settings = settings or LevelSettings()
    shape = blank.shape
    step = settings.stride_pix
    per_element = max(1.0, pixels_per_element / step**2)
    edges = [
        np.linspace(0, n, min(settings.n_cells_max, max(1, n // settings.cell_pix)) + 1).astype(int)
        for n in shape
    ]
    rows = []
    for top, below in zip(edges[0][:-1], edges[0][1:], strict=True):
        for left, right in zip(edges[1][:-1], edges[1][1:], strict=True):
            cut = (slice(top, below, step), slice(left, right, step))
            used = blank[cut]
            n = int(np.count_nonzero(used)) / per_element
            if n < settings.n_elements_min / len(edges[0]) / len(edges[1]) or n < 10:
                continue
            level = float(np.median(psf_flux[cut][used]))
            error = _MEDIAN_ERROR * float(flux_error[cut][used].mean()) / np.sqrt(n)
            rows.append(((left + right - 1) / 2, (top + below - 1) / 2, level, error, n))
    table = np.array(rows).reshape(-1, 5)
    if table[:, 4].sum() < settings.n_elements_min:
        return Surface.constant(0.0, shape=shape)
    x, y, levels, errors, _ = table.T
    fit = fit_surfaces(
        x,
        y,
        levels[:, None],
        errors[:, None],
        shape=shape,
        n_needed=settings.n_cells,
        error_floor=0.0,
    )
    (surface,) = fit.surfaces
    if surface.order == 0 and abs(surface.middle) < settings.significance * fit.errors[0]:
        return Surface.constant(0.0, shape=shape)
    return surface


def take_level(maps: Maps, level: Surface, *, effective_area_pix: float) -> None:
    """Take a sky `level` (a PSF flux, science counts) from difference, score and PSF flux in place.

    The maps must be the caller's own, just made: copies of them would cost as much as a transform.
    effective_area_pix: 1 / sum(P_D^2), by which a PSF flux is a level per pixel of the difference.
    A score of 0 (nothing was measured) stays 0.
    """
    if not any(level.coefficients):
        return
    powers, per_pixel = level.powers, np.float32(1 / effective_area_pix)
    own = (maps.difference, maps.score_corrected, maps.psf_flux)

    def band(first: int, stop: int) -> None:
        _lower(*own, maps.psf_flux_error, powers, per_pixel, first, stop)

    over_rows(band, level.shape[0])


def on_one_scale(aligned: Image, log_flux_ratio: Surface) -> Image:
    """Return the aligned reference with its flux scale made that of the field's centre.

    log_flux_ratio: ln F_r / F_n over the field; where it is constant the image is returned as is.
    """
    if log_flux_ratio.order == 0:
        return aligned
    data, variance = np.empty_like(aligned.data), np.empty_like(aligned.variance)
    powers = log_flux_ratio.powers

    def band(first: int, stop: int) -> None:
        _rescaled(aligned.data, aligned.variance, powers, first, stop, data, variance)

    over_rows(band, aligned.shape[0])
    return aligned.with_(data=data, variance=variance)


@njit(cache=True, nogil=True)
def _along_row(powers, y, ny, nx, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the polynomial of `powers` on row y of an image of (ny, nx)."""
    order = powers.shape[0] - 1
    v = 2.0 * y / max(ny - 1, 1) - 1
    row = np.zeros(order + 1)
    for i in range(order + 1):
        for j in range(order - i, -1, -1):
            row[i] = row[i] * v + powers[i, j]
    for x in range(nx):
        u = 2.0 * x / max(nx - 1, 1) - 1
        total = 0.0
        for i in range(order, -1, -1):
            total = total * u + row[i]
        out[x] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _lower(difference, score, flux, flux_error, powers, per_pixel, first, stop):  # type: ignore[no-untyped-def]
    ny, nx = difference.shape
    zero = np.float32(0)
    levels = np.empty(nx, np.float32)
    for y in range(first, stop):
        _along_row(powers, y, ny, nx, levels)
        for x in range(nx):
            difference[y, x] -= levels[x] * per_pixel
        for x in range(nx):
            flux[y, x] -= levels[x]
        for x in range(nx):
            lowered = score[y, x] - levels[x] / flux_error[y, x]
            score[y, x] = lowered if score[y, x] != zero else zero


@njit(cache=True, nogil=True)
def _rescaled(data, variance, powers, first, stop, out_data, out_variance):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    logs = np.empty(nx)
    for y in range(first, stop):
        _along_row(powers, y, ny, nx, logs)
        for x in range(nx):
            factor = np.float32(np.exp(powers[0, 0] - logs[x]))
            out_data[y, x] = data[y, x] * factor
            out_variance[y, x] = variance[y, x] * factor * factor
