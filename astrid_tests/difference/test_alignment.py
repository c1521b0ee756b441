"""Registration, flux scale and sky between the two images, where each varies over the field."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import Sip

from astrid_assets.difference.matching import known_match, match_stars
from astrid_assets.difference.subtract import SubtractionSettings, subtract
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair

SHAPE = (700, 720)
BEND_PIX = 0.3


def bent(image, amount=BEND_PIX):
    """The same image with a header whose distortion is wrong by `amount` pixels at the edges."""
    wcs = image.wcs.deepcopy()
    ny, nx = image.shape
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[1, 1] = amount / (nx / 2) ** 2, amount / (nx / 2) / (ny / 2)
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.set()
    return image.with_(wcs=wcs)


@pytest.fixture(scope="module")
def pair():
    made = make_pair(4, SHAPE, science=Epoch(shape=SHAPE, wcs_error_pix=(0.4, -0.2)))
    return made.science.image(), made.reference.image()


def test_a_wrong_distortion_is_recovered(pair):
    science, reference = pair
    match = match_stars(bent(science), reference)
    assert match.n_stars >= 40
    assert match.shift[0].order == 2
    ny, nx = SHAPE
    x, y = np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7))
    u, v = 2 * x / (nx - 1) - 1, 2 * y / (ny - 1) - 1
    away = np.stack([match.shift[0](x, y) - 0.4, match.shift[1](x, y) + 0.2])
    expected = -BEND_PIX * np.stack([u**2, u * v])
    assert np.abs(away - expected).max() < 0.05
    assert np.sqrt(np.mean((away - expected) ** 2)) < 0.02
    assert match.astrometric_noise_x_pix < 0.03


def test_a_wrong_distortion_leaves_no_residuals_at_stars(pair):
    science, reference = pair
    straight, corrected = subtract(science, reference), subtract(bent(science), reference)
    settings = SubtractionSettings()
    rigid = replace(settings, matching=replace(settings.matching, n_stars_by_order=(1,)))
    constant = subtract(bent(science), reference, settings=rigid)
    assert corrected.metrics.registration_order == 2
    assert corrected.metrics.distortion_pix > 0.25
    assert constant.metrics.registration_order == 0
    worst = [
        float(np.abs(made.difference.score_corrected).max())
        for made in (straight, corrected, constant)
    ]
    noise = [made.metrics.astrometric_noise_x_pix for made in (straight, corrected, constant)]
    assert noise[1] < 0.02 < 0.05 < noise[2]
    assert worst[1] < 1.5 * worst[0]


def test_few_stars_leave_the_shift_constant():
    sparse = make_pair(11, (300, 300), stars_per_mpix=250.0, galaxies_per_mpix=60.0)
    match = match_stars(bent(sparse.science.image()), sparse.reference.image())
    assert 3 <= match.n_stars < 10
    assert match.shift[0].order == 0
    assert match.log_flux_ratio.order == 0


def test_what_a_right_header_says_is_left_alone():
    for seed in range(4):
        made = make_pair(seed, (500, 500))
        match = match_stars(made.science.image(), made.reference.image())
        assert match.shift[0].order == 0
        assert match.log_flux_ratio.order == 0


def test_a_flux_scale_that_varies_is_followed(pair):
    science, reference = pair
    x = np.arange(SHAPE[1])
    factor = (1 + 0.06 * (2 * x / (SHAPE[1] - 1) - 1)).astype(np.float32)
    dimmed = science.with_(data=science.data * factor, variance=science.variance * factor**2)
    straight, made = subtract(science, reference), subtract(dimmed, reference)
    assert made.metrics.flux_ratio_order == 1
    assert made.metrics.flux_ratio_variation == pytest.approx(0.06, abs=0.01)
    assert made.metrics.flux_ratio == pytest.approx(straight.metrics.flux_ratio, rel=0.005)
    assert made.metrics.residual_power_ratio < 1.25 * straight.metrics.residual_power_ratio
    assert made.metrics.score_std == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("slope", [0.0, 6.0])
def test_sky_that_was_left_does_not_move_the_score(slope):
    medians, levels = [], []
    for seed in range(3):
        made = make_pair(seed, SHAPE)
        science, reference = made.science.image(), made.reference.image()
        x = np.arange(SHAPE[1])
        sky = (4.0 + slope * (x / SHAPE[1] - 0.5)).astype(np.float32)
        lifted = subtract(science.with_(data=science.data + sky), reference)
        plain = subtract(science, reference)
        medians.append(lifted.metrics.score_median)
        levels.append(lifted.metrics.sky_level - plain.metrics.sky_level)
        flux = lifted.difference.psf_flux - plain.difference.psf_flux
        assert abs(float(np.median(flux))) < 0.1 * float(np.median(plain.difference.psf_flux_error))
        assert (len(lifted.metrics.level_terms) > 1) == (slope > 0)
    assert abs(np.mean(medians)) < 0.02
    assert np.mean(levels) == pytest.approx(4.0, abs=0.25)


def test_the_alignment_is_known_again_from_the_metrics(pair):
    science, reference = pair
    made = subtract(bent(science.with_(data=science.data + np.float32(3))), reference)
    match = known_match(made.metrics, SHAPE)
    assert match.shift[0].coefficients == made.metrics.shift_x_terms
    assert match.flux_ratio == pytest.approx(made.metrics.flux_ratio)
    assert match.level is not None
    assert match.level.coefficients == made.metrics.level_terms
