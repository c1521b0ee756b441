"""Forced fluxes, apertures, growth curves and injected sources: bias, errors and edges."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.imaging.injection import inject_sources
from astrid_assets.imaging.photometry import (
    aperture_photometry,
    growth_curve,
    interpolate_at,
    psf_photometry,
)
from astrid_assets.imaging.psf_stamp import place_psf
from astrid_assets.imaging.synthetic import Epoch, make_pair
from astrid_resources.images import MaskPlane, has_any


def blank(shape=(512, 520), seed=0, **epoch):
    made = make_pair(
        seed, shape, science=Epoch(**epoch), stars_per_mpix=0, galaxies_per_mpix=0
    ).science
    return made.image()


def places(shape, rng, step=34.0):
    x, y = (a.ravel() for a in np.meshgrid(*(np.arange(26.0, n - 26, step) for n in shape[::-1])))
    return x + rng.uniform(-0.5, 0.5, x.size), y + rng.uniform(-0.5, 0.5, y.size)


def test_injected_flux_is_recovered_without_bias_and_with_its_error():
    pulls, ratios = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image = blank(seed=seed, fwhm_pix=3.0)
        x, y = places(image.shape, rng)
        flux = rng.uniform(300, 20000, x.size)
        out = inject_sources(image, x=x, y=y, flux_adu=flux, rng=rng)
        found = psf_photometry(out.data, out.variance, out.psf, x, y)
        pulls.append((found.flux - flux) / found.flux_error)
        ratios.append(found.flux.sum() / flux.sum())
    pulls = np.concatenate(pulls)
    n = pulls.size
    assert abs(pulls.mean()) < 4 / np.sqrt(n)
    assert pulls.std() == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    assert np.mean(ratios) == pytest.approx(1, abs=2e-3)


def test_injection_adds_poisson_noise_and_its_variance():
    image = blank(fwhm_pix=3.0, gain_e_per_adu=2.0)
    rng = np.random.default_rng(3)
    x, y = places(image.shape, rng)
    out = inject_sources(image, x=x, y=y, flux_adu=np.full(x.size, 5000.0), rng=rng)
    added, raised = out.data - image.data, out.variance - image.variance
    per_source = np.array(
        [
            (added[w].sum(), raised[w].sum())
            for w in (place_psf(image.psf, *p).window for p in zip(x, y, strict=True))
        ]
    )
    n = len(x)
    assert per_source[:, 1] == pytest.approx(2500, rel=2e-3)
    assert per_source[:, 0].mean() == pytest.approx(5000, abs=4 * 50 / np.sqrt(n))
    assert per_source[:, 0].std() == pytest.approx(50, rel=4 / np.sqrt(2 * n))
    touched = has_any(out.mask, MaskPlane.INJECTED)
    assert (added[~touched] ** 2).max() < 0.3 * image.variance.max()
    assert touched[np.rint(y).astype(int), np.rint(x).astype(int)].all()


def test_injection_at_the_edge_off_the_image_and_refusals():
    image = blank((64, 70))
    rng = np.random.default_rng(0)
    out = inject_sources(image, x=[0.2, 200.0], y=[0.1, 5.0], flux_adu=[9000.0, 9000.0], rng=rng)
    added = (out.data - image.data).sum()
    assert 0.2 < added / 9000 < 0.45
    assert image.data[0, 0] != out.data[0, 0]
    with pytest.raises(ValueError, match="positive"):
        inject_sources(image, x=[5], y=[5], flux_adu=[-1.0], rng=rng)
    with pytest.raises(ValueError, match="PSF"):
        inject_sources(image.with_(psf=None), x=[5], y=[5], flux_adu=[1.0], rng=rng)


@pytest.mark.parametrize(("fwhm", "tolerance"), [(2.0, 0.03), (2.5, 0.01), (3.5, 0.002)])
def test_placed_psf_is_the_true_one(fwhm, tolerance):
    epoch = Epoch(shape=(101, 103), fwhm_pix=fwhm)
    model = epoch.psf_model()
    for x, y in ((50.0, 50.0), (50.3, 49.6), (50.5, 50.49)):
        placed = place_psf(model, x, y)
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        true = epoch.psf_stamp(x, y, radius=model.size // 2, dx=x - column, dy=y - row)
        assert np.abs(placed.profile - true / true.sum()).max() < tolerance * true.max()
        assert placed.profile.sum() == pytest.approx(1, abs=1e-3)


def test_masked_pixels_are_left_out():
    image = blank((64, 64))
    out = inject_sources(image, x=[30.0], y=[30.0], flux_adu=[1e5], rng=np.random.default_rng(0))
    data, mask = out.data.copy(), np.zeros(out.shape, np.uint32)
    data[30, 31] = 1e7
    mask[30, 31] = MaskPlane.COSMIC_RAY.flag
    forced = psf_photometry(data, out.variance, out.psf, [30.0], [30.0], mask=mask)
    assert forced.flux[0] == pytest.approx(1e5, rel=0.02)
    assert 0.8 < forced.usable_fraction[0] < 0.97
    aperture = aperture_photometry(data, out.variance, mask, [30.0], [30.0], radius_pix=8)
    assert 0.8e5 < aperture.flux[0] < 1.0e5
    assert aperture.usable_fraction[0] == pytest.approx(1 - 1 / (np.pi * 64), abs=1e-3)
    nothing = np.full(out.shape, np.uint32(MaskPlane.BAD.flag))
    blind = psf_photometry(data, out.variance, out.psf, [30.0, np.nan], [30.0, 1.0], mask=nothing)
    assert np.isnan(blind.flux).all()
    assert (blind.usable_fraction == 0).all()
    off = aperture_photometry(data, out.variance, mask, [-90.0], [5.0], radius_pix=4)
    assert np.isnan(off.flux[0])


def test_growth_curve_is_that_of_the_psf():
    image = blank()
    rng = np.random.default_rng(1)
    x, y = places(image.shape, rng, step=50.0)
    out = inject_sources(image, x=x, y=y, flux_adu=np.full(x.size, 1e6), rng=rng)
    radii = np.array([2.0, 4.0, 8.0, 16.0])
    curve = growth_curve(out.data, out.variance, out.mask, x, y, radii_pix=radii)
    alpha = 3.5 / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
    expected = 1 - (1 + (radii / alpha) ** 2) ** -2.5
    np.testing.assert_allclose(curve.share, expected / expected[-1], atol=0.015)
    assert curve.n_stars == len(x)
    nothing = growth_curve(out.data, out.variance, out.mask, [1.0], [1.0], radii_pix=radii)
    assert nothing.n_stars == 0
    assert np.isnan(nothing.share).all()


@pytest.mark.parametrize("has_neighbours", [False, True])
def test_a_growth_curve_knows_its_error_and_leaves_most_of_a_neighbour_out(has_neighbours):
    """Every fifth star has a neighbour of a third of its flux in some ring."""
    rng = np.random.default_rng(2)
    radii, pulls, last = np.array([6.0, 9.0, 12.0]), [], []
    stamp = blank((64, 64)).psf.centre.astype(np.float32)
    at, free = [float(stamp.shape[0] // 2)], np.zeros(stamp.shape, np.uint32)
    true = growth_curve(stamp, stamp**0, free, at, at, radii_pix=radii, flux=[1.0]).share
    for seed in range(8):
        image = blank((512, 512), seed=seed)
        x, y = places(image.shape, rng, step=60.0)
        flux = rng.uniform(2e4, 4e4, x.size)
        out = inject_sources(image, x=x, y=y, flux_adu=flux, rng=rng)
        if has_neighbours:
            angle, distance = rng.uniform(0, 2 * np.pi, x.size), rng.uniform(6, 10, x.size)
            u, v = x + distance * np.cos(angle), y + distance * np.sin(angle)
            near = np.arange(x.size) % 5 == 0
            out = inject_sources(out, x=u[near], y=v[near], flux_adu=flux[near] / 3, rng=rng)
        curve = growth_curve(out.data, out.variance, out.mask, x, y, radii_pix=radii, flux=flux)
        assert curve.n_stars == len(x)
        pulls.append((curve.share - true) / curve.error)
        last.append(curve.share[-1])
    if has_neighbours:
        assert 0 < np.mean(last) - true[-1] < 0.3 * (0.2 / 3)
    else:
        assert np.std(pulls) == pytest.approx(1, abs=0.4)
        assert abs(np.mean(pulls)) < 0.8


def test_interpolation_between_pixels():
    epoch = Epoch(shape=(64, 64), fwhm_pix=3.0)
    stamp = epoch.psf_stamp(31, 31, radius=20).astype(np.float32)
    at = np.random.default_rng(0).uniform(-4, 4, (2, 50))
    true = [epoch.psf_stamp(31, 31, radius=0, dx=-dx, dy=-dy)[0, 0] for dx, dy in at.T]
    found = interpolate_at(stamp, 20 + at[0], 20 + at[1])
    np.testing.assert_allclose(found, true, atol=0.006 * stamp.max())
    ramp = np.add.outer(np.arange(9.0), 2 * np.arange(11.0)).astype(np.float32)
    assert interpolate_at(ramp, [3.3, 5.0], [4.4, 4.0]) == pytest.approx([11.0, 14.0], abs=1e-3)
    assert np.isnan(interpolate_at(ramp, [-3.0, 50.0, np.nan], [4.0, 4.0, 4.0])).all()
