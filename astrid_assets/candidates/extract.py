"""From a difference to its candidates: peaks found, measured, and the rules asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.candidates.candidate import Candidate
from astrid_assets.candidates.measure import measure
from astrid_assets.candidates.peaks import Peaks, extract_peaks
from astrid_assets.candidates.rules import CandidateSettings, first_failure
from astrid_assets.difference.forced import interpolated
from astrid_assets.difference.subtract import Subtraction
from astrid_resources.images import DifferenceImage, Image


def find_candidates(
    difference: DifferenceImage | Subtraction,
    science: Image,
    reference_on_science: Image | None = None,
    *,
    flux_ratio: float | None = None,
    other_score: NDArray[np.float32] | None = None,
    settings: CandidateSettings | None = None,
) -> tuple[Candidate, ...]:
    """Return every peak of either sign beyond the threshold, measured, in (y, x) order.

    difference: a `Subtraction`, or its difference image with the reference on the science grid
    (with its PSF), the flux ratio F_r / F_n (1 where not given) and, where a second algorithm ran,
    its score_corrected `other_score`. Rejected candidates are kept with the rule that rejected
    them. Raises ValueError where the images do not belong together.
    """
    settings = settings or CandidateSettings()
    if isinstance(difference, Subtraction):
        reference_on_science = difference.reference_on_science
        other_score = difference.other_score if other_score is None else other_score
        flux_ratio = difference.metrics.flux_ratio if flux_ratio is None else flux_ratio
        difference = difference.difference
    if reference_on_science is None:
        raise ValueError("a difference image needs its reference on the science grid beside it")
    shapes = {image.shape for image in (difference.image, science, reference_on_science)}
    if len(shapes) > 1:
        raise ValueError(f"difference, science and reference must share one shape, got {shapes}")
    peaks = extract_peaks(
        difference.score_corrected, difference.psf_flux, threshold_sigma=settings.threshold_sigma
    )
    if len(peaks) == 0:
        return ()
    ratio = 1.0 if flux_ratio is None else flux_ratio
    columns = measure(difference, reference_on_science, peaks, ratio, settings)
    columns["other_score"] = _at_peaks(other_score, peaks)
    return tuple(_candidate(rank, columns, settings) for rank in range(len(peaks)))


def _at_peaks(score: NDArray[np.float32] | None, peaks: Peaks) -> NDArray[np.float64]:
    """Return a score map at the fitted positions, NaN where there is no map."""
    if score is None:
        return np.full(len(peaks), np.nan)
    return interpolated(score, peaks.x, peaks.y)


def _candidate(
    rank: int, columns: dict[str, NDArray[Any]], settings: CandidateSettings
) -> Candidate:
    row: dict[str, Any] = {}
    for name, values in columns.items():
        value = values[rank]
        value = value.item() if isinstance(value, np.generic) else value
        row[name] = None if isinstance(value, float) and not np.isfinite(value) else value
    rule, value = first_failure(row, settings)
    known = {name: row[name] for name in row if name in Candidate.__dataclass_fields__}
    return Candidate(
        rank=rank,
        status="new" if rule is None else "rejected",
        rejection_rule=rule,
        rejection_value=value,
        **known,
    )
