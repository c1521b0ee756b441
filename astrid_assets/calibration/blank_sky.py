"""Noise and depth of an image, measured where its sky is blank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE

_MAD_TO_SIGMA = 1.482602
_MEDIAN_ERROR = 1.2533
_MAD_ERROR = 1.1664


@dataclass(frozen=True)
class BlankSkySettings:
    """Where sky is blank, and how much of it a verdict needs.

    source_distance_fwhm: blank pixels are farther than this from every detected source.
    unusable_distance_fwhm: and than this from every unusable pixel.
    n_pixels_min: least number of blank pixels; below it there is no verdict.
    """

    source_distance_fwhm: float = 2.0
    unusable_distance_fwhm: float = 1.0
    n_pixels_min: int = 2000


DEFAULTS = BlankSkySettings()


@dataclass(frozen=True)
class BlankSky:
    """What blank sky says; None where there is too little of it.

    median, std: of data / sqrt(variance), with their sampling errors.
    noise_correlation: scatter of PSF fluxes over that of uncorrelated pixels.
    flux_median_sigma: median PSF flux in units of its scatter (the score's median), and its
        sampling error.
    flux_sigma_adu: scatter of PSF fluxes; without enough sky, the one of uncorrelated pixels.
    """

    n_pixels: int
    median: float | None
    std: float | None
    median_error: float | None
    std_error: float | None
    noise_correlation: float | None
    flux_median_sigma: float | None
    flux_median_error: float | None
    flux_sigma_adu: float


def measure_blank_sky(
    image: Image, *, sources: NDArray[np.bool_], settings: BlankSkySettings = DEFAULTS
) -> BlankSky:
    """Return noise and depth of `image` (which has a PSF); sources: bool [y, x], where they are."""
    if image.psf is None:
        raise ValueError("an image needs a PSF before its depth can be measured")
    psf = image.psf.centre
    fwhm = image.psf.fwhm_pix
    unusable = has_any(image.mask, *UNUSABLE)
    usable = ~unusable
    sky_variance = float(np.median(image.variance[usable])) if usable.any() else float("nan")
    white_sigma = float(np.sqrt(sky_variance * image.psf.noise_equivalent_area_pix))
    blank = _farther(sources, settings.source_distance_fwhm * fwhm)
    blank &= _farther(unusable, settings.unusable_distance_fwhm * fwhm)
    n = int(blank.sum())
    if n < settings.n_pixels_min:
        return BlankSky(n, None, None, None, None, None, None, None, white_sigma)
    median, std = _centre_and_scatter(image.data[blank] / np.sqrt(image.variance[blank]))
    kernel = psf[::-1, ::-1]
    power = float(np.sum(psf.astype(float) ** 2))
    clean = np.where(usable, image.data, np.float32(0))
    flux = signal.oaconvolve(clean, kernel, mode="same") / power
    flux_noise = np.sqrt(
        signal.oaconvolve(np.where(usable, image.variance, np.float32(sky_variance)),
                          kernel**2, mode="same")
    ) / power  # fmt: skip
    inner = _without_border(blank, round(settings.unusable_distance_fwhm * fwhm) + 1)
    score_median, score_std = _centre_and_scatter(flux[inner] / flux_noise[inner])
    correlation = score_std
    n_effective = max(n / max(1.0, correlation**2), 1.0)
    return BlankSky(
        n_pixels=n,
        median=median,
        std=std,
        median_error=_MEDIAN_ERROR * std / n_effective**0.5,
        std_error=_MAD_ERROR * std / n_effective**0.5,
        noise_correlation=correlation,
        flux_median_sigma=score_median / score_std,
        flux_median_error=_MEDIAN_ERROR * (image.psf.noise_equivalent_area_pix / n) ** 0.5,
        flux_sigma_adu=float(np.median(flux_noise[inner])) * correlation,
    )


def _centre_and_scatter(values: NDArray[np.floating]) -> tuple[float, float]:
    median = float(np.median(values))
    return median, _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))


def _farther(where: NDArray[np.bool_], distance_pix: float) -> NDArray[np.bool_]:
    if not where.any():
        return np.ones(where.shape, bool)
    out: NDArray[np.bool_] = ndimage.distance_transform_edt(~where) > distance_pix
    return out


def _without_border(where: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    out = np.zeros_like(where)
    inside = (slice(width, -width), slice(width, -width))
    out[inside] = where[inside]
    return out if out.any() else where
