"""Blank-sky noise and depth against pixels whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from astrid_assets.calibration.blank_sky import measure_blank_sky
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_resources.images import Image, PSFModel
from astrid_tests.calibration.sky import moffat

SHAPE = (257, 300)


def _image(seed: int, *, sigma: float = 20.0, smoothing: float = 0.0) -> Image:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, SHAPE)
    if smoothing:
        noise = ndimage.gaussian_filter(noise, smoothing, mode="wrap")
        noise /= noise.std()
    epoch = Epoch(shape=SHAPE)
    psf = PSFModel.constant(moffat(3.6, 0, 0), shape=SHAPE)
    return Image(
        sigma * noise,
        np.full(SHAPE, sigma**2),
        np.zeros(SHAPE),
        epoch.wcs(),
        epoch.meta(),
        psf=psf,
    )


def test_white_noise_gives_its_own_depth() -> None:
    pulls = []
    for seed in range(12):
        image = _image(seed)
        found = measure_blank_sky(image, sources=np.zeros(SHAPE, bool))
        pulls.append([found.median / found.median_error, (found.std - 1) / found.std_error])
        expected = 20.0 * np.sqrt(image.psf.noise_equivalent_area_pix)
        assert found.flux_sigma_adu == pytest.approx(expected, rel=0.12)
        assert found.noise_correlation == pytest.approx(1, abs=0.12)
    assert np.std(pulls) == pytest.approx(1, abs=0.5)
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(12)


def test_correlated_noise_is_told_and_lowers_the_depth() -> None:
    found = measure_blank_sky(_image(3, smoothing=0.7), sources=np.zeros(SHAPE, bool))
    assert found.std == pytest.approx(1, abs=0.03)
    assert found.noise_correlation > 1.5


def test_sources_and_their_surroundings_are_left_out() -> None:
    image = _image(4)
    data = image.data.copy()
    sources = np.zeros(SHAPE, bool)
    data[100:140, 100:140] += 1e5
    sources[95:145, 95:145] = True
    hurt = measure_blank_sky(image.with_(data=data), sources=sources)
    assert hurt.std == pytest.approx(1, abs=0.03)
    assert hurt.n_pixels < SHAPE[0] * SHAPE[1] - 50 * 50


def test_too_little_sky_is_no_verdict() -> None:
    found = measure_blank_sky(_image(5), sources=np.ones(SHAPE, bool))
    assert found.median is None
    assert found.std is None
    assert found.flux_sigma_adu > 0


def test_a_psf_is_needed() -> None:
    with pytest.raises(ValueError, match="PSF"):
        measure_blank_sky(_image(5).with_(psf=None), sources=np.zeros(SHAPE, bool))
