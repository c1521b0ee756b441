"""The row of `difference_runs` that records a subtraction, or why there was none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from astrid_assets.difference.subtract import Subtraction
from astrid_resources.identity import row_id
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.products import Row, StoredObject

STAGE = "difference"


@dataclass(frozen=True)
class UsedReference:
    """The promoted reference that a subtraction uses."""

    row_id: UUID
    sha256: str
    key: str


def difference_run_id(
    observation_id: UUID, reference: UsedReference | None, algorithm: str
) -> UUID:
    """Return the row id of the run of an exposure against a reference (or against none)."""
    sha256 = reference.sha256 if reference else None
    return row_id("difference_runs", observation_id, STAGE, sha256, algorithm)


def completed_row(
    observation_id: UUID,
    reference: UsedReference,
    subtraction: Subtraction,
    stored: StoredObject,
    *,
    product_id: str,
    parameters: Mapping[str, Any],
) -> Row:
    """Return the row of a subtraction whose difference is stored."""
    m = subtraction.metrics
    ny, nx = subtraction.difference.image.shape
    return {
        "id": difference_run_id(observation_id, reference, subtraction.difference.algorithm),
        "observation_id": observation_id,
        "reference_image_id": reference.row_id,
        "reference_sha256": reference.sha256,
        "product_id": product_id,
        "algorithm": subtraction.difference.algorithm,
        "parameters": dict(parameters),
        "status": "completed",
        "difference_image_path": stored.key,
        "significance_map_path": stored.key,
        "content_sha256": stored.sha256,
        "noise_level": m.noise_level,
        "score_median": m.score_median,
        "score_std": m.score_std,
        "score_tail_fraction": m.score_tail_fraction,
        "n_blank_elements": m.n_independent,
        "flux_ratio": m.flux_ratio,
        "shift_x_pix": m.shift_x_pix,
        "shift_y_pix": m.shift_y_pix,
        "n_matched_stars": m.n_stars,
        "residual_power_ratio": m.residual_power_ratio,
        "noise_scale_factor": m.noise_scale_factor,
        "limiting_mag_5sigma": m.limiting_mag_5sigma,
        "limiting_flux_5sigma": m.limiting_flux_5sigma,
        "astrometric_noise_x": m.astrometric_noise_x_pix,
        "astrometric_noise_y": m.astrometric_noise_y_pix,
        "psf_model_error": m.psf_error,
        "coverage_fraction": m.coverage_fraction,
        "searched_area_mpix": (1 - m.masked_fraction) * nx * ny / 1e6,
        "verdict": "passed" if subtraction.quality.is_passed else "failed",
        "verdict_reasons": [*subtraction.quality.reasons, *subtraction.quality.notes],
    }


def outcome_row(
    observation_id: UUID,
    reference: UsedReference | None,
    outcome: KnownFailure | NoWork,
    *,
    product_id: str,
    parameters: Mapping[str, Any],
) -> Row:
    """Return the row of an exposure that was not subtracted, with its reason.

    parameters: those of the subtraction that was asked for, its algorithm among them.
    """
    algorithm = str(parameters["algorithm"])
    is_failure = isinstance(outcome, KnownFailure)
    return {
        "id": difference_run_id(observation_id, reference, algorithm),
        "observation_id": observation_id,
        "reference_image_id": reference.row_id if reference else None,
        "reference_sha256": reference.sha256 if reference else None,
        "product_id": product_id,
        "algorithm": algorithm,
        "parameters": dict(parameters),
        "status": "failed" if is_failure else "no_work",
        "reason_code": outcome.code,
        "reason": outcome.message,
        "verdict": "failed" if is_failure else "no_work",
        "verdict_reasons": [outcome.message],
        "error_message": outcome.message if is_failure else None,
    }
