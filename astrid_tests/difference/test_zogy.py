"""ZOGY against theory: Zackay, Ofek & Gal-Yam 2016."""

import numpy as np
import pytest
from scipy.stats import norm

from astrid_assets.difference.forced import interpolated
from astrid_assets.difference.kernels import Scheme, kernels, spectrum
from astrid_assets.difference.zogy import zogy
from astrid_tests.difference.fixtures import add_point, moffat, noise_pair


def direct(pair, f_r):
    """D / F_D, S_n and S_r straight from eqs. 12 to 17, in double precision, zero padded."""
    ny, nx = pair.science.shape
    shape = (ny + 64, nx + 64)

    def transform(stamp):
        half = stamp.shape[0] // 2
        grid = np.zeros(shape)
        grid[: stamp.shape[0], : stamp.shape[1]] = stamp
        return np.fft.fft2(np.roll(grid, (-half, -half), (0, 1)))

    p_n, p_r = transform(pair.psf_science), transform(pair.psf_reference)
    n, r = (np.fft.fft2(a.astype(float), shape) for a in (pair.science, pair.reference))
    s_n2, s_r2 = pair.scalars["sky_sigma_science"] ** 2, pair.scalars["sky_sigma_reference"] ** 2
    den = s_n2 * f_r**2 * abs(p_r) ** 2 + s_r2 * abs(p_n) ** 2
    f_d = f_r / np.sqrt(s_n2 * f_r**2 + s_r2)
    d = (f_r * p_r * n - p_n * r) / np.sqrt(den)
    p_d = f_r * p_n * p_r / (f_d * np.sqrt(den))
    s = f_d * d * np.conj(p_d)
    s_n = f_r**2 * np.conj(p_n) * abs(p_r) ** 2 * n / den
    s_r = f_r * np.conj(p_r) * abs(p_n) ** 2 * r / den
    f_s = np.mean(f_r**2 * abs(p_n * p_r) ** 2 / den)
    back = [np.fft.ifft2(a).real[:ny, :nx] for a in (d / f_d, s, s_n, s_r)]
    return *back, f_s


@pytest.mark.parametrize("shape", [(127, 127), (128, 128), (129, 130), (130, 127)])
@pytest.mark.parametrize("f_r", [1.0, 2.5, 0.4])
def test_the_maps_are_those_of_the_paper(shape, f_r):
    pair = noise_pair(1, shape, flux_ratio=f_r)
    add_point(pair.science, 3.2, 60.3, 64.8, 5000)
    got = zogy(*pair.arrays(), **pair.scalars)
    d, s, s_n, s_r, f_s = direct(pair, f_r)
    scale = np.abs(s).max()
    assert np.allclose(got.score, s, atol=3e-6 * scale)
    assert np.allclose(got.score, s_n - s_r, atol=3e-6 * scale)
    scheme = Scheme.zogy(pair.psf_science, pair.psf_reference, f_r)
    sigmas = {name: value for name, value in pair.scalars.items() if name != "flux_ratio"}
    noise = kernels(scheme, **sigmas).reference_noise
    assert np.allclose(got.reference_significance * noise, s_r, atol=3e-6 * scale)
    bare = zogy(*pair.arrays(), **pair.scalars, keep_score=False)
    assert bare.score is None
    assert np.array_equal(bare.score_corrected, got.score_corrected)
    assert np.allclose(got.difference, d, atol=3e-5 * np.abs(d).max())
    assert got.f_s == pytest.approx(f_s, rel=1e-3)
    assert got.psf.sum() == pytest.approx(1, abs=1e-5)


def test_blank_sky_noise_is_one_sigma_and_flux_error_is_that_of_the_paper():
    stds, medians, tails = [], [], []
    for seed in range(6):
        pair = noise_pair(seed, (301, 300), flux_ratio=1.4)
        got = zogy(*pair.arrays(), **pair.scalars)
        inner = got.score_corrected[25:-25, 25:-25]
        stds.append(inner.std())
        medians.append(np.median(inner))
        tails.append((abs(inner) > 4).mean())
    error = np.std(stds, ddof=1) / np.sqrt(len(stds))
    assert abs(np.mean(stds) - 1) < 4 * max(error, 0.003)
    assert abs(np.mean(medians)) < 0.03
    assert np.mean(tails) < 4 * norm.sf(4) * 2
    inner = got.psf_flux_error[40:-40, 40:-40]
    assert np.allclose(inner, 1 / np.sqrt(got.f_s), rtol=2e-3)  # eq. 43, V_S = F_S in blank sky
    assert got.psf_flux[40:-40, 40:-40].std() == pytest.approx(inner.mean(), rel=0.03)
    assert got.difference[40:-40, 40:-40].std() == pytest.approx(1 / got.f_d, rel=0.02)


def test_edges_stay_in_sigmas():
    edge = []
    for seed in range(12):
        pair = noise_pair(seed, (120, 121))
        score = zogy(*pair.arrays(), **pair.scalars).score_corrected
        edge += [score[0], score[-1], score[:, 0], score[:, -1]]
    values = np.concatenate(edge)
    values = values[values != 0]
    assert values.size > 1000
    assert values.std() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("f_r", [1.0, 0.5, 3.0])
def test_exchange_turns_the_sign(f_r):
    pair = noise_pair(3, (131, 128), flux_ratio=f_r)
    add_point(pair.science, 3.2, 60.4, 70.1, 4000)
    add_point(pair.reference, 2.7, 40.7, 50.2, 3000)
    extra = {"astrometric_noise_x_pix": 0.05, "astrometric_noise_y_pix": 0.02, "psf_error": 0.02}
    forward = zogy(*pair.arrays(), **pair.scalars, **extra)
    backward = zogy(
        pair.reference,
        pair.science,
        pair.reference_variance,
        pair.science_variance,
        pair.psf_reference,
        pair.psf_science,
        sky_sigma_science=pair.scalars["sky_sigma_reference"],
        sky_sigma_reference=pair.scalars["sky_sigma_science"],
        flux_ratio=1 / f_r,
        **extra,
    )
    inner = np.s_[15:-15, 15:-15]  # at the edge each PSF loses its own share of a source
    assert np.allclose(forward.psf, backward.psf, atol=1e-6)
    scores = forward.score_corrected[inner], backward.score_corrected[inner]
    assert np.allclose(scores[0], -scores[1], atol=2e-3)
    assert np.allclose(forward.psf_flux[inner] * f_r, -backward.psf_flux[inner], atol=0.05)


@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.5, 0.0), (0.25, 0.5), (0.37, 0.81)])
def test_flux_and_position_of_a_point_source_at_any_phase(phase):
    pair = noise_pair(0, (128, 129), flux_ratio=2.0)
    for image in (pair.science, pair.reference):
        image[:] = 0
    x, y = 64 + phase[0], 61 + phase[1]
    add_point(pair.science, 3.2, x, y, 1000.0)
    add_point(pair.science, 3.2, 30.2, 90.7, 7000.0)
    add_point(pair.reference, 2.7, 30.2, 90.7, 14000.0)
    got = zogy(*pair.arrays(), **pair.scalars)
    assert interpolated(got.psf_flux, x, y) == pytest.approx(1000, rel=2e-3)
    assert abs(interpolated(got.psf_flux, 30.2, 90.7)) < 0.01 * 7000
    peak = np.unravel_index(got.score.argmax(), got.score.shape)
    assert abs(peak[0] - y) <= 0.51
    assert abs(peak[1] - x) <= 0.51


def test_fraction_above_five_sigma_at_true_positions_follows_theory():
    """Score at the true sub-pixel position exceeds 5 in a fraction Phi(s - 5)."""
    rng = np.random.default_rng(5)
    found, expected, pulls = [], [], []
    for seed in range(10):
        pair = noise_pair(100 + seed, (256, 255), flux_ratio=1.3)
        grid = np.arange(30, 226, 28)
        truth = []
        for j in grid:
            for i in grid:
                x, y = i + rng.uniform(-0.5, 0.5), j + rng.uniform(-0.5, 0.5)
                truth.append((x, y, rng.uniform(230, 440)))
                add_point(pair.science, 3.2, *truth[-1])
        x, y, flux = np.array(truth).T
        got = zogy(*pair.arrays(), **pair.scalars)
        error = interpolated(got.psf_flux_error, x, y)
        found.append(interpolated(got.score_corrected, x, y) > 5)
        expected.append(norm.cdf(flux / error - 5))
        pulls.append((interpolated(got.psf_flux, x, y) - flux) / error)
    found, expected = np.concatenate(found), np.concatenate(expected)
    spread = np.sqrt(np.sum(expected * (1 - expected)))
    assert 0.2 < expected.mean() < 0.8
    assert abs(found.sum() - expected.sum()) < 4 * spread
    pulls = np.concatenate(pulls)
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


def test_source_noise_makes_bright_static_stars_quiet():
    """With their photon noise in V, stars that did not change have a score of std 1."""
    gain, values = 0.5, []
    for seed in range(20):
        pair = noise_pair(seed, (160, 160), flux_ratio=1.0)
        rng = np.random.default_rng(1000 + seed)
        grid = np.arange(30, 140, 25)
        places = [(i + 0.3, j - 0.2) for j in grid for i in grid]
        for image, variance, fwhm in (
            (pair.science, pair.science_variance, 3.2),
            (pair.reference, pair.reference_variance, 2.7),
        ):
            model = np.zeros(image.shape)
            for x, y in places:
                add_point(model, fwhm, x, y, 2e4)
            image += model + rng.normal(0, np.sqrt(model / gain))
            variance += model / gain
        got = zogy(*pair.arrays(), **pair.scalars)
        values.append([interpolated(got.score_corrected, x, y) for x, y in places])
    values = np.ravel(values)
    assert abs(values.std() - 1) < 4 / np.sqrt(2 * values.size)
    assert abs(values.mean()) < 4 / np.sqrt(values.size)


def test_astrometric_noise_covers_a_displaced_star():
    pair = noise_pair(2, (128, 128))
    add_point(pair.science, 3.2, 64.0, 64.0, 3e5)
    add_point(pair.reference, 2.7, 64.1, 64.0, 3e5)
    loud = zogy(*pair.arrays(), **pair.scalars)
    quiet = zogy(*pair.arrays(), **pair.scalars, astrometric_noise_x_pix=0.1)
    assert np.abs(loud.score_corrected).max() > 20
    assert np.abs(quiet.score_corrected).max() < 5
    away = np.s_[10:40, 10:40]
    assert np.allclose(loud.score_corrected[away], quiet.score_corrected[away], atol=0.1)


def test_flux_over_its_error_is_the_score_on_a_star_too():
    """The error of a flux forced on a star holds the noise of registration and of the PSF."""
    pair = noise_pair(2, (128, 128))
    add_point(pair.science, 3.2, 64.0, 64.0, 3e5)
    add_point(pair.reference, 2.7, 64.0, 64.0, 3e5)
    extra = {"astrometric_noise_x_pix": 0.05, "astrometric_noise_y_pix": 0.02, "psf_error": 0.02}
    plain, got = (zogy(*pair.arrays(), **pair.scalars, **more) for more in ({}, extra))
    measured = got.score_corrected != 0
    ratio = got.psf_flux / got.psf_flux_error
    assert np.allclose(ratio[measured], got.score_corrected[measured], atol=1e-3)
    assert got.psf_flux_error[64, 64] > 3 * plain.psf_flux_error[64, 64]
    assert got.psf_flux_error[64, 66] > 3 * plain.psf_flux_error[64, 66]
    away = np.s_[10:40, 10:40]
    assert np.allclose(got.psf_flux_error[away], plain.psf_flux_error[away], rtol=5e-3)


@pytest.mark.parametrize("fwhm", [(4.0, 4.0), (5.0, 2.7), (2.7, 5.0)])
@pytest.mark.parametrize("which", ["science", "reference"])
def test_a_saturated_core_in_one_image_leaves_the_star_around_it_quiet(which, fwhm):
    """Its pixels take the other image's star, as far as that can be known from another PSF."""
    pair = noise_pair(3, (128, 128), flux_ratio=2.0)
    add_point(pair.science, fwhm[0], 64.2, 63.9, 3e5)
    add_point(pair.reference, fwhm[1], 64.2, 63.9, 6e5)
    y, x = np.mgrid[:128, :128]
    distance = np.hypot(x - 64.2, y - 63.9)
    core, ring = distance < 3.5, (distance > 5) & (distance < 14)
    arrays = list(pair.arrays())
    place = int(which == "reference")
    arrays[place] = np.where(core, np.float32(9e3), arrays[place])
    lost = {f"unusable_{which}": core} | ({"saturated_reference": core} if place else {})
    psfs = (moffat(fwhm[0]), moffat(fwhm[1]))
    got = zogy(*arrays[:4], *psfs, **pair.scalars, psf_error=0.005, **lost)
    assert np.abs(got.score_corrected[ring]).max() < 5


@pytest.mark.parametrize("fwhm", [(4.0, 4.0), (4.0, 3.6), (5.0, 2.7)])
def test_a_core_saturated_in_both_images_leaves_the_star_around_it_quiet(fwhm):
    pair = noise_pair(3, (128, 128), flux_ratio=2.0)
    add_point(pair.science, fwhm[0], 64.2, 63.9, 3e5)
    add_point(pair.reference, fwhm[1], 64.2, 63.9, 6e5)
    full = pair.science > 4000, pair.reference > 8000
    images = [np.minimum(a, top) for a, top in zip(pair.arrays()[:2], (4000, 8000), strict=True)]
    lost = {"unusable_science": full[0], "unusable_reference": full[1]}
    psfs = (moffat(fwhm[0]), moffat(fwhm[1]))
    got = zogy(
        *images, *pair.arrays()[2:4], *psfs, **pair.scalars, psf_error=0.005, **lost,
        saturated_reference=full[1],
    )  # fmt: skip
    assert full[0].sum() > 15
    assert np.abs(got.score_corrected).max() < 5


def test_the_error_of_a_saturated_core_stays_near_it():
    """A core squared is beyond what a transform in single precision leaves beside the sky."""
    pair = noise_pair(3, (256, 256), flux_ratio=2.0)
    quiet = zogy(*pair.arrays()[:4], moffat(5.0), moffat(2.7), **pair.scalars)
    add_point(pair.science, 5.0, 64.2, 63.9, 3e8)
    add_point(pair.reference, 2.7, 64.2, 63.9, 6e8)
    full = pair.science > 1e6, pair.reference > 2e6
    images = [np.minimum(a, top) for a, top in zip(pair.arrays()[:2], (1e6, 2e6), strict=True)]
    far = np.s_[160:, 160:]
    got = zogy(
        *(image.astype(np.float32) for image in images), *pair.arrays()[2:4],
        moffat(5.0), moffat(2.7), **pair.scalars,
        unusable_science=full[0], unusable_reference=full[1], saturated_reference=full[1],
    )  # fmt: skip
    assert got.psf_flux_error[far] == pytest.approx(quiet.psf_flux_error[far], rel=0.02)
    assert got.psf_flux_error[64, 72] > 100 * quiet.psf_flux_error[64, 72]


@pytest.mark.parametrize("width", [1, 2])
def test_a_bad_column_of_the_reference_keeps_a_transient_on_its_host(width):
    pair = noise_pair(3, (128, 128), flux_ratio=2.0)
    add_point(pair.science, 8.0, 64.2, 63.9, 3e4)
    add_point(pair.reference, 8.0, 64.2, 63.9, 6e4)
    bad = np.zeros((128, 128), bool)
    bad[:, 65 : 65 + width] = True
    whole = zogy(*pair.arrays(), **pair.scalars)
    without = zogy(*pair.arrays(), **pair.scalars, unusable_reference=bad)
    add_point(pair.science, 3.2, 65.0, 64.0, 1500.0)
    got = zogy(*pair.arrays(), **pair.scalars, unusable_reference=bad)
    gained = got.psf_flux[64, 65] - without.psf_flux[64, 65]
    assert gained == pytest.approx(1500, rel=0.01)
    assert got.psf_flux_error[64, 65] < 1.2 * whole.psf_flux_error[64, 65]


def test_masked_and_nan_pixels_never_spread_and_cost_only_their_share_of_flux():
    pair = noise_pair(4, (140, 141))
    clean = zogy(*pair.arrays(), **pair.scalars)
    bad = np.zeros(pair.science.shape, bool)
    bad[50:53, 60:63] = True
    pair.science[bad] = np.nan
    bad_reference = np.zeros_like(bad)
    bad_reference[100, 30:40] = True
    pair.reference[bad_reference] = 1e9
    got = zogy(
        *pair.arrays(), **pair.scalars, unusable_science=bad, unusable_reference=bad_reference
    )
    for name in ("score_corrected", "psf_flux", "psf_flux_error", "difference", "score_variance"):
        assert np.isfinite(getattr(got, name)).all(), name
    far = np.ones_like(bad)
    far[35:68, 45:78] = False
    far[85:116, 15:55] = False
    assert np.allclose(got.score_corrected[far], clean.score_corrected[far], atol=5e-3)
    assert np.abs(got.score_corrected).max() < 6
    assert got.score_corrected[51, 61] == 0
    assert got.footprint_fraction[51, 61] < 0.5
    assert got.psf_flux_error[51, 61] > 1.3 * clean.psf_flux_error[51, 61]


def test_flux_beside_a_masked_pixel_is_unbiased():
    pair = noise_pair(0, (128, 128))
    for image in (pair.science, pair.reference):
        image[:] = 0
    add_point(pair.science, 3.2, 64.0, 64.0, 1000.0)
    bad = np.zeros(pair.science.shape, bool)
    bad[64, 65] = bad[63, 64] = True
    pair.science[bad] = 5e4
    got = zogy(*pair.arrays(), **pair.scalars, unusable_science=bad)
    assert 0.6 < got.footprint_fraction[64, 64] < 0.95
    assert got.psf_flux[64, 64] == pytest.approx(1000, rel=0.02)


def test_all_masked_gives_zero_score():
    pair = noise_pair(0, (64, 64))
    everything = np.ones((64, 64), bool)
    got = zogy(*pair.arrays(), **pair.scalars, unusable_science=everything)
    assert (got.score_corrected == 0).all()
    assert np.isfinite(got.psf_flux_error).all()
    assert (got.psf_flux_error > 3 / np.sqrt(got.f_s)).all()


def test_inputs_are_not_changed_and_bad_ones_are_refused():
    pair = noise_pair(0, (64, 65))
    kept = [array.copy() for array in pair.arrays()]
    bad = np.zeros((64, 65), bool)
    bad[3, 4] = True
    zogy(*pair.arrays(), **pair.scalars, unusable_science=bad, unusable_reference=bad)
    assert all(np.array_equal(a, b) for a, b in zip(kept, pair.arrays(), strict=True))
    with pytest.raises(ValueError, match="shape"):
        zogy(pair.science, pair.reference[1:], *pair.arrays()[2:], **pair.scalars)
    with pytest.raises(ValueError, match="> 0"):
        zogy(*pair.arrays(), **{**pair.scalars, "flux_ratio": 0.0})


@pytest.mark.parametrize("shape", [(40, 45), (41, 44)])
def test_spectrum_is_the_fft_of_the_centred_stamp(shape):
    stamp = moffat(3.0, size=9, dx=0.4)
    grid = np.zeros(shape)
    grid[:9, :9] = stamp
    expected = np.fft.rfft2(np.roll(grid, (-4, -4), (0, 1)))
    assert np.allclose(spectrum(stamp, shape=shape), expected, atol=1e-6)


def test_kernels_know_their_noise():
    scheme = Scheme.zogy(moffat(3.0), moffat(4.0), 2.0)
    kernel = kernels(scheme, sky_sigma_science=5.0, sky_sigma_reference=3.0)
    assert np.hypot(kernel.science_noise, kernel.reference_noise) ** 2 == pytest.approx(
        kernel.f_s, rel=1e-6
    )
    assert kernel.psf_score[15, 15] == pytest.approx(1)
    assert kernel.footprint.sum() == pytest.approx(1, abs=1e-5)


def test_a_later_pair_takes_the_memory_of_an_earlier_one():
    earlier, later = noise_pair(1, (150, 170)), noise_pair(2, (150, 170))
    alone = zogy(*later.arrays(), **later.scalars, keep_score=False)
    first = zogy(*earlier.arrays(), **earlier.scalars, keep_score=False)
    second = zogy(*later.arrays(), **later.scalars, keep_score=False, into=first)
    for name in ("difference", "score_corrected", "psf_flux_error"):
        assert np.shares_memory(getattr(second, name), getattr(first, name))
        assert np.array_equal(getattr(second, name), getattr(alone, name))
    wider = zogy(*noise_pair(1, (128, 128)).arrays(), **earlier.scalars, into=second)
    assert wider.difference.shape == (128, 128)
