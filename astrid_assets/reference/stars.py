"""Stars of one image, measured to tie it to others: windowed positions and total fluxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from astrid_assets.imaging.sources import SourceTable, detect_sources
from astrid_assets.reference.relative import StarList
from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE

_FWHM_TO_SIGMA = 1 / 2.354820


@dataclass(frozen=True)
class StarSettings:
    """Which sources are measured, and how.

    threshold_sigma, snr_min: for detection, and of the aperture flux.
    aperture_fwhm: radius of the aperture; its flux is corrected to infinity by the image's PSF.
    size_ratio_max: sources up to this factor larger or smaller than the PSF are stars; where
        fewer than `n_stars_wanted` are, all clean sources are taken.
    n_stars_max: the brightest so many.
    """

    threshold_sigma: float = 8.0
    snr_min: float = 15.0
    aperture_fwhm: float = 1.75
    size_ratio_max: float = 1.3
    n_stars_wanted: int = 4
    n_stars_max: int = 500


DEFAULTS = StarSettings()


def measure_stars(image: Image, *, settings: StarSettings = DEFAULTS) -> StarList:
    """Return the clean stars of `image` (which has a PSF) with fluxes of the whole PSF, ADU."""
    if image.psf is None:
        raise ValueError("stars are measured with the image's PSF, which is missing")
    fwhm = image.psf.fwhm_pix
    unusable = has_any(image.mask, *UNUSABLE)
    found = detect_sources(
        image.data,
        image.variance,
        unusable=unusable,
        threshold_sigma=settings.threshold_sigma,
        fwhm_pix=fwhm,
    )
    radius = settings.aperture_fwhm * fwhm
    data = np.array(image.data)
    error = np.sqrt(image.variance)
    flux, flux_error, flags = sep.sum_circle(
        data, found.x, found.y, radius, err=error, mask=unusable, subpix=5
    )
    is_whole = (flags & (sep.APER_TRUNC | sep.APER_HASMASKED)) == 0
    snr = flux / np.maximum(flux_error, 1e-30)
    keep = is_whole & (found.flags == 0) & (snr > settings.snr_min)
    is_star = keep & _is_star_sized(found, image.psf.centre, fwhm, settings)
    if is_star.sum() >= settings.n_stars_wanted:
        keep = is_star
    chosen = np.flatnonzero(keep)
    chosen = chosen[np.argsort(-flux[chosen], kind="stable")[: settings.n_stars_max]]
    x, y, _ = sep.winpos(
        data, found.x[chosen], found.y[chosen], fwhm * _FWHM_TO_SIGMA, mask=unusable
    )
    enclosed = _enclosed(image.psf.centre, radius)
    return StarList(
        x=np.asarray(x, float),
        y=np.asarray(y, float),
        flux=flux[chosen] / enclosed,
        flux_error=flux_error[chosen] / enclosed,
        position_error=fwhm * _FWHM_TO_SIGMA / snr[chosen],
        wcs=image.wcs,
    )


def _is_star_sized(
    found: SourceTable, psf: NDArray[np.float32], fwhm: float, settings: StarSettings
) -> NDArray[np.bool_]:
    """Return which sources have the half-light radius of the PSF, measured in the same way."""
    centre = np.array([psf.shape[0] // 2], float)
    reach = np.array([max(3.0 * fwhm, 6.0)])
    half, _ = sep.flux_radius(np.array(psf), centre, centre, reach, 0.5, subpix=5)
    ratio = found.fwhm / max(2 * float(half[0]), 1e-9)
    return (ratio < settings.size_ratio_max) & (ratio > 1 / settings.size_ratio_max)


def _enclosed(psf: NDArray[np.float32], radius: float) -> float:
    """Return the fraction of the PSF's flux within `radius` pixels."""
    centre = np.array([psf.shape[0] // 2], float)
    inside, _, _ = sep.sum_circle(np.array(psf), centre, centre, radius, subpix=5)
    return float(inside[0])
