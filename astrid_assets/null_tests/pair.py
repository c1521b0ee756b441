"""Two exposures of one night and filter subtracted from each other: nothing new may be there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np

from astrid_assets.candidates.candidate import Candidate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.noise_peaks import noise_peaks
from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.difference.subtract import Subtraction, SubtractionSettings, subtract
from astrid_assets.null_tests.counts import PeakCount, both, count_peaks
from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE


@dataclass(frozen=True)
class ObservedAt:
    """An exposure that may be half of a pair: what it saw through what, and when (MJD, TAI)."""

    id: UUID
    survey: str
    filter_band: str
    detector: str
    mjd_mid: float


@dataclass(frozen=True)
class PairNull:
    """One exposure minus another of the same night.

    positive, negative: peaks of either sign on usable pixels.
    """

    subtraction: Subtraction = field(repr=False)
    candidates: tuple[Candidate, ...] = field(repr=False)
    positive: PeakCount
    negative: PeakCount

    @property
    def metrics(self) -> dict[str, Any]:
        """The blank-sky score before scaling, the pair's alignment, and the counts of peaks."""
        m = self.subtraction.metrics
        return {
            "score_median": m.score_median,
            "score_median_error": m.score_median_error,
            "score_std": m.score_std,
            "score_std_error": m.score_std_error,
            "noise_scale_factor": m.noise_scale_factor,
            "flux_ratio": m.flux_ratio,
            "n_stars": m.n_stars,
            "residual_power_ratio": m.residual_power_ratio,
            "n_positive": self.positive.n_peaks,
            "n_negative": self.negative.n_peaks,
            "n_positive_passed": self.positive.n_passed,
            "n_negative_passed": self.negative.n_passed,
            **both(self.positive, self.negative).metrics,
        }


def choose_pairs(exposures: Iterable[ObservedAt]) -> tuple[tuple[UUID, UUID], ...]:
    """Return one pair for each survey, filter and detector with two exposures or more.

    The two that follow each other most closely in time, the earliest such: (later, earlier).
    """
    groups: dict[tuple[str, str, str], list[ObservedAt]] = {}
    for one in sorted(exposures, key=lambda one: (one.mjd_mid, str(one.id))):
        groups.setdefault((one.survey, one.filter_band, one.detector), []).append(one)
    return tuple(_closest(members) for _, members in sorted(groups.items()) if len(members) > 1)


def _closest(in_time: Sequence[ObservedAt]) -> tuple[UUID, UUID]:
    earlier, later = min(pairwise(in_time), key=lambda two: two[1].mjd_mid - two[0].mjd_mid)
    return later.id, earlier.id


def pair_null(
    science: Image,
    other: Image,
    *,
    rng: np.random.Generator,
    subtraction_settings: SubtractionSettings | None = None,
    candidate_settings: CandidateSettings | None = None,
) -> PairNull:
    """Subtract `other` from `science` as if it were a reference, and count the peaks.

    Both on their own grids, with a PSF. Raises what a subtraction raises.
    """
    settings = candidate_settings or CandidateSettings()
    made = subtract(science, other, settings=subtraction_settings)
    return judge_pair(made, science, rng=rng, settings=settings)


def judge_pair(
    made: Subtraction, science: Image, *, rng: np.random.Generator, settings: CandidateSettings
) -> PairNull:
    """Return the null test of a subtraction of two exposures of one night."""
    found = find_candidates(made, science, settings=settings)
    image = made.difference.image
    area = float(np.count_nonzero(~has_any(image.mask, *UNUSABLE))) / 1e6
    noise = noise_peaks(image.psf, threshold_sigma=settings.threshold_sigma, rng=rng)
    rows = [asdict(one) for one in found]
    positive, negative = (
        count_peaks(
            rows,
            is_negative=sign,
            noise_peaks_per_mpix=1e6 * noise.per_pixel,
            area_mpix=area,
        )
        for sign in (False, True)
    )
    return PairNull(made, found, positive, negative)
