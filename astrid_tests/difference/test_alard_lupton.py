"""The second algorithm: a fitted kernel, white noise, and the same theory as the first."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import fftconvolve
from scipy.stats import norm

from astrid_assets.difference.alard_lupton.fit import (
    KernelSettings,
    TooFewKernelStarsError,
    fit_kernel,
)
from astrid_assets.difference.alard_lupton.solution import KernelSolution, basis
from astrid_assets.difference.forced import forced_flux
from astrid_assets.difference.kernels import Scheme, kernels
from astrid_assets.difference.matching import known_match
from astrid_assets.difference.subtract import SubtractionSettings, subtract, subtract_aligned
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_tests.difference.fixtures import moffat

SHAPE = (500, 511)
SECOND = SubtractionSettings(algorithm="alard_lupton")
BOTH = SubtractionSettings(compare_with="alard_lupton")
SEEING = {
    "science worse": Epoch(shape=SHAPE, fwhm_pix=5.0),
    "science better": Epoch(shape=SHAPE, fwhm_pix=2.5),
    "alike, turned": Epoch(shape=SHAPE, fwhm_pix=3.4, rotation_deg=0.3, offset_pix=(4.3, -2.6)),
}


def reference_epoch(shape=SHAPE):
    return Epoch(
        shape=shape, fwhm_pix=3.2, gain_e_per_adu=6.0, read_noise_e=12.0, mjd_mid_tai=57000.0
    )


@pytest.fixture(scope="module", params=sorted(SEEING), ids=str)
def subtracted(request):
    epoch = SEEING[request.param]
    pairs = [
        make_pair(seed, SHAPE, n_transients=24, science=epoch, reference=reference_epoch())
        for seed in range(5)
    ]
    made = [subtract(p.science.image(), p.reference.image(), settings=SECOND) for p in pairs]
    return request.param, pairs, made


def gaussian(fwhm, size=41):
    y, x = np.indices((size, size)) - size // 2
    stamp = np.exp(-(x**2 + y**2) / (2 * (fwhm / 2.3548) ** 2))
    return stamp / stamp.sum()


def test_every_shape_but_the_first_keeps_the_flux():
    unit, shapes = basis((0.7, 1.4, 2.8), (4, 2, 2), half_pix=9)
    assert unit.sum() == 1
    assert shapes.shape == (15 + 6 + 6, 19, 19)
    assert np.abs(shapes.sum(axis=(1, 2))).max() < 1e-12
    assert np.linalg.matrix_rank(shapes.reshape(len(shapes), -1)) == len(shapes)


@pytest.mark.parametrize("f_r", [1.0, 0.4, 2.5])
def test_with_the_perfect_kernel_it_is_zogy(f_r):
    """K = P_n / (F_r P_r): both filters are the same function of the two images."""
    sharp, wide = gaussian(2.6), gaussian(4.0)
    between = gaussian((4.0**2 - 2.6**2) ** 0.5)
    noise = {"sky_sigma_science": 7.0, "sky_sigma_reference": 4.0}
    empty = KernelSolution("reference", (1.4,), (0,), 3, 1.0, (0.0,), 3, 0.0)
    for psf, psf_reference, scheme in (
        (wide, sharp, empty.scheme(wide, between / f_r)),
        (sharp, wide, replace(empty, convolved="science").scheme(sharp, between * f_r)),
    ):
        zogy = kernels(Scheme.zogy(psf, psf_reference, f_r), **noise)
        ours = kernels(scheme, **noise)
        assert ours.f_s == pytest.approx(zogy.f_s, rel=1e-3)
        assert ours.f_d == pytest.approx(zogy.f_d, rel=1e-6)
        assert np.allclose(ours.psf, zogy.psf, atol=1e-3 * zogy.psf.max())
        assert ours.reference_noise == pytest.approx(zogy.reference_noise, rel=1e-3)


def test_blank_sky_is_one_sigma_and_the_sharper_image_was_convolved(subtracted):
    name, _, made = subtracted
    metrics = [m.metrics for m in made]
    n = np.sqrt(len(metrics))
    std = np.array([m.score_std for m in metrics])
    median = np.array([m.score_median for m in metrics])
    assert abs(std.mean() - 1) < 0.02 + 2 * metrics[0].score_std_error / n
    assert abs(median.mean()) < 0.02 + 2 * metrics[0].score_median_error / n
    assert all(m.difference.algorithm == "alard_lupton" for m in made)
    sharper = "science" if name == "science better" else "reference"
    assert {m.kernel.convolved for m in metrics} == {sharper}
    assert all(m.kernel.scale == pytest.approx(1, abs=0.03) for m in metrics)
    assert all(m.residual_power_ratio < 1.5 for m in metrics)
    assert all(m.quality.is_passed for m in made)


def test_the_difference_has_white_noise(subtracted):
    _, pairs, made = subtracted
    for axis in (0, 1):
        for lag in (1, 2, 3):
            products, power = [], []
            for pair, one in zip(pairs, made, strict=True):
                quiet = (np.abs(pair.science.clean) < 0.5) & (one.difference.image.mask == 0)
                d = one.difference.image.data
                shifted, both = np.roll(d, lag, axis), quiet & np.roll(quiet, lag, axis)
                products.append((d * shifted)[both])
                power.append((d**2)[both])
            assert abs(np.concatenate(products).mean() / np.concatenate(power).mean()) < 0.02


def test_flux_and_score_at_true_positions_follow_theory(subtracted):
    _, pairs, made = subtracted
    found, expected, pulls = [], [], []
    for pair, one in zip(pairs, made, strict=True):
        forced = forced_flux(one.difference, pair.truth.x, pair.truth.y)
        x, y = (np.rint(a).astype(int) for a in (pair.truth.x, pair.truth.y))
        quiet = _static(pair, x, y)
        good = ~forced.is_masked & quiet
        flux, error = pair.truth.flux_adu[good], forced.flux_error[good]
        found.append(forced.score[good] > 5)
        expected.append(norm.cdf(flux / error - 5))
        pulls.append((forced.flux[good] - flux) / error)
    found, expected, pulls = (np.concatenate(a) for a in (found, expected, pulls))
    assert pulls.size > 60
    assert abs(found.sum() - expected.sum()) < 4 * np.sqrt(np.sum(expected * (1 - expected)))
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


def test_the_kernel_is_recovered_where_it_varies():
    shape = (900, 900)
    epoch = Epoch(shape=shape, fwhm_pix=4.2, fwhm_variation=0.08)
    pair = make_pair(2, shape, science=epoch, reference=reference_epoch(shape))
    science, reference = pair.science.image(), pair.reference.image()
    made = subtract(science, reference, settings=SECOND)
    kernel = made.metrics.kernel
    assert kernel.order >= 1
    assert made.metrics.n_sub_images >= 4
    for x, y in ((150.0, 150.0), (750.0, 750.0)):
        matched = fftconvolve(
            np.pad(reference.psf.at(x, y), 12), kernel.at(x, y, shape), mode="same"
        )
        psf = science.psf.at(x, y)
        cut = (len(matched) - len(psf)) // 2
        inner = matched[cut : cut + len(psf), cut : cut + len(psf)]
        assert np.abs(inner / kernel.scale - psf).max() < 0.03 * psf.max()
    rigid = replace(SECOND, kernel=KernelSettings(n_stars_by_order=(3,)))
    constant = subtract(science, reference, settings=rigid)
    assert constant.metrics.kernel.order == 0
    assert kernel.misfit < constant.metrics.kernel.misfit


def test_both_algorithms_see_the_same_sky():
    pair = make_pair(1, SHAPE, n_transients=20, science=SEEING["science worse"])
    made = subtract(pair.science.image(), pair.reference.image(), settings=BOTH)
    alone = subtract(pair.science.image(), pair.reference.image(), settings=SECOND)
    assert made.difference.algorithm == "zogy"
    assert made.metrics.compared_with == "alard_lupton"
    assert made.metrics.kernel is None
    assert np.array_equal(made.other_score, alone.difference.score_corrected)
    assert 0 < made.metrics.score_disagreement < 0.03
    assert alone.metrics.compared_with is None
    assert alone.other_score is None
    x, y = (np.rint(a).astype(int) for a in (pair.truth.x, pair.truth.y))
    apart = made.difference.score_corrected[y, x] - made.other_score[y, x]
    assert np.median(np.abs(apart)) < 0.1


def test_a_wrong_psf_model_shows_as_disagreement():
    """ZOGY believes the PSFs, the fitted kernel believes the stars."""
    pair = make_pair(3, SHAPE, science=SEEING["science worse"])
    science, reference = pair.science.image(), pair.reference.image()
    right = subtract(science, reference, settings=BOTH)
    wrong = science.with_(psf=type(science.psf).constant(moffat(4.4, size=61), shape=SHAPE))
    made = subtract(wrong, reference, settings=BOTH)
    assert made.metrics.score_disagreement > 3 * right.metrics.score_disagreement


def test_the_recorded_kernel_subtracts_again_without_stars():
    pair = make_pair(5, SHAPE, science=SEEING["science better"])
    science = pair.science.image()
    first = subtract(science, pair.reference.image(), settings=SECOND)
    again = subtract_aligned(
        science,
        first.reference_on_science,
        known_match(first.metrics, SHAPE),
        settings=SECOND,
    )
    assert np.array_equal(first.difference.score_corrected, again.difference.score_corrected)
    assert again.metrics.kernel == first.metrics.kernel


def test_too_few_stars_for_a_kernel_say_so():
    pair = make_pair(0, (200, 200))
    science, reference = pair.science.image(), pair.reference.image()
    ratio = {"flux_ratio": 1.0, "flux_ratio_error": 0.01}
    with pytest.raises(TooFewKernelStarsError) as failure:
        fit_kernel(science, reference, np.array([3.0, 80.0]), np.array([90.0, 80.0]), **ratio)
    assert failure.value.numbers["n_found"] < failure.value.numbers["n_required"] == 3
    with pytest.raises(ValueError, match="PSF"):
        fit_kernel(science.with_(psf=None), reference, np.zeros(3), np.zeros(3), **ratio)


def _static(pair, x, y):
    """Where no bright star's photons add to a transient's noise."""
    sigma = pair.reference.epoch.sky_sigma_adu
    return pair.reference.clean[y, x] < 3 * sigma
