"""Reference sources around each candidate: the nearest, and the star it may be a residual of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from astrid_assets.candidates.stamps import SIGMA_PER_FWHM, moments
from astrid_assets.difference.kernels import spectrum
from astrid_assets.imaging.stamps import cut, offsets
from astrid_resources.images import Image, MaskPlane, plane_bits
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]

_SOURCE_SIGMA = 5.0
_SHAPE_SIGMA = 10.0
_STAR_FWHM_RATIO = 1.25
_SEARCH_FWHM = 5.0
_RESIDUAL_FWHM = 1.5
_RESIDUAL_FWHM_PER_DEX = 0.75
_BATCH = 128


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
    psf = reference.psf.centre.astype(float)
    columns = [np.full(len(x), np.nan) for _ in range(4)]
    sigma_psf = fwhm * SIGMA_PER_FWHM
    point = _point_fwhm(psf, sigma_psf)
    stamps = _filtered_stamps(reference, psf, x, y, half)
    for i, (data, flux, error) in enumerate(stamps):
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


def _filtered_stamps(
    reference: Image, psf: Floats, x: Floats, y: Floats, half: int
) -> Iterator[tuple[Floats, Floats, float]]:
    """Yield data, PSF flux and its error around each position, stamps of edge 2 half + 1.

    Unusable pixels hold 0, save saturated ones: a bright star is still a source.
    """
    edge = 2 * half + 1
    size = scipy.fft.next_fast_len(edge + psf.shape[0], real=True)
    kernel = np.conj(spectrum(psf, shape=(size, size)))
    power = float(np.sum(psf**2))
    dropped = np.uint32(plane_bits(*UNUSABLE) & ~plane_bits(MaskPlane.SATURATED))
    saturated = np.uint32(plane_bits(MaskPlane.SATURATED))
    for start in range(0, len(x), _BATCH):
        at = slice(start, start + _BATCH)
        mask = cut(reference.mask, x[at], y[at], half=half, outside=MaskPlane.NO_DATA.flag)
        data = cut(reference.data, x[at], y[at], half=half, outside=0).astype(float)
        data[((mask & dropped) != 0) & ((mask & saturated) == 0)] = 0
        variance = cut(reference.variance, x[at], y[at], half=half, outside=1)
        transformed = scipy.fft.rfft2(data, s=(size, size)) * kernel
        flux = scipy.fft.irfft2(transformed, s=(size, size))[:, :edge, :edge] / power
        error = np.sqrt(np.percentile(variance, 25, axis=(1, 2)) / power)
        yield from zip(data, flux, error.tolist(), strict=True)


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
