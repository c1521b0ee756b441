"""The numbers that describe a calibrated exposure; measured by `calibrate`, judged by `grading`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CalibrationMetrics:
    """What was measured; None where a quantity is not known, never a made-up value.

    psf_fwhm_pix, seeing_arcsec: FWHM of the PSF at the image centre.
    ellipticity, position_angle_pix_deg: the PSF's shape there, angle from +x to +y.
    psf_order, n_psf_stars, psf_residual: order of its variation, stars, fractional model error.
    n_sources: peaks of the smoothed image above the detection threshold.
    sky_level_adu: median level taken off; sky_sigma_adu: median blank-sky scatter of a pixel.
    sky_gradient_sigma: 5 to 95 % range of the level over the field, in sky_sigma.
    flux_limit_5sigma_adu, limiting_mag_5sigma: 5 times the scatter of PSF fluxes in blank sky.
    noise_correlation: that scatter over the one expected of uncorrelated pixels.
    zero_point_ab_mag, zero_point_err: as delivered with the exposure.
    saturation_level_adu: the level used, in ADU of the delivered frame.
    cosmic_ray_fraction, saturated_fraction, masked_fraction: fractions of the pixels, the last
        with any plane that makes a pixel unusable.
    variance_ratio: measured over expected (delivered or computed) blank-sky variance.
    is_variance_delivered: the variance plane is the delivered one.
    blank_median, blank_std, blank_median_error, blank_std_error: of data / sqrt(variance) in
        blank sky with their own sampling errors; n_blank: pixels used.
    flux_median_sigma: median PSF flux there, over the scatter of PSF fluxes; with
        its sampling error, flux_median_error.
    flux_scale_ratio, flux_scale_error: forced PSF flux over aperture flux of bright stars, 1 where
        the PSF is right, and its error; n_flux_scale_stars: stars used.
    ra_deg, dec_deg, pixel_scale_arcsec, wcs_stretch, wcs_scale_variation, wcs_round_trip_pix:
        the WCS at the image centre and over the field.
    """

    psf_fwhm_pix: float
    seeing_arcsec: float
    ellipticity: float
    position_angle_pix_deg: float
    psf_order: int
    n_psf_stars: int
    psf_residual: float
    n_sources: int
    sky_level_adu: float
    sky_sigma_adu: float
    sky_gradient_sigma: float
    flux_limit_5sigma_adu: float
    limiting_mag_5sigma: float | None
    noise_correlation: float | None
    zero_point_ab_mag: float | None
    zero_point_err: float | None
    saturation_level_adu: float
    cosmic_ray_fraction: float
    saturated_fraction: float
    masked_fraction: float
    variance_ratio: float | None
    is_variance_delivered: bool
    blank_median: float | None
    blank_std: float | None
    blank_median_error: float | None
    blank_std_error: float | None
    flux_median_sigma: float | None
    flux_median_error: float | None
    n_blank: int
    flux_scale_ratio: float | None
    flux_scale_error: float | None
    n_flux_scale_stars: int
    ra_deg: float
    dec_deg: float
    pixel_scale_arcsec: float
    wcs_stretch: float
    wcs_scale_variation: float
    wcs_round_trip_pix: float
