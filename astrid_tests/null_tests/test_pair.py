"""Two exposures of a night: nothing is found where all is right; wrong noise and place fail."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.difference.matching import known_match
from astrid_assets.difference.subtract import Subtraction, subtract_aligned
from astrid_assets.imaging.injection import inject_sources
from astrid_assets.imaging.synthetic import Epoch, make_pair
from astrid_assets.limits import LIMITS
from astrid_assets.null_tests.pair import ObservedAt, PairNull, choose_pairs, judge_pair, pair_null
from astrid_assets.quality import Judgement, judge
from astrid_resources.images import Image

SIDE = 900


@lru_cache(maxsize=1)
def exposures() -> tuple[Image, Image]:
    """Two equally deep exposures, dithered by a fraction of a pixel, in unequal seeing."""
    shape = (SIDE, SIDE)
    first = Epoch(shape=shape)
    second = replace(first, fwhm_pix=1.15 * first.fwhm_pix, offset_pix=(3.3, -2.6))
    pair = make_pair(5, shape, science=first, reference=second)
    return pair.science.image(), pair.reference.image()


@lru_cache(maxsize=1)
def right() -> PairNull:
    return pair_null(*exposures(), rng=np.random.default_rng(0))


def failed(metrics: dict[str, Any]) -> set[str]:
    """Return the declared limits that these metrics are beyond."""
    return {
        limit.name
        for limit in LIMITS
        if limit.asset == "null_pairs"
        and judge(limit, metrics, label="").judgement is Judgement.FAILED
    }


def judged_again(made: Subtraction) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return judge_pair(made, exposures()[0], rng=rng, settings=CandidateSettings()).metrics


def test_nothing_is_found_where_all_is_right() -> None:
    metrics = right().metrics
    assert failed(metrics) == set()
    assert metrics["n_passed"] <= 3
    assert metrics["poisson_chance"] > 1e-3
    assert metrics["area_mpix"] == pytest.approx(SIDE**2 / 1e6, rel=0.05)
    assert 0.1 < metrics["n_expected"] < 0.6


def test_a_variance_that_is_too_small_fails() -> None:
    """Noise believed 0.75 of what it is: the score scatters by 1.33, 5 sigma is really 3.75."""
    low = [image.with_(variance=image.variance * np.float32(0.75**2)) for image in exposures()]
    metrics = pair_null(*low, rng=np.random.default_rng(0)).metrics
    assert {"null_pair_scatter", "null_pair_peaks"} <= failed(metrics)
    assert metrics["poisson_chance"] < 1e-9


def test_a_misregistration_fails() -> None:
    """A pixel off, and believed to be in place: both signs beside every bright star."""
    made = right().subtraction
    aligned = made.reference_on_science
    moved = {
        name: np.roll(getattr(aligned, name), 1, axis=1) for name in ("data", "variance", "mask")
    }
    match = known_match(made.metrics, aligned.shape)
    metrics = judged_again(subtract_aligned(exposures()[0], aligned.with_(**moved), match))
    assert "null_pair_artefacts" in failed(metrics)
    assert metrics["n_negative"] > 20
    assert metrics["n_positive"] > 20


def test_what_differs_is_counted_with_its_sign() -> None:
    science, other = exposures()
    rng = np.random.default_rng(2)
    flux = np.full(3, 12 * float(np.median(right().subtraction.difference.psf_flux_error)))
    free = np.array([200.0, 450.0, 700.0])
    plus = inject_sources(science, x=free, y=free + 40, flux_adu=flux, rng=rng)
    metrics = pair_null(plus, other, rng=rng).metrics
    assert metrics["n_positive_passed"] >= right().metrics["n_positive_passed"] + 2
    swapped = pair_null(other, plus, rng=rng).metrics
    assert swapped["n_negative_passed"] >= right().metrics["n_negative_passed"] + 2


def test_pairs_are_the_closest_in_time_of_one_filter_and_detector() -> None:
    def at(k: int, band: str, mjd: float, detector: str = "") -> ObservedAt:
        return ObservedAt(UUID(int=k), "s", band, detector, mjd)

    seen = [
        at(1, "i", 10.00), at(2, "i", 10.05), at(3, "i", 10.07), at(4, "i", 10.2),
        at(5, "r", 10.01), at(6, "g", 10.02, "N1"), at(7, "g", 10.03, "N2"),
        at(8, "z", 10.1), at(9, "z", 10.4),
    ]  # fmt: skip
    pairs = choose_pairs(seen)
    assert pairs == ((UUID(int=3), UUID(int=2)), (UUID(int=9), UUID(int=8)))
    assert choose_pairs(reversed(seen)) == pairs
    assert choose_pairs([]) == ()
