"""One exposure, from detrended counts to a calibrated image with its numbers and its grade.

Here is only the order of the steps; each step stands in its own module. Flux calibration is not
done: without a delivered zero point the image stays in ADU of its own exposure.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from astrid_assets.calibration import blank_sky, grading, saturation, shape, wcs_sanity
from astrid_assets.calibration.metrics import CalibrationMetrics
from astrid_assets.calibration.steps import (
    DEFAULTS,
    CalibrationSettings,
    Steps,
    UnusableExposureError,
    defects,
)
from astrid_assets.imaging.flux_scale import FluxScale, flux_scale
from astrid_assets.imaging.psf_fit import PSFFit
from astrid_assets.imaging.sampling import sampled, sampled_median
from astrid_resources.images import Image, MaskPlane, RawExposure, has_any
from astrid_resources.images.masks import UNUSABLE

__all__ = [
    "DEFAULTS",
    "Calibration",
    "CalibrationSettings",
    "UnusableExposureError",
    "calibrate",
]

N_SIGMA_DEPTH = 5.0


@dataclass(frozen=True)
class Calibration:
    """A calibrated image with its numbers, its grade and the reasons for that.

    image: sky removed, ADU; `meta.saturation_adu` is the level in this image's own counts.
    """

    image: Image
    metrics: CalibrationMetrics
    verdict: grading.GradeVerdict

    @property
    def grade(self) -> grading.Grade:
        """A, B, C or rejected."""
        return self.verdict.grade

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not an A, worst first."""
        return self.verdict.reasons

    @property
    def passed(self) -> bool:
        """Whether later stages may use it."""
        return self.verdict.passed


def calibrate(raw: RawExposure, *, settings: CalibrationSettings = DEFAULTS) -> Calibration:
    """Return `raw` calibrated.

    Raises a KnownFailure (with numbers) where it cannot be: WCSSanityError, SaturationLevelError,
    UnusableExposureError, or what the background and PSF fits raise.
    """
    wcs = wcs_sanity.check_wcs(raw.wcs, shape=raw.shape, settings=settings.wcs)
    level = saturation.saturation_level(raw)
    planes = defects(raw, level, settings)
    steps = Steps(raw, planes, settings)
    steps.remove_rough_sky()
    fwhm = steps.guess_fwhm(level)
    steps.find_cosmic_rays(fwhm)
    fit = steps.fit_psf(level)
    if abs(fit.fwhm_pix / fwhm - 1) > settings.fwhm_agreement:
        steps.find_cosmic_rays(fit.fwhm_pix)
        fit = steps.fit_psf(level)
    steps.find_sharp_features(fit.psf)
    image, sources, n_sources = steps.assemble(fit, level)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(
            flux_scale, image, x=fit.star_x, y=fit.star_y, settings=settings.flux_scale
        )
        blank = blank_sky.measure_blank_sky(image, sources=sources, settings=settings.blank_sky)
        scale = pending.result()
    metrics = _metrics(raw, image, steps, fit, blank, wcs, level, n_sources, scale)
    return Calibration(image, metrics, grading.grade(metrics, settings=settings.grading))


def _metrics(
    raw: RawExposure,
    image: Image,
    steps: Steps,
    fit: PSFFit,
    blank: blank_sky.BlankSky,
    wcs: wcs_sanity.WCSSanity,
    level: float,
    n_sources: int,
    scale: FluxScale,
) -> CalibrationMetrics:
    usable = ~has_any(image.mask, *UNUSABLE)
    sky_sigma = sampled_median(steps.background.rms, usable)
    low, high = np.percentile(sampled(steps.background.level, usable), (5, 95))
    limit = N_SIGMA_DEPTH * blank.flux_sigma_adu
    zero_point = raw.meta.zero_point_ab_mag
    stars = shape.stamp_shape(fit.psf.centre)
    return CalibrationMetrics(
        psf_fwhm_pix=fit.fwhm_pix,
        seeing_arcsec=fit.fwhm_pix * wcs.pixel_scale_arcsec,
        ellipticity=stars.ellipticity,
        position_angle_pix_deg=stars.angle_deg,
        psf_order=fit.order,
        n_psf_stars=fit.n_stars,
        psf_residual=fit.residual,
        n_sources=n_sources,
        sky_level_adu=sampled_median(steps.background.level),
        sky_sigma_adu=sky_sigma,
        sky_gradient_sigma=float(high - low) / sky_sigma,
        flux_limit_5sigma_adu=limit,
        limiting_mag_5sigma=(
            None if zero_point is None else zero_point - 2.5 * float(np.log10(limit))
        ),
        noise_correlation=blank.noise_correlation,
        zero_point_ab_mag=zero_point,
        zero_point_err=raw.meta.zero_point_err,
        saturation_level_adu=level,
        cosmic_ray_fraction=float(steps.planes[MaskPlane.COSMIC_RAY].mean()),
        saturated_fraction=float(steps.planes[MaskPlane.SATURATED].mean()),
        masked_fraction=float(1 - usable.mean()),
        variance_ratio=steps.variance_ratio,
        is_variance_delivered=steps.is_variance_delivered,
        blank_median=blank.median,
        blank_std=blank.std,
        blank_median_error=blank.median_error,
        blank_std_error=blank.std_error,
        flux_median_sigma=blank.flux_median_sigma,
        flux_median_error=blank.flux_median_error,
        n_blank=blank.n_pixels,
        flux_scale_ratio=scale.ratio,
        flux_scale_error=scale.error,
        n_flux_scale_stars=scale.n_stars,
        ra_deg=wcs.ra_deg,
        dec_deg=wcs.dec_deg,
        pixel_scale_arcsec=wcs.pixel_scale_arcsec,
        wcs_stretch=wcs.stretch,
        wcs_scale_variation=wcs.scale_variation,
        wcs_round_trip_pix=wcs.round_trip_pix,
    )
