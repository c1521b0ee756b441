"""Calibration end to end on the synthetic sky, against truth; bad exposures fail with numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from astropy.wcs import WCS

from astrid_assets.calibration.calibrate import (
    DEFAULTS,
    Calibration,
    UnusableExposureError,
    calibrate,
)
from astrid_assets.calibration.grading import Grade
from astrid_assets.calibration.wcs_sanity import WCSSanityError
from astrid_assets.imaging.psf_fit import TooFewStarsError
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_assets.imaging.synthetic.render import SyntheticExposure
from astrid_resources.images import KnownFailure, MaskPlane, has_any
from astrid_tests.calibration.sky import grown

EPOCH = Epoch(cosmic_rays_per_mpix=60, bad_columns=2, sky_gradient=0.1, saturation_adu=30000.0)


def _exposure(seed: int, **changes) -> SyntheticExposure:
    epoch = replace(EPOCH, **changes)
    return make_pair(seed, (450, 512), science=epoch, stars_per_mpix=1200).science


@pytest.fixture(scope="module")
def made() -> list[tuple[SyntheticExposure, Calibration]]:
    exposures = [_exposure(seed, fwhm_pix=2.6 + 0.6 * seed) for seed in range(3)]
    return [(exposure, calibrate(exposure.raw)) for exposure in exposures]


def test_sky_noise_and_variance_are_right(made) -> None:
    for exposure, calibration in made:
        metrics = calibration.metrics
        assert calibration.grade is Grade.A, calibration.reasons
        assert metrics.blank_std == pytest.approx(1, abs=0.05)
        assert abs(metrics.blank_median) < 0.02
        assert abs(metrics.flux_median_sigma) < 0.1 + 4 * metrics.flux_median_error
        assert metrics.variance_ratio == pytest.approx(1, abs=0.05)
        assert metrics.sky_level_adu == pytest.approx(float(np.median(exposure.sky)), abs=2.0)
        image = calibration.image
        clean = image.mask == 0
        ratio = image.variance[clean] / exposure.clean_variance[clean]
        assert np.median(ratio) == pytest.approx(1, abs=0.03)
        bright = ~has_any(image.mask, MaskPlane.SATURATED, MaskPlane.COSMIC_RAY, MaskPlane.BAD)
        bright &= exposure.clean > 2000
        ratio = image.variance[bright] / exposure.clean_variance[bright]
        assert np.median(ratio) == pytest.approx(1, abs=0.03)


def test_psf_fluxes_are_on_the_scale_of_the_stars_light(made) -> None:
    for _, calibration in made:
        metrics = calibration.metrics
        assert metrics.n_flux_scale_stars >= 10
        assert metrics.flux_scale_error < 0.01
        assert abs(metrics.flux_scale_ratio - 1) < 0.01 + 4 * metrics.flux_scale_error


def test_psf_and_depth_are_right(made) -> None:
    for exposure, calibration in made:
        metrics = calibration.metrics
        assert metrics.psf_fwhm_pix == pytest.approx(exposure.psf.fwhm_pix, rel=0.03)
        assert metrics.seeing_arcsec == pytest.approx(metrics.psf_fwhm_pix * 0.262, rel=1e-3)
        assert metrics.ellipticity < 0.05
        expected = (
            5 * exposure.epoch.sky_sigma_adu * np.sqrt(exposure.psf.noise_equivalent_area_pix)
        )
        assert metrics.flux_limit_5sigma_adu == pytest.approx(expected, rel=0.12)
        expected_mag = 30 - 2.5 * np.log10(metrics.flux_limit_5sigma_adu)
        assert metrics.limiting_mag_5sigma == pytest.approx(expected_mag)


def test_masks_hold_the_defects_and_spare_the_stars(made) -> None:
    n_stars = n_lost = 0
    for exposure, calibration in made:
        mask = calibration.image.mask
        hits = has_any(mask, MaskPlane.COSMIC_RAY)
        others = exposure.saturated | exposure.bad
        excess = exposure.raw.data - exposure.sky - exposure.clean
        strong = exposure.cosmic_rays & (excess > 6 * np.sqrt(exposure.clean_variance)) & ~others
        assert (hits & strong).sum() / strong.sum() > 0.9
        assert (hits & ~grown(exposure.cosmic_rays)).sum() < 5e-5 * hits.size
        full = exposure.raw.data >= EPOCH.saturation_adu
        assert has_any(mask, MaskPlane.SATURATED)[full & ~exposure.bad].all()
        truth = exposure.truth
        x, y = np.rint(truth.x).astype(int), np.rint(truth.y).astype(int)
        inside = (x > 3) & (y > 3) & (x < 508) & (y < 446)
        near_hit = grown(grown(exposure.cosmic_rays))
        for i, j in zip(x[inside], y[inside], strict=True):
            if not near_hit[j, i]:
                n_stars += 1
                n_lost += int(hits[j, i])
    assert n_stars > 400
    assert n_lost <= 0.003 * n_stars


def test_every_pixel_is_finite_and_filled_ones_are_named(made) -> None:
    exposure, calibration = made[0]
    data = exposure.raw.data.copy()
    data[:20] = np.nan
    data[200, 200] = np.inf
    result = calibrate(replace(exposure.raw, data=data))
    image = result.image
    assert np.isfinite(image.data).all()
    assert np.isfinite(image.variance).all()
    assert (image.variance > 0).all()
    assert has_any(image.mask[:20], MaskPlane.NO_DATA).all()
    assert has_any(image.mask[200:201, 200:201], MaskPlane.NO_DATA).all()
    assert (image.data[:20] == 0).all()
    filled = has_any(image.mask, MaskPlane.INTERPOLATED)
    assert filled.any()
    assert not (filled & ~has_any(image.mask, MaskPlane.COSMIC_RAY, MaskPlane.BAD)).any()
    assert np.isnan(exposure.raw.data).sum() == 0
    assert calibration.image.meta.saturation_adu == pytest.approx(
        EPOCH.saturation_adu - calibration.metrics.sky_level_adu
    )


def test_it_is_deterministic(made) -> None:
    exposure, calibration = made[1]
    again = calibrate(exposure.raw)
    np.testing.assert_array_equal(again.image.data, calibration.image.data)
    np.testing.assert_array_equal(again.image.variance, calibration.image.variance)
    np.testing.assert_array_equal(again.image.mask, calibration.image.mask)
    assert again.metrics == calibration.metrics


def test_a_noisy_amplifier_has_its_own_variance() -> None:
    result = calibrate(_exposure(21, noisy_quarter_factor=2.0).raw)
    blank = result.image.mask == 0
    for part in (np.s_[:120, :140], np.s_[330:, 370:]):
        pull = (result.image.data / np.sqrt(result.image.variance))[part][blank[part]]
        assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1, abs=0.07)


def test_a_delivered_variance_is_used_where_it_is_true() -> None:
    exposure = _exposure(5)
    right = calibrate(replace(exposure.raw, variance=exposure.clean_variance))
    assert right.metrics.is_variance_delivered
    wrong = calibrate(replace(exposure.raw, variance=3 * exposure.clean_variance))
    assert not wrong.metrics.is_variance_delivered
    assert wrong.metrics.variance_ratio == pytest.approx(1 / 3, abs=0.03)
    assert wrong.metrics.blank_std == pytest.approx(1, abs=0.05)
    assert any("variance" in reason for reason in wrong.reasons)


def test_a_wrong_gain_is_noticed() -> None:
    raw = _exposure(6).raw
    result = calibrate(replace(raw, meta=replace(raw.meta, gain_e_per_adu=0.8)))
    assert result.grade is not Grade.A
    assert "variance" in result.reasons[0]


def test_trailed_exposure_is_rejected_with_the_reason() -> None:
    result = calibrate(_exposure(7, ellipticity=0.55, fwhm_pix=4.0).raw)
    assert result.grade is Grade.REJECTED
    assert not result.passed
    assert "ellipticity" in result.reasons[0]


def test_sky_subtracted_frames_keep_their_unknown_sky() -> None:
    exposure = _exposure(8)
    meta = replace(exposure.raw.meta, sky_level_adu=None, zero_point_ab_mag=None)
    raw = replace(
        exposure.raw, data=exposure.raw.data - exposure.sky, meta=meta, is_sky_subtracted=True
    )
    result = calibrate(raw)
    assert result.image.meta.sky_level_adu is None
    assert result.metrics.variance_ratio is None
    assert result.metrics.limiting_mag_5sigma is None
    assert result.metrics.blank_std == pytest.approx(1, abs=0.05)
    assert result.passed


@pytest.mark.parametrize("shape", [(200, 201), (151, 300)])
def test_small_and_odd_frames(shape: tuple[int, int]) -> None:
    pair = make_pair(9, shape, science=EPOCH, stars_per_mpix=2500, galaxies_per_mpix=0)
    assert calibrate(pair.science.raw).image.shape == shape


def _all_nan(raw):
    return replace(raw, data=np.full(raw.shape, np.nan))


def _all_zero(raw):
    return replace(raw, data=np.zeros(raw.shape))


def _all_bad(raw):
    return replace(raw, bad=np.ones(raw.shape, bool))


def _no_wcs(raw):
    return replace(raw, wcs=WCS(naxis=2))


def _tiny(raw):
    return replace(raw, data=raw.data[:10, :10], bad=None)


def _pure_noise(raw):
    rng = np.random.default_rng(1)
    return replace(raw, data=rng.normal(600, 20, raw.shape))


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        (_all_nan, UnusableExposureError),
        (_all_zero, KnownFailure),
        (_all_bad, UnusableExposureError),
        (_no_wcs, WCSSanityError),
        (_tiny, UnusableExposureError),
        (_pure_noise, TooFewStarsError),
    ],
)
def test_hopeless_exposures_are_known_failures(spoil, failure) -> None:
    with pytest.raises(failure) as caught:
        calibrate(spoil(_exposure(10).raw))
    assert caught.value.numbers


def test_settings_are_plain_json() -> None:
    assert json.loads(json.dumps(asdict(DEFAULTS)))["saturation"]["grow_pix"] == 1
