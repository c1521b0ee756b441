"""Compiled smoothing, growth, samples and peaks against scipy's and numpy's exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from astrid_assets.imaging.sampling import MAX_VALUES, sampled, sampled_median
from astrid_assets.imaging.smoothing import gaussian_taps, grown, smoothed, within
from astrid_assets.imaging.sources import count_peaks


@pytest.mark.parametrize("shape", [(40, 37), (129, 300), (5, 3), (1, 20)])
@pytest.mark.parametrize("sigma", [0.3, 1.3, 3.0])
def test_smoothing_is_scipys_gaussian(shape, sigma):
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before = data.copy()
    expected = ndimage.gaussian_filter(data, sigma, truncate=3)
    np.testing.assert_allclose(smoothed(data, gaussian_taps(sigma)), expected, atol=2e-6)
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("radius", [0.0, 1.0, 2.5, 7.07, 12.3, 300.0])
def test_within_is_the_distance_transform(radius):
    mask = np.random.default_rng(1).random((100, 131)) < 0.002
    expected = ndimage.distance_transform_edt(~mask) <= radius
    np.testing.assert_array_equal(within(mask, radius), expected)
    assert not within(np.zeros((9, 9), bool), radius).any()


def test_growth_is_a_dilation_by_squares():
    mask = np.random.default_rng(2).random((60, 71)) < 0.01
    for pixels in (0, 1, 4):
        square = np.ones((2 * pixels + 1, 2 * pixels + 1), bool)
        np.testing.assert_array_equal(grown(mask, pixels), ndimage.binary_dilation(mask, square))


def test_samples_are_whole_where_small_and_spread_where_large():
    small = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(sampled(small, small > 3), small[small > 3])
    assert sampled_median(small) == np.median(small)
    assert np.isnan(sampled_median(small, small < 0))
    y, x = np.mgrid[:1500, :1600].astype(np.float32)
    some = sampled(x)
    assert MAX_VALUES / 2 < some.size <= MAX_VALUES
    assert np.median(some) == pytest.approx(np.median(x), abs=2)
    assert sampled_median(y, x > 800) == pytest.approx(750, abs=2)


def test_peaks_are_counted_once():
    image = np.zeros((50, 60), np.float32)
    image[10, 10] = image[20, 30] = 9.0
    image[30, 30:33] = 7.0
    image[40, 40] = 4.0
    assert count_peaks(image, threshold_sigma=5.0) == 3
