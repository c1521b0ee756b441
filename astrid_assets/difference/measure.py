"""How the numbers of a difference are read off its maps and its alignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.alard_lupton.solution import KernelSolution
from astrid_assets.difference.blank_sky import BlankSkyStatistics
from astrid_assets.difference.matching import StarMatch
from astrid_assets.difference.metrics import SubtractionMetrics
from astrid_assets.difference.sub_images import Maps
from astrid_assets.difference.surfaces import Surface
from astrid_assets.difference.wcs_rescue import WCSCorrection
from astrid_resources.images import Image

_MAX_SAMPLES = 200_000


def measure_subtraction(
    science: Image,
    aligned: Image,
    maps: Maps,
    *,
    match: StarMatch,
    correction: WCSCorrection,
    kernel: KernelSolution | None,
    unusable: NDArray[np.bool_],
    blank: NDArray[np.bool_],
    sky: BlankSkyStatistics,
    level: Surface,
    coverage_fraction: float,
    psf_error: float,
    noise_scale_factor: float,
) -> SubtractionMetrics:
    """Return the numbers of one subtraction of `aligned` from `science`, both with a PSF.

    maps: of the algorithm, before the noise is scaled, the remaining sky `level` taken away.
    unusable, blank: bool [y, x]. sky: the statistics there, before any scaling.
    """
    limit = 5 * noise_scale_factor * _typical(maps.psf_flux_error, blank, unusable)
    zero_point = science.meta.zero_point_ab_mag
    residual = _residual_power_ratio(maps.score_corrected, match.x, match.y)
    return SubtractionMetrics(
        score_median=sky.median,
        score_median_error=sky.median_error,
        score_std=sky.std,
        score_std_error=sky.std_error,
        score_tail_fraction=sky.tail_fraction,
        n_independent=sky.n_independent,
        noise_scale_factor=noise_scale_factor,
        flux_ratio=match.flux_ratio,
        flux_ratio_error=match.flux_ratio_error,
        shift_x_pix=match.shift[0].middle,
        shift_y_pix=match.shift[1].middle,
        astrometric_noise_x_pix=match.astrometric_noise_x_pix,
        astrometric_noise_y_pix=match.astrometric_noise_y_pix,
        psf_error=psf_error,
        n_stars=match.n_stars,
        residual_power_ratio=residual and residual / noise_scale_factor,
        coverage_fraction=coverage_fraction,
        masked_fraction=float(unusable.mean()),
        noise_level=_typical(maps.difference_variance, blank, unusable) ** 0.5,
        limiting_flux_5sigma=limit,
        limiting_mag_5sigma=None
        if zero_point is None
        else float(zero_point - 2.5 * np.log10(limit)),
        sky_sigma_science=maps.sky_sigma_science,
        sky_sigma_reference=maps.sky_sigma_reference,
        fwhm_science_pix=science.psf.fwhm_pix,  # type: ignore[union-attr]
        fwhm_reference_pix=aligned.psf.fwhm_pix,  # type: ignore[union-attr]
        fwhm_difference_pix=maps.psf.fwhm_pix,
        n_sub_images=maps.n_sub_images,
        registration_order=match.shift[0].order,
        distortion_pix=max(shift.departure() for shift in match.shift),
        flux_ratio_order=match.log_flux_ratio.order,
        flux_ratio_variation=match.log_flux_ratio.departure(),
        sky_level=level.middle / maps.psf.noise_equivalent_area_pix,
        shift_x_terms=match.shift[0].coefficients,
        shift_y_terms=match.shift[1].coefficients,
        log_flux_ratio_terms=match.log_flux_ratio.coefficients,
        level_terms=level.coefficients,
        wcs_correction_arcsec=correction.arcsec,
        wcs_correction_reason=correction.reason,
        kernel=kernel,
    )


def _typical(
    values: NDArray[np.float32], blank: NDArray[np.bool_], unusable: NDArray[np.bool_]
) -> float:
    """Return the median of a map in blank sky, or on all usable pixels, of an even sample."""
    stride = max(1, int(np.sqrt(values.size / _MAX_SAMPLES)))
    sample, chosen = values[::stride, ::stride], blank[::stride, ::stride]
    if not chosen.any():
        chosen = ~unusable[::stride, ::stride]
    return float(np.median(sample[chosen] if chosen.any() else sample))


def _residual_power_ratio(
    score_corrected: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> float | None:
    """Return the rms of the score on the 3 x 3 pixels of each star at (x, y) (expected: 1)."""
    ny, nx = score_corrected.shape
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column > 0) & (row > 0) & (column < nx - 1) & (row < ny - 1)
    if not inside.any():
        return None
    offset = np.arange(-1, 2)
    rows = row[inside, None, None] + offset[None, :, None]
    columns = column[inside, None, None] + offset[None, None, :]
    return float(np.sqrt(np.mean(score_corrected[rows, columns].astype(float) ** 2)))


def disagreement(
    first: NDArray[np.float32], second: NDArray[np.float32], blank: NDArray[np.bool_]
) -> float | None:
    """Return the robust std of the difference of two score maps where `blank` and both measured."""
    stride = max(1, int(np.sqrt(first.size / _MAX_SAMPLES)))
    a, b, chosen = (array[::stride, ::stride] for array in (first, second, blank))
    apart = (a - b)[chosen & (a != 0) & (b != 0)]
    return float(1.4826 * np.median(np.abs(apart - np.median(apart)))) if apart.size else None
