"""The steps of one calibration and the state between them."""

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
    sharp_features,
    variance,
    wcs_sanity,
)
from astrid_assets.imaging.background import Background, estimate_background, rough_background
from astrid_assets.imaging.flux_scale import FluxScaleSettings
from astrid_assets.imaging.psf_fit import PSFFit, PSFSettings, fit_psf
from astrid_assets.imaging.sampling import sampled_median
from astrid_assets.imaging.sources import (
    count_peaks,
    source_mask,
    source_significance,
)
from astrid_assets.imaging.stars import StarSample, choose_stars
from astrid_resources.images import Image, KnownFailure, MaskPlane, PSFModel, RawExposure

_MOMENT_SIZE = 1.15  # size by moments over FWHM, of Moffat profiles as stars have them


class UnusableExposureError(KnownFailure):
    """Too few pixels of the exposure carry counts, or it is too small."""


@dataclass(frozen=True)
class CalibrationSettings:
    """The parameters of a calibration that change its product.

    mesh_pix: size of the background's cells. detection_sigma: of the peaks counted as sources.
    source_sigma, source_grow_pix: significance at which the smoothed image holds a source and how
        far that grows: the DETECTED plane, away from which the sky is blank.
    usable_fraction_min, side_min_pix: what an exposure must have at least.
    guess_side_pix, guess_stars_min: the middle of an exposure, so wide, tells the first guess of
        the FWHM if it holds so many stars; fwhm_guess_pix: where no star tells;
        fwhm_agreement: cosmic rays are looked for a second time where that guess was off by more
        than this fraction.
    """

    saturation: saturation.SaturationSettings = saturation.DEFAULTS
    cosmic_rays: cosmic_rays.CosmicRaySettings = cosmic_rays.DEFAULTS
    sharpness: sharp_features.SharpnessSettings = sharp_features.DEFAULTS
    variance: variance.VarianceSettings = variance.DEFAULTS
    wcs: wcs_sanity.WCSSettings = wcs_sanity.DEFAULTS
    blank_sky: blank_sky.BlankSkySettings = blank_sky.DEFAULTS
    grading: grading.GradingSettings = grading.DEFAULTS
    psf: PSFSettings = field(default_factory=PSFSettings)
    flux_scale: FluxScaleSettings = field(default_factory=FluxScaleSettings)
    mesh_pix: int = 64
    detection_sigma: float = 5.0
    source_sigma: float = 3.5
    source_grow_pix: int = 2
    usable_fraction_min: float = 0.1
    side_min_pix: int = 32
    fwhm_agreement: float = 0.15
    fwhm_guess_pix: float = 3.0
    guess_side_pix: int = 1024
    guess_stars_min: int = 30


DEFAULTS = CalibrationSettings()


def defects(
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


class Steps:
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
        lost = planes[MaskPlane.NO_DATA]
        self.data = np.where(lost, np.float32(0), raw.data) if lost.any() else raw.data
        self.background: Background
        self.signal: NDArray[np.float32]
        self.variance: NDArray[np.float32]
        self.variance_ratio: float | None = None
        self.is_variance_delivered = False

    @property
    def unusable(self) -> NDArray[np.bool_]:
        """Where any plane says that the counts are not the sky's."""
        first, *others = self.planes.values()
        out = first.copy()
        for plane in others:
            out |= plane
        return out

    def remove_rough_sky(self) -> None:
        """Subtract a background good enough to find cosmic rays; set the variance."""
        unusable = self.unusable
        mesh = self.settings.mesh_pix
        self._subtract(rough_background(self.data, unusable=unusable, mesh_pix=mesh), unusable)

    def remove_sky(self, fwhm_pix: float) -> None:
        """Estimate and subtract the background; set the variance that follows from it."""
        unusable = self.unusable
        del self.background, self.signal, self.variance  # four images' room for the new ones
        found = estimate_background(
            self.data, unusable=unusable, mesh_pix=self.settings.mesh_pix, fwhm_pix=fwhm_pix
        )
        self._subtract(found, unusable)

    def _subtract(self, found: Background, unusable: NDArray[np.bool_]) -> None:
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
        measured = sampled_median(rms, usable) ** 2
        if raw.variance is not None:
            quiet = usable & (own <= 1.0001 * rms**2)
            where = quiet if quiet.any() else usable
            self.variance_ratio = measured / sampled_median(raw.variance, where)
            if abs(self.variance_ratio - 1) <= settings.agreement_max:
                self.variance = np.where(usable, raw.variance, rms**2).astype(np.float32)
                self.is_variance_delivered = True
        elif not raw.is_sky_subtracted and not raw.meta.is_resampled:
            sky = sampled_median(self.background.level)
            expected = variance.expected_sky_variance(sky, raw.meta)
            self.variance_ratio = measured / expected if expected > 0 else None

    def guess_fwhm(self, level: float) -> float:
        """Return the size that most of the bright stars share, pixels; a guess without any.

        The middle of a large exposure tells enough, where it holds enough stars.
        """
        half = self.settings.guess_side_pix // 2
        ny, nx = self.raw.shape
        y, x = max(ny // 2 - half, 0), max(nx // 2 - half, 0)
        stars = self._stars(level, np.s_[y : ny // 2 + half, x : nx // 2 + half])
        if len(stars.stars) < self.settings.guess_stars_min:
            stars = self._stars(level, np.s_[:, :])
        found = len(stars.stars) > 0
        return stars.fwhm_pix / _MOMENT_SIZE if found else self.settings.fwhm_guess_pix

    def _stars(self, level: float, part: tuple[slice, slice]) -> StarSample:
        return choose_stars(
            self.signal[part],
            self.variance[part],
            unusable=np.ascontiguousarray(self.unusable[part]),
            saturation_adu=self.saturation_of_image(level),
            settings=self.settings.psf.stars,
        )

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

    def find_sharp_features(self, psf: PSFModel) -> None:
        """Add to the COSMIC_RAY plane what is sharper than the PSF.

        The sky stays: what is added here was kept out of it as a source.
        """
        hits = self.planes.pop(MaskPlane.COSMIC_RAY)
        found = sharp_features.sharp_features(
            self.signal,
            self.variance,
            unusable=self.unusable,
            hits=hits,
            psf=psf,
            is_resampled=self.raw.meta.is_resampled,
            settings=self.settings.sharpness,
        )
        self.planes[MaskPlane.COSMIC_RAY] = found
        self._set_variance(self.unusable)

    def mask(self) -> NDArray[np.uint32]:
        """Return the planes as bits."""
        bits = np.zeros(self.raw.shape, np.uint32)
        for plane, where in self.planes.items():
            _set(bits, where, plane)
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
        return max(level - sampled_median(self.background.level), 0.0)

    def assemble(self, fit: PSFFit, level: float) -> tuple[Image, NDArray[np.bool_], int]:
        """Return the image, where its sources are, and how many were found."""
        raw, settings = self.raw, self.settings
        unusable = self.unusable
        significance = source_significance(
            self.signal, self.background.rms, unusable=unusable, fwhm_pix=fit.fwhm_pix
        )
        sources = source_mask(
            significance,
            threshold_sigma=settings.source_sigma,
            grow_pix=settings.source_grow_pix,
        )
        n_sources = count_peaks(significance, threshold_sigma=settings.detection_sigma)
        del significance  # whole images are made one after the other, never all at once
        empty = self.planes[MaskPlane.COSMIC_RAY] | self.planes[MaskPlane.BAD]
        data, interpolated = filling.filled(self.signal, where=empty, unusable=unusable)
        del self.signal
        mask = self.mask()
        _set(mask, interpolated, MaskPlane.INTERPOLATED)
        _set(mask, sources, MaskPlane.DETECTED)
        sky = raw.meta.sky_level_adu
        if not raw.is_sky_subtracted:
            sky = sampled_median(self.background.level)
        meta = replace(raw.meta, sky_level_adu=sky, saturation_adu=self.saturation_of_image(level))
        image = Image(
            data, self.variance, mask, raw.wcs, meta, psf=fit.psf, header=raw.header.copy()
        )
        return image, sources, n_sources


def _set(bits: NDArray[np.uint32], where: NDArray[np.bool_], plane: MaskPlane) -> None:
    bits.ravel()[np.flatnonzero(where)] |= np.uint32(plane.flag)
