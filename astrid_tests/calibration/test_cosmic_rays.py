"""Cosmic rays against truth: pure and complete enough, and stars are never taken for hits."""

from __future__ import annotations

from dataclasses import replace

import astroscrappy
import numpy as np
import pytest

from astrid_assets.calibration.cosmic_rays import cosmic_rays
from astrid_assets.calibration.variance import pixel_variance
from astrid_tests.calibration.sky import HitField, grown, hit_field


def _found(field: HitField, fwhm: float, unusable: np.ndarray | None = None) -> np.ndarray:
    none = np.zeros(field.data.shape, bool)
    rms = np.full(field.data.shape, field.sky_rms, np.float32)
    variance = pixel_variance(field.data, rms, gain_e_per_adu=field.gain, unusable=none)
    unusable = none if unusable is None else unusable
    return cosmic_rays(field.data, variance, unusable=unusable, fwhm_pix=fwhm)


@pytest.mark.parametrize("fwhm", [1.8, 2.8, 5.0])
def test_hits_are_found_and_stars_are_not(fwhm: float) -> None:
    complete, pure, n_stars, n_flagged = [], [], 0, 0
    for seed in range(3):
        field = hit_field(seed, fwhm=fwhm)
        found = _found(field, fwhm)
        truth = field.hits > 0
        strong = field.hits > 5 * field.sky_rms
        complete.append((found & strong).sum() / strong.sum())
        pure.append((found & truth).sum() / found.sum())
        free = found & ~grown(truth)
        n_stars += len(field.star_x)
        n_flagged += sum(
            free[y - 1 : y + 2, x - 1 : x + 2].any()
            for x, y in zip(field.star_x, field.star_y, strict=True)
        )
    assert np.mean(complete) > 0.90
    assert np.mean(pure) > 0.90
    assert n_flagged <= 0.005 * n_stars


def test_undersampled_bright_stars_keep_their_cores() -> None:
    flagged = 0
    for seed in range(3):
        field = hit_field(seed, fwhm=1.6, n_hits=0)
        found = _found(field, 1.6)
        flagged += sum(found[y, x] for x, y in zip(field.star_x, field.star_y, strict=True))
    assert flagged == 0


def test_blank_noise_gives_almost_no_hits() -> None:
    rng = np.random.default_rng(5)
    data = rng.normal(0, 10, (500, 500)).astype(np.float32)
    found = cosmic_rays(
        data, np.full_like(data, 100), unusable=np.zeros(data.shape, bool), fwhm_pix=3.0
    )
    assert found.mean() < 2e-5


def test_unusable_pixels_are_left_alone_and_input_is_untouched() -> None:
    field = hit_field(1, fwhm=3.0)
    before = field.data.copy()
    unusable = field.hits > 0
    assert not (_found(field, 3.0, unusable) & unusable).any()
    np.testing.assert_array_equal(field.data, before)


@pytest.mark.parametrize("fwhm", [2.0, 3.5])
def test_it_is_as_complete_and_as_pure_as_astroscrappy(fwhm: float) -> None:
    scores = []
    for seed in range(4):
        field = hit_field(seed, fwhm=fwhm)
        none = np.zeros(field.data.shape, bool)
        rms = np.full(field.data.shape, field.sky_rms, np.float32)
        variance = pixel_variance(field.data, rms, gain_e_per_adu=field.gain, unusable=none)
        theirs, _ = astroscrappy.detect_cosmics(
            field.data, invar=variance, gain=1.0, satlevel=1e30, niter=1, sigclip=5.0, objlim=5.0
        )
        truth, strong = field.hits > 0, field.hits > 5 * field.sky_rms
        scores.append(
            [
                ((found & strong).sum() / strong.sum(), (found & truth).sum() / found.sum())
                for found in (_found(field, fwhm), theirs)
            ]
        )
    (complete, pure), (their_complete, their_pure) = np.mean(scores, axis=0)
    assert complete > their_complete - 0.005
    assert pure > their_pure - 0.005


def test_defective_neighbours_make_no_hits() -> None:
    """A dead column through a bright star is no edge of a cosmic ray."""
    field = hit_field(2, fwhm=3.0, n_hits=0)
    unusable = np.zeros(field.data.shape, bool)
    unusable[:, field.star_x] = True
    data = np.where(unusable, np.float32(0), field.data)
    assert _found(replace(field, data=data), 3.0, unusable).sum() <= 2
