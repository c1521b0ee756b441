"""PSF fits on the synthetic sky and on real DECam frames."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from astropy.io import fits
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree

from astrid_assets.imaging.background import estimate_background
from astrid_assets.imaging.psf_fit import TooFewStarsError, fit_psf
from astrid_assets.imaging.synthetic import Epoch, Kind, make_pair
from astrid_resources.images import MaskPlane


def calibrated(data, *, unusable, gain):
    sky = estimate_background(data, unusable=unusable)
    clean = np.where(unusable, 0, data - sky.level).astype(np.float32)
    variance = (sky.rms**2 + np.maximum(clean, 0) / gain).astype(np.float32)
    return clean, variance, np.where(unusable, np.uint32(MaskPlane.SATURATED.flag), np.uint32(0))


def fitted(exposure):
    epoch = exposure.epoch
    unusable = exposure.saturated | exposure.bad
    data, variance, mask = calibrated(
        exposure.raw.data, unusable=unusable, gain=epoch.gain_e_per_adu
    )
    return fit_psf(data, variance, mask, saturation_adu=epoch.saturation_adu - epoch.sky_adu)


def losses(psf, truth):
    """Matched-filter signal lost by using `psf` where `truth` holds, at nine places."""
    out = []
    for fraction_y in (0.1, 0.5, 0.9):
        for fraction_x in (0.1, 0.5, 0.9):
            x, y = fraction_x * truth.shape[1], fraction_y * truth.shape[0]
            a, b = psf.at(x, y).astype(float), truth.at(x, y).astype(float)
            size = max(len(a), len(b))
            a, b = (np.pad(s, (size - len(s)) // 2) for s in (a, b))
            out.append(1 - (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    return np.array(out)


def share_of_stars(fit, truth):
    """How many of the stars used are stars in truth, within half a pixel."""
    stars = truth.kind == Kind.STAR
    tree = cKDTree(np.stack([truth.x[stars], truth.y[stars]], axis=1))
    distance, _ = tree.query(np.stack([fit.star_x, fit.star_y], axis=1))
    return np.mean(distance < 0.5)


@pytest.mark.parametrize(
    "shape_of_psf",
    [
        {"fwhm_pix": 2.0},
        {"fwhm_pix": 3.5},
        {"fwhm_pix": 2.6, "moffat_beta": 2.5, "ellipticity": 0.1, "ellipticity_angle_deg": 30.0},
    ],
)
def test_constant_psf_loses_nothing(shape_of_psf):
    exposure = make_pair(
        5, (800, 800), science=Epoch(cosmic_rays_per_mpix=80, **shape_of_psf), galaxies_per_mpix=300
    ).science
    fit = fitted(exposure)
    assert fit.order == 0
    assert losses(fit.psf, exposure.psf).max() < 2e-5
    assert fit.fwhm_pix == pytest.approx(exposure.psf.fwhm_pix, rel=0.01)
    assert fit.residual < 0.005
    assert share_of_stars(fit, exposure.truth) > 0.97
    assert fit.psf.centre.sum() == pytest.approx(1, abs=1e-5)
    assert fit.psf.size // 2 >= 5 * fit.fwhm_pix - 1


@pytest.mark.parametrize(("variation", "shear"), [(0.05, 0.0), (0.15, 0.1)])
def test_varying_psf_is_followed_where_the_data_show_it(variation, shear):
    epoch = Epoch(fwhm_pix=3.0, fwhm_variation=variation, ellipticity_variation=shear)
    exposure = make_pair(6, (1024, 1024), science=epoch).science
    fit = fitted(exposure)
    assert fit.order >= 1
    assert losses(fit.psf, exposure.psf).max() < 2e-4


def test_few_stars_among_many_galaxies_and_cosmic_rays():
    worst = []
    for seed in range(4):
        exposure = make_pair(
            seed, (512, 512), science=Epoch(fwhm_pix=3.0, cosmic_rays_per_mpix=200),
            stars_per_mpix=400, galaxies_per_mpix=2000,
        ).science  # fmt: skip
        fit = fitted(exposure)
        worst.append(losses(fit.psf, exposure.psf).max())
    assert max(worst) < 1e-3


def test_residual_says_how_good_the_model_is():
    exposure = make_pair(7, (256, 256), science=Epoch(fwhm_pix=4.5), stars_per_mpix=600).science
    fit = fitted(exposure)
    true_error = np.sqrt(2 * losses(fit.psf, exposure.psf).mean())
    assert fit.n_stars < 12
    assert true_error / 4 < fit.residual < max(5 * true_error, 0.03)


def test_without_stars_the_fit_is_refused():
    exposure = make_pair(
        1, (256, 256), stars_per_mpix=0, galaxies_per_mpix=0,
        science=Epoch(fwhm_pix=2.5, cosmic_rays_per_mpix=100),
    ).science  # fmt: skip
    with pytest.raises(TooFewStarsError) as failure:
        fitted(exposure)
    assert failure.value.numbers["n_required"] == 3
    assert failure.value.numbers["n_found"] < 3


def gaussian_fwhm(psf):
    """FWHM of the Gaussian that fits the core best: what the frames' own headers state."""
    stamp = psf.centre.astype(float)
    n = len(stamp) // 2
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    core = np.hypot(x, y) < 1.2 * psf.fwhm_pix

    def profile(_, peak, sigma):
        return (peak * np.exp(-(x**2 + y**2) / 2 / sigma**2))[core]

    (_, sigma), _ = curve_fit(profile, 0, stamp[core], p0=[stamp.max(), psf.fwhm_pix / 2.35])
    return 2.3548 * sigma


def test_real_decam_frames(astrid_data):
    folder = astrid_data / "decam_2018"
    with (folder / "frames.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 10
    for row in rows:
        data = fits.getdata(folder / row["file"]).astype(np.float32)
        saturation = float(row["saturation_adu"])
        unusable = ~np.isfinite(data) | (data > 0.9 * saturation)
        gain = float(row["gain_e_per_adu"])
        clean, variance, mask = calibrated(data, unusable=unusable, gain=gain)
        fit = fit_psf(clean, variance, mask, saturation_adu=saturation)
        assert 4 <= fit.n_stars <= 9, row["file"]
        assert gaussian_fwhm(fit.psf) == pytest.approx(float(row["fwhm_pix"]), rel=0.05)
        assert fit.fwhm_pix == pytest.approx(float(row["fwhm_pix"]), rel=0.11)
        assert fit.residual < 0.05
        assert fit.psf.centre.min() > -1e-3 * fit.psf.centre.max()
