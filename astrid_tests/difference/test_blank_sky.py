"""Blank sky: where it is, its statistics with their errors, and the verdict."""

import numpy as np
import pytest
from scipy import ndimage

from astrid_assets.difference.blank_sky import (
    BlankSkySettings,
    blank_sky_mask,
    blank_sky_statistics,
    blank_sky_verdict,
)


def correlated(seed, shape=(256, 256), sigma=1.5):
    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap"
    )
    y, x = np.indices((31, 31)) - 15
    return (noise * 2 * sigma * np.sqrt(np.pi)).astype(np.float32), np.exp(
        -(x**2 + y**2) / (4 * sigma**2)
    )


def test_sampling_errors_are_those_of_many_fields():
    made = []
    for seed in range(60):
        score, rho = correlated(seed)
        made.append(
            blank_sky_statistics(score, np.ones(score.shape, bool), score_autocorrelation=rho)
        )
    assert np.std([m.std for m in made]) == pytest.approx(made[0].std_error, rel=0.35)
    assert np.mean([m.std for m in made]) == pytest.approx(1, abs=0.01)
    assert np.std([m.median for m in made]) == pytest.approx(made[0].median_error, rel=0.4)


def test_blank_sky_keeps_away_from_sources_and_masks_further_where_brighter():
    significance = np.zeros((200, 210), np.float32)
    significance[50, 50], significance[50, 150] = 4.0, 4000.0
    unusable = np.zeros(significance.shape, bool)
    unusable[150, 100] = True
    blank = blank_sky_mask(significance, unusable, fwhm_pix=4.0)
    assert not blank[50, 50]
    assert not blank[50, 57]
    assert blank[50, 62]
    assert not blank[50, 160]
    assert not blank[50, 162]
    assert blank[50, 175]
    assert not blank[150, 107]
    assert blank[150, 112]
    assert blank[190, 200]


def test_verdicts():
    score, rho = correlated(0, (300, 300))
    everything = np.ones(score.shape, bool)

    def verdict(values, **kwargs):
        statistics = blank_sky_statistics(values, everything, score_autocorrelation=rho)
        return blank_sky_verdict(statistics, is_resampled=False, **kwargs)

    assert verdict(score) == (True, ())
    passed, reasons = verdict(score * np.float32(1.4))
    assert passed is False
    assert "std" in reasons[0]
    passed, reasons = verdict(score + np.float32(0.5))
    assert passed is False
    assert "median" in reasons[0]
    statistics = blank_sky_statistics(
        score * np.float32(1.2), everything, score_autocorrelation=rho
    )
    assert blank_sky_verdict(statistics, is_resampled=True)[0] is True
    passed, reasons = verdict(score, settings=BlankSkySettings(n_independent_min=10**6))
    assert passed is None
    assert "no verdict" in reasons[0]


def test_no_blank_sky_at_all():
    score, rho = correlated(0)
    nothing = np.zeros(score.shape, bool)
    statistics = blank_sky_statistics(score, nothing, score_autocorrelation=rho)
    assert statistics.median is None
    assert blank_sky_verdict(statistics, is_resampled=False)[0] is None


def test_choosing_by_the_noise_of_the_reference_leaves_the_score_normal():
    medians, stds = [], []
    for seed in range(12):
        science, rho = correlated(2 * seed, (512, 512))
        reference, _ = correlated(2 * seed + 1, (512, 512))
        score = (science - reference) / np.float32(np.sqrt(2))
        blank = blank_sky_mask(reference, np.zeros(score.shape, bool), fwhm_pix=3.5)
        assert blank.mean() > 0.95
        made = blank_sky_statistics(score, blank, score_autocorrelation=rho)
        medians.append(made.median)
        stds.append(made.std)
    assert abs(np.mean(medians)) < 0.012
    assert np.mean(stds) == pytest.approx(1, abs=0.01)
