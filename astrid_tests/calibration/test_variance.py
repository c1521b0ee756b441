"""Variance: photons where there is signal, the sky's alone elsewhere, no bias from noise."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.calibration.variance import expected_sky_variance, pixel_variance
from astrid_resources.images import ImageMeta


@pytest.mark.parametrize("sky_rms", [2.0, 30.0])
def test_blank_sky_keeps_its_own_variance(sky_rms: float) -> None:
    rng = np.random.default_rng(1)
    data = rng.normal(0, sky_rms, (300, 300)).astype(np.float32)
    rms = np.full_like(data, sky_rms)
    variance = pixel_variance(data, rms, gain_e_per_adu=1.0, unusable=np.zeros(data.shape, bool))
    assert variance.mean() == pytest.approx(sky_rms**2, rel=0.002)
    assert variance.dtype == np.float32


def test_bright_source_adds_its_photons() -> None:
    data = np.zeros((50, 50), np.float32)
    data[20:30, 20:30] = 4000
    rms = np.full_like(data, 10)
    unusable = np.zeros(data.shape, bool)
    unusable[25, 25] = True
    variance = pixel_variance(data, rms, gain_e_per_adu=2.0, unusable=unusable)
    assert variance[22, 22] == pytest.approx(2100)
    assert variance[25, 25] == pytest.approx(100)
    assert variance[5, 5] == pytest.approx(100)


def test_the_formula_matches_a_simulated_sky() -> None:
    rng = np.random.default_rng(3)
    gain, read_noise, sky = 3.0, 7.0, 400.0
    electrons = rng.poisson(sky * gain, 400_000) + rng.normal(0, read_noise, 400_000)
    expected = expected_sky_variance(sky, ImageMeta(gain, read_noise, 6e4))
    assert np.var(electrons / gain) == pytest.approx(expected, rel=4 * np.sqrt(2 / 400_000))


def test_a_gain_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="gain"):
        pixel_variance(
            np.zeros((3, 3), np.float32),
            np.ones((3, 3), np.float32),
            gain_e_per_adu=0,
            unusable=np.zeros((3, 3), bool),
        )
