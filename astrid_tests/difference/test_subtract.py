"""The whole subtraction on the synthetic sky, where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from astrid_assets.difference.forced import forced_flux
from astrid_assets.difference.matching import TooFewMatchesError, match_stars, on_reference
from astrid_assets.difference.overlap import NoOverlapError
from astrid_assets.difference.subtract import subtract
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import MaskPlane

SHAPE = (500, 511)
TURNED = Epoch(shape=SHAPE, offset_pix=(4.3, -2.6), rotation_deg=0.3, wcs_error_pix=(0.4, -0.2))


@pytest.fixture(scope="module")
def pairs():
    return [make_pair(s, SHAPE, n_transients=24, science=TURNED) for s in range(8)]


@pytest.fixture(scope="module")
def subtractions(pairs):
    return [subtract(pair.science.image(), pair.reference.image()) for pair in pairs]


def test_alignment_is_recovered(subtractions):
    shifts = np.array([(s.metrics.shift_x_pix, s.metrics.shift_y_pix) for s in subtractions])
    turn = np.radians(0.3)
    expected = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ (
        0.4,
        -0.2,
    )
    assert np.allclose(np.abs(shifts.mean(axis=0)), np.abs(expected), atol=0.01)
    assert np.all(shifts.std(axis=0) < 0.02)
    ratios = [s.metrics.flux_ratio for s in subtractions]
    assert np.mean(ratios) == pytest.approx(1, abs=0.004)
    assert all(s.metrics.n_stars >= 10 for s in subtractions)


def test_blank_sky_is_standard_normal(subtractions):
    metrics = [s.metrics for s in subtractions]
    n = np.sqrt(len(metrics))
    std = np.array([m.score_std for m in metrics])
    median = np.array([m.score_median for m in metrics])
    assert abs(std.mean() - 1) < 0.01 + 4 * metrics[0].score_std_error / n
    assert abs(median.mean()) < 0.03 + 4 * metrics[0].score_median_error / n
    assert all(m.noise_scale_factor == 1 for m in metrics)
    assert all(s.quality.is_passed for s in subtractions)


def test_noise_does_not_depend_on_the_phase_of_the_resampling(pairs, subtractions):
    """Rotation makes every sub-pixel phase occur; the score's std is 1 in each."""
    values = {(i, j): [] for i in range(4) for j in range(4)}
    for pair, made in zip(pairs, subtractions, strict=True):
        science, reference = pair.science.image(), pair.reference.image()
        y, x = np.mgrid[20 : SHAPE[0] - 20 : 3, 20 : SHAPE[1] - 20 : 3]
        x, y = x.ravel(), y.ravel()
        quiet = np.abs(pair.science.clean[y, x]) < 0.5
        quiet &= (made.difference.image.mask[y, x] == 0) & (
            made.difference.score_corrected[y, x] != 0
        )
        x, y = x[quiet], y[quiet]
        place = on_reference(science, reference, x.astype(float), y.astype(float))
        place += np.array([made.metrics.shift_x_pix, made.metrics.shift_y_pix])
        phase = ((place % 1) * 4).astype(int)
        score = made.difference.score_corrected[y, x]
        for key in values:
            values[key].append(score[(phase == key).all(axis=1)])
    for key, parts in values.items():
        score = np.concatenate(parts)
        assert score.size > 2000, key
        error = 1 / np.sqrt(2 * score.size / 3)
        assert abs(score.std() - 1) < 0.01 + 4 * error, key


def test_flux_and_score_at_true_positions_follow_theory(pairs, subtractions):
    found, expected, pulls = [], [], []
    for pair, made in zip(pairs, subtractions, strict=True):
        forced = forced_flux(made.difference, pair.truth.x, pair.truth.y)
        good = ~forced.is_masked
        flux, error = pair.truth.flux_adu[good], forced.flux_error[good]
        found.append(forced.score[good] > 5)
        expected.append(norm.cdf(flux / error - 5))
        pulls.append((forced.flux[good] - flux) / error)
    found, expected, pulls = (np.concatenate(a) for a in (found, expected, pulls))
    assert abs(found.sum() - expected.sum()) < 4 * np.sqrt(np.sum(expected * (1 - expected)))
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


@pytest.mark.parametrize(
    "epoch",
    [
        Epoch(shape=(600, 600), fwhm_variation=0.06, ellipticity_variation=0.05),
        Epoch(shape=(400, 401), fwhm_pix=5.5),
        Epoch(shape=(400, 401), fwhm_pix=2.4),
        Epoch(shape=(400, 401), zero_point_ab_mag=29.25, noisy_quarter_factor=1.5),
    ],
    ids=["varying PSF", "bad seeing", "sharp", "flux ratio 2 and a noisy quarter"],
)
def test_hard_pairs_stay_in_sigmas(epoch):
    std = []
    ratio = 10 ** (0.4 * (30 - epoch.zero_point_ab_mag))
    for seed in range(3):
        reference = Epoch(shape=epoch.shape, fwhm_pix=3.2, gain_e_per_adu=6.0, read_noise_e=12.0)
        pair = make_pair(seed, epoch.shape, science=epoch, reference=reference)
        made = subtract(pair.science.image(), pair.reference.image())
        assert made.metrics.flux_ratio == pytest.approx(ratio, rel=0.02)
        assert (made.metrics.n_sub_images > 1) == (epoch.fwhm_variation > 0)
        std.append(made.metrics.score_std)
    assert np.mean(std) == pytest.approx(1, abs=0.01 + 4 * made.metrics.score_std_error / 3**0.5)


def test_noise_is_scaled_only_where_the_input_was_resampled():
    pair = make_pair(1, (400, 400))
    science = pair.science.image()
    low = science.with_(variance=science.variance / np.float32(1.3))
    plain = subtract(low, pair.reference.image())
    assert plain.metrics.noise_scale_factor == 1
    assert plain.metrics.score_std > 1.08
    resampled = low.with_(meta=replace(low.meta, is_resampled=True))
    scaled = subtract(resampled, pair.reference.image())
    factor = scaled.metrics.noise_scale_factor
    assert factor == pytest.approx(plain.metrics.score_std, rel=1e-3)
    assert scaled.metrics.score_std == pytest.approx(plain.metrics.score_std, rel=1e-3)
    for name, power in (("score_corrected", -1), ("psf_flux_error", 1), ("psf_flux", 0)):
        ours, theirs = (getattr(s.difference, name) for s in (scaled, plain))
        assert np.allclose(ours, theirs * factor**power, rtol=1e-4, atol=1e-6), name
    assert np.array_equal(scaled.difference.image.variance, plain.difference.image.variance)


def test_a_pixel_that_is_not_finite_stays_where_it_is():
    pair = make_pair(2, (300, 300))
    science = pair.science.image()
    data, mask = science.data.copy(), science.mask.copy()
    data[150, 150] = np.nan
    mask[150, 150] |= MaskPlane.BAD.flag
    made = subtract(science.with_(data=data, mask=mask), pair.reference.image())
    assert np.isfinite(made.difference.score_corrected).all()
    assert np.isfinite(made.difference.psf_flux).all()
    assert np.isfinite(made.difference.image.data).all()


def test_what_cannot_be_subtracted_says_so():
    pair = make_pair(3, (300, 300))
    science, reference = pair.science.image(), pair.reference.image()
    far = reference.wcs.deepcopy()
    far.wcs.crval = [210.0, -40.0]
    far.wcs.set()
    with pytest.raises(NoOverlapError, match="covers"):
        subtract(science, reference.with_(wcs=far))
    empty = make_pair(3, (300, 300), stars_per_mpix=0, galaxies_per_mpix=0)
    with pytest.raises(TooFewMatchesError) as failure:
        subtract(empty.science.image(), empty.reference.image())
    assert failure.value.numbers["n_required"] == 3
    with pytest.raises(ValueError, match="PSF"):
        subtract(science.with_(psf=None), reference)


def test_four_stars_are_enough_and_a_large_shift_is_found():
    epoch = Epoch(shape=(300, 300), wcs_error_pix=(5.2, -6.1))
    pair = make_pair(11, (300, 300), stars_per_mpix=250.0, galaxies_per_mpix=60.0, science=epoch)
    match = match_stars(pair.science.image(), pair.reference.image())
    assert match.n_stars >= 3
    assert match.shift[0].middle == pytest.approx(5.2, abs=0.1)
    assert match.shift[1].middle == pytest.approx(-6.1, abs=0.1)


def test_the_same_input_gives_the_same_bytes(pairs):
    science, reference = pairs[0].science.image(), pairs[0].reference.image()
    first, second = (subtract(science, reference).difference for _ in range(2))
    assert np.array_equal(first.score_corrected, second.score_corrected)
    assert np.array_equal(first.image.data, second.image.data)
