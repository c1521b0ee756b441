"""The row of `preprocess_runs` that records a calibration, or why there is none."""

from __future__ import annotations

from uuid import UUID

from astrid_assets.calibration.calibrate import Calibration
from astrid_resources.identity import row_id
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.products import Row, StoredObject

STAGE = "calibration"


def completed_row(observation_id: UUID, calibration: Calibration, stored: StoredObject) -> Row:
    """Return the row of a calibration whose image is stored."""
    m = calibration.metrics
    return {
        "id": row_id("preprocess_runs", observation_id, STAGE),
        "observation_id": observation_id,
        "status": "completed",
        "calibration_applied": False,
        "wcs_aligned": False,
        "processed_fits_path": stored.key,
        "content_sha256": stored.sha256,
        "wcs_info": {
            "stretch": m.wcs_stretch,
            "scale_variation": m.wcs_scale_variation,
            "round_trip_pix": m.wcs_round_trip_pix,
            "pixel_scale_arcsec": m.pixel_scale_arcsec,
        },
        "zero_point_ab_mag": m.zero_point_ab_mag,
        "zero_point_err": m.zero_point_err,
        "psf_fwhm_pix": m.psf_fwhm_pix,
        "psf_ellipticity": m.ellipticity,
        "n_psf_stars": m.n_psf_stars,
        "seeing_arcsec": m.seeing_arcsec,
        "sky_level": m.sky_level_adu,
        "sky_sigma": m.sky_sigma_adu,
        "limiting_flux_5sigma": m.flux_limit_5sigma_adu,
        "limiting_mag_5sigma": m.limiting_mag_5sigma,
        "cosmic_ray_fraction": m.cosmic_ray_fraction,
        "masked_fraction": m.masked_fraction,
        "grade": calibration.grade.value,
        "grade_reasons": list(calibration.reasons),
    }


def failed_row(observation_id: UUID, outcome: KnownFailure | NoWork) -> Row:
    """Return the row of an exposure that could not be calibrated."""
    return {
        "id": row_id("preprocess_runs", observation_id, STAGE),
        "observation_id": observation_id,
        "status": "failed" if isinstance(outcome, KnownFailure) else "no_work",
        "calibration_applied": False,
        "wcs_aligned": False,
        "error_message": f"{outcome.code}: {outcome.message}",
    }
