"""Sharper than the PSF: hits on resampled frames are found, no light from the sky ever is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from astrid_assets.calibration.cosmic_rays import cosmic_rays
from astrid_assets.calibration.sharp_features import sharp_features
from astrid_assets.calibration.variance import pixel_variance
from astrid_resources.images import PSFModel
from astrid_tests.calibration.sky import HitField, grown, hit_field, moffat


def _variance(field: HitField) -> np.ndarray:
    rms = np.full(field.data.shape, field.sky_rms, np.float32)
    none = np.zeros(field.data.shape, bool)
    return pixel_variance(field.data, rms, gain_e_per_adu=field.gain, unusable=none)


def _found(
    field: HitField, fwhm: float, *, psf_fwhm: float | None = None, resampled=False, alone=False
):
    none = np.zeros(field.data.shape, bool)
    variance = _variance(field)
    hits = none if alone else cosmic_rays(field.data, variance, unusable=none, fwhm_pix=fwhm)
    return sharp_features(
        field.data,
        variance,
        unusable=none,
        hits=hits,
        psf=PSFModel.constant(moffat(psf_fwhm or fwhm, 0, 0), shape=field.data.shape),
        is_resampled=resampled,
    )


@pytest.mark.parametrize("fwhm", [1.6, 2.5, 4.0, 6.0])
def test_stars_are_never_sharp_even_with_a_psf_five_percent_too_broad(fwhm: float) -> None:
    n_found = 0
    for seed in range(4):
        field = hit_field(seed, fwhm=fwhm, n_hits=0, n_stars=150)
        n_found += int(_found(field, fwhm, psf_fwhm=1.05 * fwhm, alone=True).sum())
    assert n_found <= 2


@pytest.mark.parametrize("fwhm", [2.8, 5.0])
def test_it_completes_the_laplacian(fwhm: float) -> None:
    complete, pure = [], []
    for seed in range(3):
        field = hit_field(seed, fwhm=fwhm)
        found = _found(field, fwhm)
        hits, strong = field.hits > 0, field.hits > 5 * field.sky_rms
        complete.append((found & strong).sum() / strong.sum())
        pure.append([(found & true).sum() / found.sum() for true in (hits, grown(hits))])
    assert np.mean(complete) > 0.95
    assert np.mean(pure, axis=0)[0] > 0.88
    assert np.mean(pure, axis=0)[1] > 0.97


def test_hits_on_a_resampled_frame_are_found() -> None:
    """Interpolation spreads a hit over neighbours: the Laplacian alone misses most of it."""
    both, laplacian = [], []
    for seed in range(3):
        field = hit_field(seed, fwhm=4.5)
        data = ndimage.shift(field.data, (0.5, 0.5), order=3).astype(np.float32)
        hits = ndimage.shift(field.hits, (0.5, 0.5), order=3)
        resampled = replace(field, data=data)
        rms = 1.4826 * float(np.median(np.abs(data - np.median(data))))
        resampled = replace(resampled, sky_rms=rms)
        strong = hits > 5 * rms
        found = _found(resampled, 4.5, resampled=True)
        alone = cosmic_rays(
            data, _variance(resampled), unusable=np.zeros(data.shape, bool), fwhm_pix=4.5
        )
        both.append((found & strong).sum() / strong.sum())
        laplacian.append((alone & strong).sum() / strong.sum())
    assert np.mean(both) > 0.93
    assert np.mean(both) > np.mean(laplacian) + 0.05


def test_galaxies_and_noise_are_not_sharp() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:300, :300]
    light = np.zeros((300, 300))
    for cx, cy, size in rng.uniform((40, 40, 1), (260, 260, 6), (12, 3)):
        light += 400 * np.exp(-np.hypot(x - cx, (y - cy) / 0.5) / size)
    psf = moffat(3.5, 0, 0)
    smooth = ndimage.convolve(light, psf)
    variance = (100 + smooth / 2).astype(np.float32)
    data = (smooth + rng.normal(0, np.sqrt(variance))).astype(np.float32)
    none = np.zeros(data.shape, bool)
    found = sharp_features(
        data,
        variance,
        unusable=none,
        hits=none,
        psf=PSFModel.constant(psf, shape=data.shape),
        is_resampled=False,
    )
    assert found.sum() <= 2


def test_all_unusable_finds_nothing() -> None:
    full = np.ones((40, 40), bool)
    found = sharp_features(
        np.zeros((40, 40), np.float32),
        np.ones((40, 40), np.float32),
        unusable=full,
        hits=~full,
        psf=PSFModel.constant(moffat(3.0, 0, 0, n=21), shape=(40, 40)),
        is_resampled=True,
    )
    assert not found.any()
