"""The sky: its level where it is blank, its noise, gradients, crowding and edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve

from astrid_assets.imaging.background import NoSkyError, estimate_background
from astrid_assets.imaging.synthetic import Epoch, make_pair


def blank_sky(exposure):
    """Farther than 2 FWHM from anything of 3 sigma or more, by the truth."""
    psf = exposure.psf.centre
    signal = fftconvolve(exposure.clean, psf[::-1, ::-1], mode="same") / np.sqrt((psf**2).sum())
    reach = 2 * int(np.ceil(2 * exposure.epoch.fwhm_pix)) + 1
    return ~(maximum_filter(signal > 3 * exposure.epoch.sky_sigma_adu, reach))


@pytest.mark.parametrize(
    ("seed", "shape", "stars_per_mpix", "gradient"),
    [
        (1, (512, 512), 0, 0.3),
        (2, (512, 700), 900, 0.2),
        (3, (600, 512), 3200, 0.0),
        (4, (256, 256), 900, 0.0),
    ],
)
def test_blank_sky_has_median_zero_and_the_right_noise(seed, shape, stars_per_mpix, gradient):
    exposure = make_pair(
        seed, shape, science=Epoch(sky_gradient=gradient), stars_per_mpix=stars_per_mpix,
        galaxies_per_mpix=150 if stars_per_mpix else 0,
    ).science  # fmt: skip
    found = estimate_background(exposure.raw.data, unusable=exposure.saturated)
    assert found.level.dtype == found.rms.dtype == np.float32
    blank = blank_sky(exposure)
    sigma = exposure.epoch.sky_sigma_adu
    left = (exposure.raw.data - found.level)[blank] / sigma
    assert abs(np.median(left)) < 0.02 + 3 * 1.25 / np.sqrt(left.size)
    assert np.median(found.rms) / sigma == pytest.approx(1, abs=0.012)
    assert np.abs((found.level - exposure.sky)[blank]).max() < 0.3 * sigma


def test_steep_plane_is_followed_to_the_corners():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:301, :410]
    plane = 500 + 0.5 * x - 0.3 * y
    data = (plane + 10 * rng.standard_normal(plane.shape)).astype(np.float32)
    found = estimate_background(data, unusable=np.zeros(data.shape, bool), mesh_pix=50)
    assert np.abs(found.level - plane).max() < 4


def test_masked_half_and_nan_do_no_harm():
    rng = np.random.default_rng(0)
    data = (100 + 5 * rng.standard_normal((200, 300))).astype(np.float32)
    unusable = np.zeros(data.shape, bool)
    unusable[:, 150:] = True
    data[:, 150:] = 1e6
    data[3, 5] = np.nan
    found = estimate_background(data, unusable=unusable)
    assert np.isfinite(found.level).all()
    assert np.abs(found.level - 100).max() < 1.5
    assert np.abs(found.rms - 5).max() < 0.6


def test_given_source_mask_is_used():
    rng = np.random.default_rng(0)
    data = (100 + 5 * rng.standard_normal((128, 128))).astype(np.float32)
    data[:64] += 50
    sources = np.zeros(data.shape, bool)
    sources[:64] = True
    found = estimate_background(
        data, unusable=np.zeros(data.shape, bool), mesh_pix=128, sources=sources
    )
    assert np.median(found.level) == pytest.approx(100, abs=0.5)


def test_no_usable_pixel_is_a_known_failure():
    data = np.zeros((50, 50), np.float32)
    with pytest.raises(NoSkyError) as failure:
        estimate_background(data, unusable=np.ones(data.shape, bool))
    assert failure.value.numbers == {"n_usable": 0, "n_required": 256}
