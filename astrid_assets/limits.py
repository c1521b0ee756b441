"""The declared limits that the asset checks hold the exposures' numbers against.

One line per fact; how a number is judged stands in `quality.py`.
"""

from __future__ import annotations

from astrid_assets.quality import Limit

INJECTED_COMPLETENESS = Limit(
    "injected_completeness",
    "injection_recovery",
    "completeness_deficit_sigma",
    "injected sources found against the finder's own curve in Gaussian noise, in standard errors; "
    "an exposure beyond -4 is kept out of the catalog",
    low=-4.0,
)
POOLED_COMPLETENESS = Limit(
    "pooled_completeness",
    "injection_recovery",
    "found_excess",
    "share of injected sources found, over all nights of the tile, minus the finder's own in "
    "Gaussian noise: a loss too small to show in one exposure",
    low=-0.02,
    error_metric="found_excess_error",
)
NEGATIVE_PEAKS = (
    Limit(
        "null_negative_peaks",
        "candidates",
        "passed_excess_per_mpix",
        "null test: negative peaks that only their sign rejects, away from known variables, per "
        "million pixels and beyond those of Gaussian noise",
        high=3.0,
        error_metric="noise_error_per_mpix",
    ),
    Limit(
        "null_negative_artefacts",
        "candidates",
        "peaks_excess_per_mpix",
        "null test: all negative peaks on usable pixels, away from known variables, per million "
        "pixels and beyond those of Gaussian noise",
        high=100.0,
        error_metric="noise_error_per_mpix",
    ),
)

LIMITS = (
    Limit(
        "psf_stars",
        "calibrated_exposures",
        "n_psf_stars",
        "enough stars make the PSF",
        low=3,
    ),
    Limit(
        "blank_sky_scatter",
        "calibrated_exposures",
        "blank_std",
        "blank sky scatters as the variance plane says",
        low=0.9,
        high=1.1,
        error_metric="blank_std_error",
    ),
    Limit(
        "wcs_sanity",
        "calibrated_exposures",
        "wcs_round_trip_pix",
        "sky and pixels map onto each other (pixels)",
        high=0.01,
    ),
    Limit(
        "flux_scale",
        "calibrated_exposures",
        "flux_scale_ratio",
        "PSF fluxes of bright stars are their aperture fluxes; no verdict below four such stars",
        low=0.97,
        high=1.03,
        error_metric="flux_scale_error",
    ),
    Limit(
        "zero_point_scatter",
        "calibrated_exposures",
        "zero_point_err",
        "the zero point is known to this (mag); no verdict where there is none",
        high=0.05,
    ),
    Limit(
        "astrometric_rms",
        "calibrated_exposures",
        "astrometric_rms_arcsec",
        "stars lie where the catalogue has them (arcsec); no verdict without a catalogue",
        high=0.3,
    ),
    Limit(
        "reference_coverage",
        "reference_images",
        "coverage_fraction",
        "share of the reference's area with data",
        low=0.5,
    ),
    Limit(
        "reference_noise",
        "reference_images",
        "blank_std",
        "blank sky of the reference scatters as its variance says",
        low=0.9,
        high=1.3,
        error_metric="blank_std_error",
    ),
    Limit(
        "score_median",
        "difference_images",
        "score_median",
        "blank-sky median of score_corrected is 0 (sigmas)",
        high=0.1,
        error_metric="score_median_error",
        is_magnitude=True,
    ),
    Limit(
        "score_scatter",
        "difference_images",
        "score_std",
        "blank-sky scatter of score_corrected is 1, before any scaling",
        low=0.95,
        high=1.05,
        resampled_low=0.9,
        resampled_high=1.3,
        error_metric="score_std_error",
    ),
    Limit(
        "residual_power",
        "difference_images",
        "residual_power_ratio",
        "stars subtract as well as their noise allows (rms score at stars)",
        high=3.0,
    ),
    Limit(
        "algorithm_agreement",
        "difference_images",
        "score_disagreement",
        "two algorithms see one blank sky (std of their scores' difference, sigmas); no verdict "
        "where one ran alone",
        high=0.2,
    ),
    Limit(
        "reference_overlap",
        "difference_images",
        "coverage_fraction",
        "share of the exposure that the reference covers",
        low=0.5,
    ),
    Limit(
        "candidates_per_mpix",
        "candidates",
        "accepted_per_mpix",
        "accepted candidates per million searched pixels; more means artefacts",
        high=200.0,
        error_metric="accepted_per_mpix_error",
    ),
    INJECTED_COMPLETENESS,
    Limit(
        "null_pair_median",
        "null_pairs",
        "score_median",
        "null test: blank-sky median of the score of one exposure minus another of the night",
        high=0.1,
        error_metric="score_median_error",
        is_magnitude=True,
    ),
    Limit(
        "null_pair_scatter",
        "null_pairs",
        "score_std",
        "null test: its scatter is 1, before any scaling",
        low=0.95,
        high=1.05,
        resampled_low=0.9,
        resampled_high=1.3,
        error_metric="score_std_error",
    ),
    Limit(
        "null_pair_peaks",
        "null_pairs",
        "passed_excess_per_mpix",
        "null test: peaks of either sign that no rule but the sign's rejects, per million pixels "
        "and beyond those of Gaussian noise",
        high=3.0,
        error_metric="noise_error_per_mpix",
    ),
    Limit(
        "null_pair_artefacts",
        "null_pairs",
        "peaks_excess_per_mpix",
        "null test: all peaks of either sign on usable pixels, per million pixels and beyond those "
        "of Gaussian noise",
        high=100.0,
        error_metric="noise_error_per_mpix",
    ),
)

EXPOSURES_LEFT = (
    "calibrated_exposures",
    "difference_images",
    "candidates",
    "detections",
    "injection_recovery",
)
"""Assets whose partition is blocked when exposures came in and every one of them failed."""
