"""The rows of `candidates`: what science measured, with the exposure it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from astrid_assets.candidates.candidate import Candidate
from astrid_assets.imaging.photometry import njy_per_adu
from astrid_resources.database import Observation
from astrid_resources.identity import row_id
from astrid_resources.products import Row


def candidate_id(difference_run_id: UUID, rank: int) -> UUID:
    """Return the row id of a candidate: its run and its place in (y, x) order."""
    return row_id("candidates", difference_run_id, rank)


def candidate_rows(
    candidates: Sequence[Candidate],
    *,
    difference_run_id: UUID,
    observation: Observation,
    zero_point_ab_mag: float | None,
) -> tuple[Row, ...]:
    """Return a row per candidate; nJy only where a zero point is known."""
    scale = None if zero_point_ab_mag is None else njy_per_adu(zero_point_ab_mag)
    return tuple(
        {
            **asdict(candidate),
            "id": candidate_id(difference_run_id, candidate.rank),
            "difference_run_id": difference_run_id,
            "observation_id": observation.id,
            "mjd_mid": observation.mjd_mid,
            "filter_band": observation.filter_band,
            "flux_njy": None if scale is None else candidate.flux * scale,
            "flux_njy_error": None if scale is None else candidate.flux_error * scale,
        }
        for candidate in candidates
    )
