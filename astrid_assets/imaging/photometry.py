"""Photometry primitives: apertures, forced PSF fluxes, growth curves, sub-pixel values of maps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from photutils.aperture import CircularAperture
from photutils.aperture import aperture_photometry as photutils_photometry

from astrid_assets.imaging.kernel import FIRST_TAP, PHASES, TAPS, weight_table
from astrid_assets.imaging.psf_stamp import place_psf
from astrid_resources.images import PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
NJY_ZERO_POINT = 31.4
"""AB magnitude of 1 nJy."""


def njy_per_adu(zero_point_ab_mag: float) -> float:
    """Return flux in nJy of one count of the whole exposure at an AB zero point."""
    return float(10 ** (-0.4 * (zero_point_ab_mag - NJY_ZERO_POINT)))


@dataclass(frozen=True)
class Photometry:
    """Fluxes at given positions, arrays of one length.

    flux, flux_error: ADU; NaN where nothing was measured. usable_fraction: of the aperture's area
    or of the PSF's flux^2 on usable pixels, 0 to 1.
    """

    flux: Floats = field(repr=False)
    flux_error: Floats = field(repr=False)
    usable_fraction: Floats = field(repr=False)


def aperture_photometry(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.uint32],
    x: Floats,
    y: Floats,
    *,
    radius_pix: float,
) -> Photometry:
    """Return summed counts within `radius_pix` of (x, y) on a sky-subtracted image [y, x].

    Unusable pixels are left out and not made up for; see `usable_fraction`.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    aperture = CircularAperture(np.stack([x, y], axis=1), r=radius_pix)
    unusable = has_any(mask, *UNUSABLE)
    error = np.sqrt(variance, dtype=np.float32)
    table = photutils_photometry(data, aperture, error=error, mask=unusable)
    area = aperture.area_overlap(np.ones(data.shape), mask=unusable)
    fraction = np.nan_to_num(np.atleast_1d(area)) / aperture.area
    empty = fraction <= 0
    flux = np.where(empty, np.nan, np.asarray(table["aperture_sum"], float))
    flux_error = np.where(empty, np.nan, np.asarray(table["aperture_sum_err"], float))
    return Photometry(flux, flux_error, fraction)


def psf_photometry(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    psf: PSFModel,
    x: Floats,
    y: Floats,
    *,
    mask: NDArray[np.uint32] | None = None,
    radius_pix: int | None = None,
) -> Photometry:
    """Return PSF fluxes forced at (x, y) on a sky-subtracted image [y, x].

    The weight is the PSF itself, sum(P d) / sum(P^2): unlike weights from a variance that was made
    from the same pixels it has no bias; the error is propagated from `variance`.
    radius_pix: half-width of the stamp used, by default twice the FWHM.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    radius = radius_pix or int(np.ceil(2 * psf.fwhm_pix))
    unusable = None if mask is None else has_any(mask, *UNUSABLE)
    out = np.full((3, len(x)), np.nan)
    out[2] = 0.0
    for k in range(len(x)):
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        placed = place_psf(psf, x[k], y[k], radius_pix=radius)
        profile, window = placed.profile, placed.window
        if not profile.size:
            continue
        whole = place_psf(psf, psf.shape[1] // 2, psf.shape[0] // 2, radius_pix=radius).profile
        used = profile if unusable is None else np.where(unusable[window], 0, profile)
        norm = float((used**2).sum())
        out[2, k] = min(1.0, norm / float((whole**2).sum()))
        if norm <= 0:
            continue
        out[0, k] = (used * data[window]).sum() / norm
        out[1, k] = np.sqrt((used**2 * variance[window]).sum()) / norm
    return Photometry(*out)


def growth_curve(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.uint32],
    x: Floats,
    y: Floats,
    *,
    radii_pix: Floats,
) -> Floats:
    """Return the median of flux(radius) / flux(largest radius) over stars at (x, y).

    radii_pix: increasing. Stars with an unusable pixel within the largest radius do not count;
    NaN where none is left.
    """
    curves = [
        aperture_photometry(data, variance, mask, x, y, radius_pix=float(r)) for r in radii_pix
    ]
    last = curves[-1]
    whole = (last.usable_fraction > 0.999) & (last.flux > 0)
    if not whole.any():
        return np.full(len(radii_pix), np.nan)
    return np.array([np.median(curve.flux[whole] / last.flux[whole]) for curve in curves])


def interpolate_at(values: NDArray[np.float32], x: Floats, y: Floats) -> Floats:
    """Return a map [y, x] at sub-pixel positions by the six-tap star kernel.

    NaN off the map (beyond half a pixel from its outermost centres); edge pixels are repeated.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    ny, nx = values.shape
    on = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
    out = np.full(len(x), np.nan)
    columns, wx = _taps(x[on], nx)
    rows, wy = _taps(y[on], ny)
    around = values[rows[:, :, None], columns[:, None, :]].astype(float)
    out[on] = np.einsum("nj,nji,ni->n", wy, around, wx)
    return out


def _taps(position: Floats, n: int) -> tuple[NDArray[np.intp], Floats]:
    """Indices (k, 6), clipped to the map, and weights (k, 6) of the kernel at positions."""
    base = np.floor(position).astype(int)
    weights = weight_table()[np.rint((position - base) * PHASES).astype(int)].astype(float)
    return np.clip(base[:, None] + np.arange(TAPS) + FIRST_TAP, 0, n - 1), weights
