"""Injection and recovery against theory: Phi(s - 5), binomial errors, nothing invented."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import norm

from astrid_assets.detections.recovery import (
    NoRoomError,
    Recovery,
    RecoverySettings,
    flux_for_snr,
    recover,
    score_error,
    subtract_again,
    wilson_interval,
)
from astrid_assets.detections.recovery_figures import completeness_failures
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.imaging.injection import inject_sources
from astrid_assets.imaging.synthetic import make_pair
from astrid_resources.images import Image, MaskPlane, PSFModel
from astrid_tests.detections.fixed_model import fixed_champion

SETTINGS = RecoverySettings(n_sources=80)


@lru_cache(maxsize=1)
def _pair() -> tuple[Image, Image, Subtraction]:
    pair = make_pair(11, (420, 420), stars_per_mpix=500, galaxies_per_mpix=80)
    science, reference = pair.science.image(), pair.reference.image()
    return science, reference, subtract(science, reference)


def _searched() -> tuple[Image, Subtraction]:
    science, _, subtraction = _pair()
    return science, subtraction


def _recover(*, accepts: bool = True, seed: int = 1) -> Recovery:
    return recover(
        *_searched(), champion=fixed_champion(accepts=accepts), rng=np.random.default_rng(seed),
        settings=SETTINGS,
    )  # fmt: skip


def test_the_found_fraction_follows_theory_within_its_error() -> None:
    snr, found = [], []
    for seed in (1, 2, 3):
        recovery = _recover(seed=seed)
        snr.append(recovery.snr[~recovery.is_unusable])
        found.append(recovery.is_found[~recovery.is_unusable])
    s, is_found = np.concatenate(snr), np.concatenate(found)
    expected = norm.cdf(s - 5)
    error = np.sqrt(np.sum(expected * (1 - expected)))
    assert len(s) > 120
    assert is_found.sum() - expected.sum() > -4 * error
    assert is_found.sum() - expected.sum() < 4 * error + 0.06 * len(s)


def test_the_true_snr_counts_all_noise_of_the_score() -> None:
    difference = _pair()[2].difference
    score = difference.score_corrected
    lowered = np.where(np.arange(score.shape[1]) < 200, score / 2, score).astype(np.float32)
    halved = type(difference)(**{**vars(difference), "score_corrected": lowered})
    y = np.arange(30, 390, 15)
    for x, factor in ((100, 2.0), (300, 1.0)):
        at = np.full(len(y), x)
        before, after = score_error(difference, at, y), score_error(halved, at, y)
        np.testing.assert_allclose(after / before, factor, rtol=1e-5)
        np.testing.assert_allclose(
            np.median(before / difference.psf_flux_error[y, at]), 1, atol=0.02
        )


def test_injected_sources_do_not_raise_the_noise_they_are_found_in() -> None:
    """On resampled frames the blank-sky scatter scales the score: it must be the one before."""
    science, reference, _ = _pair()
    meta = replace(science.meta, is_resampled=True)
    resampled = science.with_(meta=meta)
    scaled = subtract(resampled, reference)
    rng = np.random.default_rng(5)
    x, y = (grid.ravel() for grid in np.mgrid[30:390:24, 30:390:24])
    flux = np.full(len(x), 8 * np.median(scaled.difference.psf_flux_error))
    injected = inject_sources(resampled, x=x + 0.3, y=y - 0.2, flux_adu=flux, rng=rng)
    naive = subtract(injected, reference)
    again = subtract_again(injected, scaled)
    assert naive.difference.noise_scale_factor > 1.02 * scaled.difference.noise_scale_factor
    assert again.difference.noise_scale_factor == scaled.difference.noise_scale_factor
    at = (np.rint(y).astype(int), np.rint(x).astype(int))
    gained = again.difference.score_corrected[at] - scaled.difference.score_corrected[at]
    assert np.median(gained) == pytest.approx(8, abs=0.5)


def test_what_the_model_rejects_is_found_but_not_accepted() -> None:
    kept, rejected = _recover(accepts=True), _recover(accepts=False)
    np.testing.assert_array_equal(kept.is_found, rejected.is_found)
    np.testing.assert_array_equal(kept.is_accepted, kept.is_passed)
    assert kept.total.n_accepted > 0
    assert rejected.total.n_accepted == 0
    assert (kept.is_passed <= kept.is_found).all()


def test_the_bins_hold_every_source_once_and_repeat_with_the_seed() -> None:
    recovery, again, other = _recover(), _recover(), _recover(seed=2)
    assert sum(one.n_injected for one in recovery.bins) == len(recovery.x) == 80
    assert recovery.bins == again.bins
    assert not np.array_equal(recovery.x, other.x)
    for one in recovery.bins:
        assert 0 <= one.completeness_low <= (one.completeness or 0) <= one.completeness_high <= 1
        assert one.n_accepted <= one.n_passed <= one.n_found <= one.n_injected


def test_an_exposure_without_a_place_is_no_work() -> None:
    science, subtraction = _searched()
    lost = np.full(science.shape, np.uint32(MaskPlane.NO_DATA.flag))
    image = subtraction.difference.image.with_(mask=lost)
    difference = type(subtraction.difference)(**{**vars(subtraction.difference), "image": image})
    covered = type(subtraction)(**{**vars(subtraction), "difference": difference})
    with pytest.raises(NoRoomError, match="no pixel"):
        recover(
            science, covered, champion=fixed_champion(accepts=True),
            rng=np.random.default_rng(1),
        )  # fmt: skip
    with pytest.raises(NoRoomError, match="clear of peaks"):
        recover(
            science, subtraction, champion=fixed_champion(accepts=True),
            rng=np.random.default_rng(1), settings=RecoverySettings(clear_sigma=0.0),
        )  # fmt: skip


def test_flux_and_snr_agree_with_the_sources_own_photons() -> None:
    j, i = np.mgrid[-20:21, -20:21]
    psf = PSFModel.constant(np.exp(-(i**2 + j**2) / 2 / 1.7**2), shape=(100, 100))
    snr, error, gain = np.array([4.0, 8.0, 40.0]), np.array([50.0, 50.0, 50.0]), 1.5
    flux = flux_for_snr(snr, error, psf, gain_e_per_adu=gain)
    p = psf.centre.astype(float)
    own = flux * (p**3).sum() / (p**2).sum() ** 2 / gain
    np.testing.assert_allclose(flux / np.sqrt(error**2 + own), snr)
    assert (flux > snr * error).all()


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals(k: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(k, n) == pytest.approx((low, high), abs=1e-4)


def test_an_exposure_far_below_theory_is_refused_with_its_numbers() -> None:
    metrics = {"n_found": 3, "n_injected": 120, "completeness_deficit_sigma": -9.5}
    (reason,) = completeness_failures(metrics)
    assert "3 of 120" in reason
    assert "-9.5" in reason
    assert not completeness_failures({**metrics, "completeness_deficit_sigma": -3.9})
    assert not completeness_failures({**metrics, "completeness_deficit_sigma": None})
