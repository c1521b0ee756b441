"""Reference sources around each candidate: the nearest, and the star it may be a residual of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from astrid_assets.candidates.stamps import SIGMA_PER_FWHM, cut, moments, offsets
from astrid_resources.images import Image, MaskPlane, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]

_SOURCE_SIGMA = 5.0
_SHAPE_SIGMA = 10.0
_STAR_FWHM_RATIO = 1.25
_SEARCH_FWHM = 5.0
_RESIDUAL_FWHM = 1.5
_RESIDUAL_FWHM_PER_DEX = 0.75


@dataclass(frozen=True)
class Neighbours:
    """What the reference shows around n candidates; NaN where there is nothing.

    distance_pix, flux: of the nearest source (flux in reference counts); is_star: 1 a point
    source, 0 not, NaN too faint to say. star_flux: of the brightest reference star that is close
    enough, for its flux, to leave a residual at the candidate.
    """

    distance_pix: Floats = field(repr=False)
    flux: Floats = field(repr=False)
    is_star: Floats = field(repr=False)
    star_flux: Floats = field(repr=False)


def reference_neighbours(reference: Image, x: Floats, y: Floats) -> Neighbours:
    """Return the reference sources within 5 FWHM (at least 10 pixels) of positions (x, y).

    A source is a peak of the reference's matched filter above 5 sigma. A star of flux F may leave
    residuals within 1.5 FWHM, growing by 0.75 FWHM for each factor of ten over 30 sigma.
    """
    if reference.psf is None:
        raise ValueError("reference_neighbours needs a reference with a PSF")
    fwhm = reference.psf.fwhm_pix
    reach = max(round(_SEARCH_FWHM * fwhm), 10)
    inner = max(2, round(1.5 * fwhm))
    half = reach + inner
    unusable = has_any(reference.mask, *UNUSABLE)
    saturated_kept = np.where(unusable & ~_saturated(reference), 0, reference.data)
    psf = reference.psf.centre.astype(float)
    columns = [np.full(len(x), np.nan) for _ in range(4)]
    size = scipy.fft.next_fast_len(2 * half + 1 + psf.shape[0], real=True)
    kernel = np.conj(scipy.fft.rfft2(psf, s=(size, size)))
    power = float(np.sum(psf**2))
    sigma_psf = fwhm * SIGMA_PER_FWHM
    point = _point_fwhm(psf, sigma_psf)
    for i in range(len(x)):
        at = slice(i, i + 1)
        data = cut(saturated_kept, x[at], y[at], half=half, outside=0)[0].astype(float)
        variance = cut(reference.variance, x[at], y[at], half=half, outside=1)[0]
        spectrum = scipy.fft.rfft2(data, s=(size, size)) * kernel
        filtered = np.roll(
            scipy.fft.irfft2(spectrum, s=(size, size)), (psf.shape[0] // 2,) * 2, (0, 1)
        )
        flux = filtered[: 2 * half + 1, : 2 * half + 1] / power
        error = float(np.sqrt(np.percentile(variance, 25) / power))
        peak = (flux == ndimage.maximum_filter(flux, size=3)) & (flux > _SOURCE_SIGMA * error)
        v, u = np.nonzero(peak)
        if not u.size:
            continue
        dx, dy = u - half - (x[i] - np.rint(x[i])), v - half - (y[i] - np.rint(y[i]))
        distance = np.hypot(dx, dy)
        near = distance <= reach
        if not near.any():
            continue
        u, v, distance, strength = u[near], v[near], distance[near], flux[v[near], u[near]]
        is_star = _is_star(data, u, v, sigma_psf, point, strength / error)
        k = int(np.argmin(distance))
        columns[0][i], columns[1][i], columns[2][i] = distance[k], strength[k], is_star[k]
        dex = np.log10(np.maximum(strength / (30 * error), 1))
        close = distance < (_RESIDUAL_FWHM + _RESIDUAL_FWHM_PER_DEX * dex) * fwhm
        close &= is_star == 1
        if close.any():
            columns[3][i] = strength[close].max()
    return Neighbours(*columns)


def _saturated(image: Image) -> NDArray[np.bool_]:
    return has_any(image.mask, MaskPlane.SATURATED)


def _point_fwhm(psf: Floats, sigma: float) -> float:
    half = psf.shape[0] // 2
    dx, dy = offsets(np.zeros(1), np.zeros(1), half=half)
    return float(moments(psf[None], dx, dy, sigma_pix=sigma)[0][0])


def _is_star(
    data: Floats,
    u: NDArray[np.integer],
    v: NDArray[np.integer],
    sigma: float,
    point: float,
    significance: Floats,
) -> Floats:
    """Return 1 where the moments are those of the PSF, 0 where wider, NaN where too faint."""
    half = max(2, int(np.ceil(3 * sigma)))
    stamps = cut(data, u.astype(float), v.astype(float), half=half, outside=0)
    dx, dy = offsets(np.zeros(len(u)), np.zeros(len(u)), half=half)
    weight = np.exp(-0.5 * (dx**2 + dy**2) / sigma**2) * stamps
    total = np.maximum(weight.sum(axis=(1, 2)), 1e-12)
    x = np.clip(2 * (weight * dx).sum(axis=(1, 2)) / total, -1, 1)
    y = np.clip(2 * (weight * dy).sum(axis=(1, 2)) / total, -1, 1)
    fwhm, _, _ = moments(stamps, dx - x[:, None, None], dy - y[:, None, None], sigma_pix=sigma)
    star = np.where(np.isfinite(fwhm), fwhm < _STAR_FWHM_RATIO * point, False).astype(float)
    return np.where(significance >= _SHAPE_SIGMA, star, np.nan)
