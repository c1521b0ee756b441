"""Peaks of Gaussian noise: the formula against the finder on simulated noise, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from astrid_assets.candidates.noise_peaks import noise_peaks
from astrid_assets.candidates.peaks import extract_peaks
from astrid_assets.imaging.synthetic import Epoch
from astrid_resources.images import PSFModel


def gaussian_psf(sigma: float) -> PSFModel:
    j, i = np.mgrid[-15:16, -15:16]
    return PSFModel.constant(np.exp(-(i**2 + j**2) / 2 / sigma**2), shape=(100, 100))


@pytest.mark.parametrize("sigma", [0.9, 1.6])
def test_the_finder_finds_as_many_in_noise_of_that_correlation(sigma: float) -> None:
    rng, threshold, n = np.random.default_rng(3), 3.7, 0
    n_pixels = 4 * 900**2
    for _ in range(4):
        noise = gaussian_filter(rng.normal(size=(900, 900)), sigma, mode="wrap")
        score = np.ascontiguousarray(noise / noise.std(), np.float32)
        n += len(extract_peaks(score, score, threshold_sigma=threshold))
    made = noise_peaks(gaussian_psf(sigma), threshold_sigma=threshold, rng=rng)
    expected = 2 * made.per_pixel * n_pixels
    assert expected > 200
    assert abs(n - expected) < 4 * np.hypot(np.sqrt(expected), 2 * made.error * n_pixels)


def test_a_sharp_psf_peaks_on_every_pixel_above_and_the_known_figures_come_out() -> None:
    rng = np.random.default_rng(0)
    sharp = noise_peaks(gaussian_psf(0.3), threshold_sigma=5, rng=rng)
    assert sharp.per_pixel == pytest.approx(ndtr(-5), rel=0.02)
    moffat = noise_peaks(Epoch(shape=(101, 101), fwhm_pix=2.8).psf_model(), threshold_sigma=5,
                         rng=rng)  # fmt: skip
    assert 0.15 < 1e6 * moffat.per_pixel < 0.27
