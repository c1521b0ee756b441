"""Cosmic rays in one exposure: Laplacian edge detection, with star-shaped peaks given back."""

from __future__ import annotations

from dataclasses import dataclass

import astroscrappy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)
_AXES = ((0, 1), (1, 0), (1, 1), (1, -1))
_NEVER = 1e30


@dataclass(frozen=True)
class CosmicRaySettings:
    """L.A.Cosmic's limits (van Dokkum 2001, PASP 113, 1420) and those of the star test.

    threshold_sigma: Laplacian over noise at which a pixel is a hit.
    neighbour_fraction: the same, as a fraction, for its neighbours.
    contrast_min: least Laplacian over fine structure.
    star_ratio: a peak is a star where, along all four axes, its neighbours reach this fraction
        of what the PSF gives them.
    fwhm_min_pix, fwhm_max_pix: the FWHM used by the star test is held within these.
    """

    threshold_sigma: float = 5.0
    neighbour_fraction: float = 0.3
    contrast_min: float = 5.0
    star_ratio: float = 0.8
    fwhm_min_pix: float = 1.5
    fwhm_max_pix: float = 6.0


DEFAULTS = CosmicRaySettings()


def cosmic_rays(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    unusable: NDArray[np.bool_],
    fwhm_pix: float,
    settings: CosmicRaySettings = DEFAULTS,
) -> NDArray[np.bool_]:
    """Return where [y, x] a cosmic ray hit the exposure.

    data, variance: sky-subtracted counts and their variance, finite; unusable: bool [y, x],
    pixels to leave alone; fwhm_pix: FWHM of the stars, against which sharpness is judged.
    One pass of astroscrappy with the separable median; its variance model is ours.
    """
    hits, _ = astroscrappy.detect_cosmics(
        data,
        inmask=unusable,
        invar=variance,
        gain=1.0,
        satlevel=_NEVER,
        niter=1,
        sepmed=True,
        sigclip=settings.threshold_sigma,
        sigfrac=settings.neighbour_fraction,
        objlim=settings.contrast_min,
    )
    hits = hits & ~unusable
    return hits & ~_stars_among(data, variance, hits, fwhm_pix, settings)


def _stars_among(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    hits: NDArray[np.bool_],
    fwhm_pix: float,
    settings: CosmicRaySettings,
) -> NDArray[np.bool_]:
    """Return the connected hits whose peak is no sharper than a star, along every axis."""
    labels, n = ndimage.label(hits, _EIGHT)
    if n == 0:
        return np.zeros_like(hits)
    peaks = np.array(ndimage.maximum_position(data, labels, np.arange(1, n + 1)))
    padded = np.pad(data, 1, mode="edge")
    y, x = peaks[:, 0] + 1, peaks[:, 1] + 1
    peak = padded[y, x]
    noise = np.sqrt(variance[peaks[:, 0], peaks[:, 1]])
    fwhm = float(np.clip(fwhm_pix, settings.fwhm_min_pix, settings.fwhm_max_pix))
    is_star = np.isfinite(peak) & (peak > 0)
    for dy, dx in _AXES:
        pair = (padded[y + dy, x + dx] + padded[y - dy, x - dx]) / 2
        expected = 2.0 ** (-4 * (dy * dy + dx * dx) / fwhm**2)
        is_star &= pair + noise >= settings.star_ratio * expected * peak
    return np.concatenate([[False], is_star])[labels]
