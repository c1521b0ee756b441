"""The synthetic sky: determinism, truth against pixels, geometry, noise, defects, FITS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from scipy.stats import kstest

from astrid_assets.imaging.photometry import psf_photometry
from astrid_assets.imaging.synthetic import (
    Epoch,
    Kind,
    SkyField,
    make_field,
    make_pair,
    render,
    to_fits,
)
from astrid_assets.imaging.synthetic.profiles import moffat_gaussians, sersic_gaussians


def test_equal_seeds_give_equal_pixels_and_others_do_not():
    first, again, other = make_pair(1, (100, 90)), make_pair(1, (100, 90)), make_pair(2, (100, 90))
    np.testing.assert_array_equal(first.science.raw.data, again.science.raw.data)
    np.testing.assert_array_equal(first.reference.raw.data, again.reference.raw.data)
    assert (first.science.raw.data != other.science.raw.data).any()
    assert first.science.raw.meta.is_synthetic


@pytest.mark.parametrize("where", [(150.0, 2.2), (0.001, -30.0), (10.0, 89.97), (200.0, -90.0)])
def test_header_wcs_and_true_positions_agree_anywhere_on_the_sky(where):
    epoch = Epoch(ra_deg=where[0], dec_deg=where[1], rotation_deg=12.0, distortion_pix=5.0)
    pair = make_pair(3, (301, 330), science=epoch, n_transients=7)
    truth = pair.science.truth
    on = (truth.x > 0) & (truth.x < 329) & (truth.y > 0) & (truth.y < 300)
    x, y = pair.science.raw.wcs.all_world2pix(truth.ra[on], truth.dec[on], 0, tolerance=1e-7)
    assert np.abs(x - truth.x[on]).max() < 1e-4
    assert np.abs(y - truth.y[on]).max() < 1e-4
    assert len(pair.truth) == 7
    assert on.sum() > 40


def test_transients_are_in_the_science_exposure_only():
    pair = make_pair(4, (400, 400), n_transients=9, transient_snr=(30, 60))
    x, y = pair.truth.x, pair.truth.y
    flux = pair.truth.flux_adu
    science = pair.science.image().data - pair.science.clean
    empty = render(
        pair.field, replace(pair.science.epoch, mjd_mid_tai=58000.0), np.random.default_rng(0)
    )
    with_them = pair.science.clean - empty.clean
    found = psf_photometry(with_them, np.ones_like(with_them), pair.science.psf, x, y)
    assert found.flux == pytest.approx(flux, rel=0.02)
    earlier = pair.reference.truth
    assert (earlier.flux_adu[earlier.kind == Kind.TRANSIENT] == 0).all()
    assert abs(science.mean()) < 1


def test_noise_is_what_clean_variance_says():
    made = make_pair(
        5, (300, 300), science=Epoch(sky_gradient=0.5, noisy_quarter_factor=1.5)
    ).science
    good = ~made.saturated
    z = (made.raw.data - made.sky - made.clean)[good] / np.sqrt(made.clean_variance[good])
    assert kstest(z, "norm").pvalue > 1e-3
    faint = render(
        make_field(np.random.default_rng(0), n_stars=0, n_galaxies=0),
        Epoch(shape=(300, 300), sky_adu=2.0, read_noise_e=1.0),
        np.random.default_rng(1),
    )
    z = (faint.raw.data - 2.0) / np.sqrt(faint.clean_variance)
    assert z.mean() == pytest.approx(0, abs=4 / 300)
    assert z.std() == pytest.approx(1, abs=0.02)
    assert (z**3).mean() > 0.2


def test_galaxies_see_the_same_psf_as_stars():
    epoch = Epoch(shape=(101, 101), fwhm_pix=3.0, ellipticity=0.2, ellipticity_angle_deg=40.0)
    star = SkyField.points([150.0], [2.2], [18.0])
    galaxy = replace(
        SkyField.points([150.0], [2.2], [18.0], kind=Kind.GALAXY),
        effective_radius_arcsec=np.array([1e-4]),
        sersic_index=np.array([1.0]),
    )
    a, b = (render(f, epoch, np.random.default_rng(0)).clean for f in (star, galaxy))
    assert np.abs(a - b).max() < 3e-4 * a.max()
    flux, _ = moffat_gaussians(3.5)
    assert flux.sum() == pytest.approx(1)
    for index in (1.0, 4.0):
        assert sersic_gaussians(index)[0].sum() == pytest.approx(1)
        assert (sersic_gaussians(index)[0] > 0).all()


def test_galaxy_is_elongated_along_its_position_angle():
    galaxy = replace(
        SkyField.points([150.0], [2.2], [15.0], kind=Kind.GALAXY),
        effective_radius_arcsec=np.array([2.0]), sersic_index=np.array([1.0]),
        axis_ratio=np.array([0.3]), position_angle_deg=np.array([30.0]),
    )  # fmt: skip
    for rotation in (0.0, 50.0):
        epoch = Epoch(shape=(161, 161), rotation_deg=rotation)
        light = render(galaxy, epoch, np.random.default_rng(0)).clean
        y, x = np.mgrid[:161, :161] - 80.0
        moments = np.array(
            [
                [(light * x * x).sum(), (light * x * y).sum()],
                [(light * x * y).sum(), (light * y * y).sum()],
            ]
        )
        axis = np.linalg.eigh(moments)[1][:, 1]
        towards = np.array(epoch.wcs().all_pix2world(*(80 + 20 * axis), 0)) - (150.0, 2.2)
        angle = np.degrees(np.arctan2(towards[0] * np.cos(np.radians(2.2)), towards[1])) % 180
        assert angle == pytest.approx(30, abs=1.5)


def test_true_psf_model_follows_the_exact_one():
    epoch = Epoch(shape=(800, 900), fwhm_pix=3.0, fwhm_variation=0.15, ellipticity_variation=0.1)
    model = epoch.psf_model()
    for x, y in ((100, 100), (850, 60), (450, 400), (30, 780)):
        exact = epoch.psf_stamp(x, y, radius=model.size // 2)
        assert np.abs(model.at(x, y) - exact / exact.sum()).max() < 0.01 * exact.max()
    assert Epoch(fwhm_pix=3.0).psf_model().fwhm_pix == pytest.approx(3.0, rel=0.02)


def test_defects_are_there_and_known():
    epoch = Epoch(
        cosmic_rays_per_mpix=200, bad_columns=3, satellite_trails=1, saturation_adu=20000.0
    )
    pair = make_pair(6, (512, 512), science=epoch)
    made = pair.science
    assert made.bad.any(axis=0).sum() == 3
    assert 0.0005 < made.cosmic_rays.mean() < 0.02
    assert made.trails.mean() > 0.002
    assert made.saturated.any()
    good = ~(made.cosmic_rays | made.bad | made.saturated | made.trails)
    z = (made.raw.data - made.sky - made.clean)[good] / np.sqrt(made.clean_variance[good])
    assert np.abs(z).max() < 6
    assert made.raw.data[~made.bad].max() <= 20000.0
    assert not pair.reference.cosmic_rays.any()
    image = made.image()
    assert np.isfinite(image.data).all()


def test_sky_and_variables_change_with_time():
    field = make_field(np.random.default_rng(2), n_stars=100, variable_fraction=0.3)
    a, b = field.magnitudes_at(58000.0), field.magnitudes_at(58010.3)
    changed = np.abs(a - b) > 1e-6
    assert 15 < changed.sum() < 50
    new = SkyField.points(
        [1.0], [1.0], [20.0], kind=Kind.TRANSIENT, mjd_start_tai=100.0, decline_mag_per_day=0.1
    )
    assert new.magnitudes_at(99.0)[0] == np.inf
    assert new.magnitudes_at(110.0)[0] == pytest.approx(21.0)


def test_pure_noise_pair_has_no_source():
    pair = make_pair(8, (200, 210), stars_per_mpix=0, galaxies_per_mpix=0)
    assert len(pair.field) == 0
    assert pair.science.raw.data.std() == pytest.approx(pair.science.epoch.sky_sigma_adu, rel=0.02)
    ratio = pair.reference.epoch.sky_sigma_adu / pair.science.epoch.sky_sigma_adu
    assert ratio == pytest.approx(0.5, rel=1e-6)


def test_fits_file_is_what_a_small_survey_sends(tmp_path):
    epoch = Epoch(bad_columns=2, distortion_pix=4.0)
    made = make_pair(9, (80, 90), science=epoch).science
    path = to_fits(made, tmp_path / "a.fits")
    again = to_fits(made, tmp_path / "b.fits")
    assert path.read_bytes() == again.read_bytes()
    with fits.open(path, checksum=True) as hdus:
        header = hdus["SCI"].header
        np.testing.assert_array_equal(hdus["SCI"].data, made.raw.data)
        assert hdus["MASK"].data.any(axis=0).sum() == 2
        for key in ("DATE-OBS", "EXPTIME", "GAIN", "RDNOISE", "SATURATE", "FILTER", "TELESCOP"):
            assert key in header
            assert key in hdus[0].header
        assert header["SYNTHET"] is True
        assert header["CTYPE1"] == "RA---TAN-SIP"
        start = Time(header["DATE-OBS"], scale="utc").tai.mjd
        assert start + 30 / 86400 == pytest.approx(epoch.mjd_mid_tai, abs=1e-8)
