"""Noise and depth of an image, measured where its sky is blank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.sampling import sampled, sampled_median
from astrid_assets.imaging.smoothing import within
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE

_MAD_TO_SIGMA = 1.482602
_MAX_FLUXES = 60_000
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
    fwhm = image.psf.fwhm_pix
    unusable = has_any(image.mask, *UNUSABLE)
    sky_variance = sampled_median(image.variance, ~unusable)
    white_sigma = float(np.sqrt(sky_variance * image.psf.noise_equivalent_area_pix))
    near = within(sources, settings.source_distance_fwhm * fwhm)
    near |= within(unusable, settings.unusable_distance_fwhm * fwhm)
    blank = ~near
    n = int(np.count_nonzero(blank))
    if n < settings.n_pixels_min:
        return BlankSky(n, None, None, None, None, None, None, None, white_sigma)
    pulls = sampled(image.data, blank) / np.sqrt(sampled(image.variance, blank))
    median, std = _centre_and_scatter(pulls)
    inner = _without_border(blank, round(settings.unusable_distance_fwhm * fwhm) + 1)
    flux, flux_noise = _psf_fluxes(image, unusable, inner, sky_variance)
    score_median, score_std = _centre_and_scatter(flux / flux_noise)
    correlation = score_std
    n_effective = max(len(pulls) / max(1.0, correlation**2), 1.0)
    n_fluxes = min(n / image.psf.noise_equivalent_area_pix, len(flux))
    return BlankSky(
        n_pixels=n,
        median=median,
        std=std,
        median_error=_MEDIAN_ERROR * std / n_effective**0.5,
        std_error=_MAD_ERROR * std / n_effective**0.5,
        noise_correlation=correlation,
        flux_median_sigma=score_median / score_std,
        flux_median_error=_MEDIAN_ERROR / n_fluxes**0.5,
        flux_sigma_adu=float(np.median(flux_noise)) * correlation,
    )


def _centre_and_scatter(values: NDArray[np.floating]) -> tuple[float, float]:
    median = float(np.median(values))
    return median, _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))


def _psf_fluxes(
    image: Image,
    unusable: NDArray[np.bool_],
    where: NDArray[np.bool_],
    sky_variance: float,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """PSF fluxes and their noise, if pixels were uncorrelated, on a lattice of places `where`.

    The lattice is as fine as fluxes are independent, and coarser on a large sky.
    """
    if image.psf is None:
        raise ValueError("PSF fluxes need a PSF")
    step = max(1, round(image.psf.fwhm_pix / 2))
    step = max(step, round((np.count_nonzero(where) / _MAX_FLUXES) ** 0.5))
    y, x = (step * index for index in np.nonzero(where[::step, ::step]))
    flux, variance = np.empty(len(y), np.float32), np.empty(len(y), np.float32)
    psf = image.psf.centre

    def band(first: int, stop: int) -> None:
        _matched(
            y, x, image.data, image.variance, unusable, sky_variance, psf, first, stop, flux,
            variance,
        )  # fmt: skip

    over_rows(band, len(y))
    power = np.float32(np.sum(psf.astype(float) ** 2))
    return flux / power, np.sqrt(variance, dtype=np.float32) / power


@njit(cache=True, nogil=True, fastmath=True)
def _matched(ys, xs, data, variance, unusable, sky, psf, first, stop, flux, noise2):  # type: ignore[no-untyped-def]
    """Sums of PSF times data, and of PSF^2 times variance, at places first to stop.

    Unusable pixels count as blank sky; beyond the edge is nothing.
    """
    ny, nx = data.shape
    half = psf.shape[0] // 2
    for k in range(first, stop):
        y0, x0 = ys[k] - half, xs[k] - half
        left, right = max(x0, 0), min(x0 + psf.shape[1], nx)
        total, total2 = np.float32(0), np.float32(0)
        for y in range(max(y0, 0), min(y0 + psf.shape[0], ny)):
            weights = psf[y - y0, left - x0 : right - x0]
            values, squares = data[y, left:right], variance[y, left:right]
            lost = unusable[y, left:right]
            for i in range(right - left):
                weight = np.float32(0) if lost[i] else weights[i]
                total += weight * values[i]
                total2 += weights[i] * weights[i] * (np.float32(sky) if lost[i] else squares[i])
        flux[k], noise2[k] = total, total2


def _without_border(where: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    out = np.zeros_like(where)
    inside = (slice(width, -width), slice(width, -width))
    out[inside] = where[inside]
    return out if out.any() else where
