"""Photometry primitives: apertures, forced PSF fluxes, growth curves, sub-pixel values of maps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import sep
from numpy.typing import NDArray

from astrid_assets.imaging.kernel import FIRST_TAP, PHASES, TAPS, weight_table
from astrid_assets.imaging.psf_stamp import place_psf
from astrid_assets.imaging.stamps import cut
from astrid_resources.images import MaskPlane, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
_MAD_TO_SIGMA = 1.482602
_MEDIAN_ERROR = 1.2533
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
    out = np.full((3, len(x)), np.nan)
    out[2] = 0.0
    ny, nx = data.shape
    reach = radius_pix + 0.5
    known = (x > -reach) & (x < nx - 1 + reach) & (y > -reach) & (y < ny - 1 + reach)
    if not known.any():
        return Photometry(*out)
    u, v, half = x[known], y[known], int(np.ceil(radius_pix)) + 1
    edge = 2 * half + 1
    lost = has_any(cut(mask, u, v, half=half, outside=MaskPlane.NO_DATA.flag), *UNUSABLE)
    # One strip of stamps, one below the other: a stamp holds its whole circle.
    values, noise = (
        np.where(lost, 0.0, cut(a, u, v, half=half, outside=0)).reshape(-1, edge)
        for a in (data, variance)
    )
    row = v - np.rint(v) + half + edge * np.arange(len(v))
    where = (u - np.rint(u) + half, row, radius_pix)
    area = sep.sum_circle((~lost).astype(float).reshape(-1, edge), *where, subpix=0)[0]
    flux, error, _ = sep.sum_circle(values, *where, var=noise, subpix=0)
    measured = area > 0
    out[0, known], out[1, known] = np.where(measured, (flux, error), np.nan)
    out[2, known] = area / (np.pi * radius_pix**2)
    return Photometry(*out)


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


@dataclass(frozen=True)
class GrowthCurve:
    """Flux within each radius over a flux given for each star, the median of n_stars stars.

    share, error: arrays like `radii_pix`; NaN where no star could be used.
    """

    radii_pix: Floats = field(repr=False)
    share: Floats = field(repr=False)
    error: Floats = field(repr=False)
    n_stars: int


def growth_curve(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.uint32],
    x: Floats,
    y: Floats,
    *,
    radii_pix: Floats,
    flux: Floats | None = None,
) -> GrowthCurve:
    """Return flux(radius) / flux of stars at (x, y): medians of the stars' rings, added up.

    A neighbour spoils one ring of one star, which the ring's median leaves out. radii_pix:
    increasing. flux: of each star, by default the one within the largest radius. Stars with an
    unusable pixel within the largest radius do not count.
    """
    curves = [
        aperture_photometry(data, variance, mask, x, y, radius_pix=float(r)) for r in radii_pix
    ]
    total = curves[-1].flux if flux is None else np.atleast_1d(np.asarray(flux, float))
    whole = (curves[-1].usable_fraction > 0.999) & (total > 0)
    n = int(whole.sum())
    if n == 0:
        nothing = np.full(len(radii_pix), np.nan)
        return GrowthCurve(np.asarray(radii_pix, float), nothing, nothing, 0)
    within = np.array([curve.flux[whole] / total[whole] for curve in curves])
    rings = np.diff(within, axis=0, prepend=0)
    middle = np.median(rings, axis=1)
    scatter = _MAD_TO_SIGMA * np.median(np.abs(rings - middle[:, None]), axis=1)
    error = np.sqrt(np.cumsum(scatter**2)) * _MEDIAN_ERROR / np.sqrt(n)
    return GrowthCurve(np.asarray(radii_pix, float), np.cumsum(middle), error, n)


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
