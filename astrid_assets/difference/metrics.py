"""The numbers every difference carries, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass

from astrid_assets.difference.alard_lupton.solution import KernelSolution


@dataclass(frozen=True)
class SubtractionMetrics:
    """Quality numbers of one difference; None where a number could not be measured.

    score_*: blank-sky statistics of score_corrected before any noise scaling (sigmas).
    score_tail_fraction: two-sided fraction beyond 4. n_independent: their sample size.
    noise_scale_factor: what score and flux error were scaled by afterwards (1: nothing).
    flux_ratio: F_r / F_n. shift_*_pix: residual shift of the reference, its own pixels. Both at the
    centre of the field; *_terms are the coefficients of their variation (of ln flux_ratio), of
    registration_order and flux_ratio_order; distortion_pix, flux_ratio_variation: how far they go.
    level_terms: of the sky that was left and taken away, as a PSF flux of the difference;
    sky_level: that at the centre, per pixel. Both science counts.
    astrometric_noise_*_pix: registration rms. psf_error: fractional misfit of the PSF models.
    residual_power_ratio: rms score at the common stars over its expectation (1 is perfect).
    coverage_fraction: share of usable science pixels that the reference covers.
    masked_fraction: share of all pixels unusable in either image.
    noise_level: noise per pixel of the difference; limiting_flux_5sigma: 5 times the median error
    of a PSF flux; both science counts. limiting_mag_5sigma: None without a zero point.
    sky_sigma_*: noise per pixel of each input, its own counts.
    fwhm_*_pix: of science, reference (on the science grid) and difference PSF.
    wcs_correction_arcsec: how far the exposure's WCS was off at its centre and was corrected by the
    reference's stars (0: it stays), wcs_correction_reason: that in words.
    kernel: the matching kernel, where the algorithm fits one.
    compared_with: a second algorithm, where one ran; score_disagreement: robust std of the two
    score maps' difference in blank sky. Two perfect matchings give one score, so 0 is expected.
    """

    score_median: float | None
    score_median_error: float | None
    score_std: float | None
    score_std_error: float | None
    score_tail_fraction: float | None
    n_independent: int
    noise_scale_factor: float
    flux_ratio: float
    flux_ratio_error: float
    shift_x_pix: float
    shift_y_pix: float
    astrometric_noise_x_pix: float
    astrometric_noise_y_pix: float
    psf_error: float
    n_stars: int
    residual_power_ratio: float | None
    coverage_fraction: float
    masked_fraction: float
    noise_level: float
    limiting_flux_5sigma: float
    limiting_mag_5sigma: float | None
    sky_sigma_science: float
    sky_sigma_reference: float
    fwhm_science_pix: float
    fwhm_reference_pix: float
    fwhm_difference_pix: float
    n_sub_images: int
    registration_order: int
    distortion_pix: float
    flux_ratio_order: int
    flux_ratio_variation: float
    sky_level: float
    shift_x_terms: tuple[float, ...]
    shift_y_terms: tuple[float, ...]
    log_flux_ratio_terms: tuple[float, ...]
    level_terms: tuple[float, ...]
    wcs_correction_arcsec: float = 0.0
    wcs_correction_reason: str = ""
    kernel: KernelSolution | None = None
    compared_with: str | None = None
    score_disagreement: float | None = None


@dataclass(frozen=True)
class Quality:
    """Whether later stages may use a difference, and why not; notes do not block."""

    is_passed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
