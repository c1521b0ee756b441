"""One exposure, from detrended counts to a calibrated image with its numbers and its grade.

Here is only the order of the steps; each step stands in its own module. Flux calibration is not
done: without a delivered zero point the image stays in ADU of its own exposure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.calibration import (
    blank_sky,
    cosmic_rays,
    filling,
    grading,
    saturation,
    shape,
    variance,
    wcs_sanity,
)
from astrid_assets.calibration.metrics import CalibrationMetrics
from astrid_assets.imaging.background import Background, estimate_background
from astrid_assets.imaging.psf_fit import PSFFit, PSFSettings, fit_psf
from astrid_assets.imaging.sources import detect_sources, source_mask, source_significance
from astrid_resources.images import Image, KnownFailure, MaskPlane, RawExposure, has_any
from astrid_resources.images.masks import UNUSABLE

N_SIGMA_DEPTH = 5.0


class UnusableExposureError(KnownFailure):
    """Too few pixels of the exposure carry counts, or it is too small."""


@dataclass(frozen=True)
class CalibrationSettings:
    """The parameters of a calibration that change its product.

    mesh_pix: size of the background's cells. detection_sigma: threshold of the sources counted.
    source_sigma, source_grow_pix: significance at which the smoothed image holds a source and how
        far that grows: the DETECTED plane, away from which the sky is blank.
    usable_fraction_min, side_min_pix: what an exposure must have at least.
    fwhm_guess_pix: where no source tells; fwhm_agreement: cosmic rays are looked for a second
        time where the first guess of the FWHM was off by more than this fraction.
    """

    saturation: saturation.SaturationSettings = saturation.DEFAULTS
    cosmic_rays: cosmic_rays.CosmicRaySettings = cosmic_rays.DEFAULTS
    variance: variance.VarianceSettings = variance.DEFAULTS
    wcs: wcs_sanity.WCSSettings = wcs_sanity.DEFAULTS
    blank_sky: blank_sky.BlankSkySettings = blank_sky.DEFAULTS
    grading: grading.GradingSettings = grading.DEFAULTS
    psf: PSFSettings = field(default_factory=PSFSettings)
    mesh_pix: int = 64
    detection_sigma: float = 5.0
    source_sigma: float = 3.0
    source_grow_pix: int = 2
    usable_fraction_min: float = 0.1
    side_min_pix: int = 32
    fwhm_agreement: float = 0.25
    fwhm_guess_pix: float = 3.0


DEFAULTS = CalibrationSettings()


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
    planes = _defects(raw, level, settings)
    steps = _Steps(raw, planes, settings)
    steps.remove_sky()
    fwhm = steps.guess_fwhm()
    steps.find_cosmic_rays(fwhm)
    fit = steps.fit_psf(level)
    if abs(fit.fwhm_pix / fwhm - 1) > settings.fwhm_agreement:
        steps.find_cosmic_rays(fit.fwhm_pix)
        fit = steps.fit_psf(level)
    image, sources, n_sources = steps.assemble(fit, level)
    blank = blank_sky.measure_blank_sky(image, sources=sources, settings=settings.blank_sky)
    metrics = _metrics(raw, image, steps, fit, blank, wcs, level, n_sources)
    return Calibration(image, metrics, grading.grade(metrics, settings=settings.grading))


def _defects(
    raw: RawExposure, level: float, settings: CalibrationSettings
) -> dict[MaskPlane, NDArray[np.bool_]]:
    """Return the planes known before any measurement."""
    finite = np.isfinite(raw.data)
    bad = np.zeros(raw.shape, bool) if raw.bad is None else raw.bad & finite
    if raw.variance is not None:
        bad = bad | (finite & ~(np.isfinite(raw.variance) & (raw.variance > 0)))
    full = saturation.saturated_pixels(raw.data, level_adu=level, settings=settings.saturation)
    usable = float((finite & ~bad & ~full).mean())
    if min(raw.shape) < settings.side_min_pix or usable < settings.usable_fraction_min:
        raise UnusableExposureError(
            f"{usable:.1%} of {raw.shape[1]} x {raw.shape[0]} pixels are usable; "
            f"{settings.usable_fraction_min:.0%} and sides of {settings.side_min_pix} pixels are "
            "needed",
            usable_fraction=usable,
            shape=raw.shape,
        )
    return {MaskPlane.NO_DATA: ~finite, MaskPlane.BAD: bad, MaskPlane.SATURATED: full & finite}


class _Steps:
    """The state between the steps of one calibration."""

    def __init__(
        self,
        raw: RawExposure,
        planes: dict[MaskPlane, NDArray[np.bool_]],
        settings: CalibrationSettings,
    ) -> None:
        self.raw = raw
        self.settings = settings
        self.planes = planes
        self.data = np.where(planes[MaskPlane.NO_DATA], np.float32(0), raw.data)
        self.background: Background
        self.signal: NDArray[np.float32]
        self.variance: NDArray[np.float32]
        self.variance_ratio: float | None = None
        self.is_variance_delivered = False

    @property
    def unusable(self) -> NDArray[np.bool_]:
        """Where any plane says that the counts are not the sky's."""
        return np.logical_or.reduce(list(self.planes.values()))

    def remove_sky(self, fwhm_pix: float | None = None) -> None:
        """Estimate and subtract the background; set the variance that follows from it."""
        unusable = self.unusable
        found = estimate_background(
            self.data, unusable=unusable, mesh_pix=self.settings.mesh_pix, fwhm_pix=fwhm_pix
        )
        self.background = found
        self.signal = self.data - found.level
        self.signal[self.planes[MaskPlane.NO_DATA]] = 0
        self._set_variance(unusable)

    def _set_variance(self, unusable: NDArray[np.bool_]) -> None:
        """Measured sky plus photons; the delivered plane where it agrees with the measured sky."""
        raw, settings = self.raw, self.settings.variance
        rms = self.background.rms
        own = variance.pixel_variance(
            self.signal,
            rms,
            gain_e_per_adu=raw.meta.gain_e_per_adu,
            unusable=unusable,
            settings=settings,
        )
        usable = ~unusable
        self.variance, self.is_variance_delivered = own, False
        measured = float(np.median(rms[usable] ** 2))
        if raw.variance is not None:
            quiet = usable & (own <= 1.0001 * rms**2)
            where = quiet if quiet.any() else usable
            self.variance_ratio = measured / float(np.median(raw.variance[where]))
            if abs(self.variance_ratio - 1) <= settings.agreement_max:
                self.variance = np.where(usable, raw.variance, rms**2).astype(np.float32)
                self.is_variance_delivered = True
        elif not raw.is_sky_subtracted and not raw.meta.is_resampled:
            sky = float(np.median(self.background.level))
            expected = variance.expected_sky_variance(sky, raw.meta)
            self.variance_ratio = measured / expected if expected > 0 else None

    def guess_fwhm(self) -> float:
        """Return the median FWHM of clean, round, bright sources, pixels; a guess without any."""
        found = detect_sources(
            self.signal, self.variance, unusable=self.unusable, threshold_sigma=10.0, fwhm_pix=None
        )
        round_ones = (found.flags == 0) & (found.ellipticity < 0.4) & (found.fwhm > 1.2)
        if not round_ones.any():
            return self.settings.fwhm_guess_pix
        return float(np.median(found.fwhm[round_ones]))

    def find_cosmic_rays(self, fwhm_pix: float) -> None:
        """Set the COSMIC_RAY plane, then the background again without the hits."""
        self.planes.pop(MaskPlane.COSMIC_RAY, None)
        self.planes[MaskPlane.COSMIC_RAY] = cosmic_rays.cosmic_rays(
            self.signal,
            self.variance,
            unusable=self.unusable,
            fwhm_pix=fwhm_pix,
            settings=self.settings.cosmic_rays,
        )
        self.remove_sky(fwhm_pix)

    def mask(self) -> NDArray[np.uint32]:
        """Return the planes as bits."""
        bits = np.zeros(self.raw.shape, np.uint32)
        for plane, where in self.planes.items():
            bits[where] |= np.uint32(plane.flag)
        return bits

    def fit_psf(self, level: float) -> PSFFit:
        """Return the PSF of the image as it stands."""
        return fit_psf(
            self.signal,
            self.variance,
            self.mask(),
            saturation_adu=self.saturation_of_image(level),
            settings=self.settings.psf,
        )

    def saturation_of_image(self, level: float) -> float:
        """Return the saturation level in counts of the sky-subtracted image."""
        return max(level - float(np.median(self.background.level)), 0.0)

    def assemble(self, fit: PSFFit, level: float) -> tuple[Image, NDArray[np.bool_], int]:
        """Return the image, where its sources are, and how many were found."""
        raw, settings = self.raw, self.settings
        unusable = self.unusable
        empty = self.planes[MaskPlane.COSMIC_RAY] | self.planes[MaskPlane.BAD]
        data, interpolated = filling.filled(self.signal, where=empty, unusable=unusable)
        found = detect_sources(
            self.signal,
            self.variance,
            unusable=unusable,
            threshold_sigma=settings.detection_sigma,
            fwhm_pix=fit.fwhm_pix,
        )
        significance = source_significance(
            self.signal, self.background.rms, unusable=unusable, fwhm_pix=fit.fwhm_pix
        )
        sources = source_mask(
            significance,
            threshold_sigma=settings.source_sigma,
            grow_pix=settings.source_grow_pix,
        )
        mask = self.mask()
        mask[interpolated] |= np.uint32(MaskPlane.INTERPOLATED.flag)
        mask[sources] |= np.uint32(MaskPlane.DETECTED.flag)
        sky = raw.meta.sky_level_adu
        if not raw.is_sky_subtracted:
            sky = float(np.median(self.background.level))
        meta = replace(raw.meta, sky_level_adu=sky, saturation_adu=self.saturation_of_image(level))
        image = Image(
            data, self.variance, mask, raw.wcs, meta, psf=fit.psf, header=raw.header.copy()
        )
        return image, sources, len(found)


def _metrics(
    raw: RawExposure,
    image: Image,
    steps: _Steps,
    fit: PSFFit,
    blank: blank_sky.BlankSky,
    wcs: wcs_sanity.WCSSanity,
    level: float,
    n_sources: int,
) -> CalibrationMetrics:
    usable = ~has_any(image.mask, *UNUSABLE)
    sky_sigma = float(np.median(steps.background.rms[usable]))
    low, high = np.percentile(steps.background.level[usable][::17], (5, 95))
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
        sky_level_adu=float(np.median(steps.background.level)),
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
        n_blank=blank.n_pixels,
        ra_deg=wcs.ra_deg,
        dec_deg=wcs.dec_deg,
        pixel_scale_arcsec=wcs.pixel_scale_arcsec,
        wcs_stretch=wcs.stretch,
        wcs_scale_variation=wcs.scale_variation,
        wcs_round_trip_pix=wcs.round_trip_pix,
    )
