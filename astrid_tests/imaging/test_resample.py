"""Resampling: flux, position, noise power, masks and the PSF it carries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import fftconvolve

from astrid_assets.imaging.kernel import TAPS, weight_table
from astrid_assets.imaging.psf_stamp import place_psf
from astrid_assets.imaging.resample import resample
from astrid_assets.imaging.synthetic import Epoch, SkyField, make_pair, render
from astrid_resources.images import Image, MaskPlane, has_any

GEOMETRIES = {
    "shift": {"offset_pix": (3.3, -2.45)},
    "rotation": {"rotation_deg": 10.0, "offset_pix": (1.3, 0.7)},
    "distortion": {"rotation_deg": 0.3, "distortion_pix": 6.0},
    "scale": {"pixel_scale_arcsec": 0.25},
}


def noise_free_stars(seen: Epoch, grid: Epoch, seed: int = 0):
    """A noise-free image of equal stars under `seen`, and where they are on `grid`."""
    rng = np.random.default_rng(seed)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(40.0, 240, 40), np.arange(40.0, 220, 40)))
    x, y = x + rng.uniform(-0.5, 0.5, x.size), y + rng.uniform(-0.5, 0.5, y.size)
    ra, dec = grid.wcs().all_pix2world(x, y, 0)
    field = SkyField.points(ra, dec, seen.magnitude_ab(np.full(x.size, 1e6)))
    made = render(field, seen, rng)
    image = Image(
        made.clean, made.clean_variance, np.zeros(seen.shape, np.uint32), made.raw.wcs,
        made.raw.meta, psf=made.psf,
    )  # fmt: skip
    return image, x, y


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("fwhm", [2.5, 3.5])
def test_stars_keep_flux_place_and_carried_psf(geometry, fwhm):
    grid = Epoch(shape=(261, 280), fwhm_pix=fwhm)
    seen = replace(grid, **GEOMETRIES[geometry])
    image, x, y = noise_free_stars(seen, grid)
    out = resample(image, wcs=grid.wcs(), shape=grid.shape)
    seen_total = place_psf(image.psf, 140, 130, radius_pix=12).profile.sum()
    fluxes, shifts, losses = [], [], []
    for star_x, star_y in zip(x, y, strict=True):
        placed = place_psf(out.psf, star_x, star_y, radius_pix=12)
        pixels = out.data[placed.window].astype(float)
        assert not out.mask[placed.window].any()
        slope_y, slope_x = np.gradient(placed.profile)
        design = np.stack([placed.profile, -slope_x, -slope_y]).reshape(3, -1)
        fit = np.linalg.lstsq(design.T, pixels.ravel(), rcond=None)[0]
        shifts.append(fit[1:] / fit[0])
        fluxes.append(pixels.sum() / 1e6 / seen_total)
        norm = np.sqrt((placed.profile**2).sum() * (pixels**2).sum())
        losses.append(1 - (placed.profile * pixels).sum() / norm)
    assert np.mean(fluxes) == pytest.approx(1, abs=1e-3)
    assert np.std(fluxes) < 2e-3
    assert np.abs(shifts).max() < 0.005
    assert max(losses) < (4e-4 if fwhm < 3 else 3e-5)


def test_noise_power_at_psf_scale_follows_the_variance():
    grid = Epoch(shape=(500, 517))
    seen = replace(grid, shape=(640, 650), rotation_deg=3.0, pixel_scale_arcsec=0.27)
    pair = make_pair(
        3,
        seen.shape,
        science=replace(seen, sky_gradient=0.8),
        stars_per_mpix=0,
        galaxies_per_mpix=0,
    )
    out = resample(pair.science.image(), wcs=grid.wcs(), shape=grid.shape)
    psf = grid.psf_model().centre
    z = fftconvolve(out.data, psf, mode="same")
    z /= np.sqrt(fftconvolve(out.variance, psf**2, mode="same"))
    inner = z[25:-25, 25:-25]
    n_independent = inner.size / 25
    assert inner.std() == pytest.approx(1, abs=4 / np.sqrt(2 * n_independent) + 0.005)


def test_identity_copies_every_pixel_and_mask():
    pair = make_pair(1, (129, 130), science=Epoch(cosmic_rays_per_mpix=300, bad_columns=2))
    image = pair.science.image()
    out = resample(image, wcs=image.wcs, shape=image.shape)
    np.testing.assert_allclose(out.data, image.data, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(out.variance, image.variance, rtol=1e-5)
    np.testing.assert_array_equal(out.mask, image.mask)
    np.testing.assert_allclose(out.psf.centre, image.psf.centre, atol=1e-6)


def test_shift_moves_the_reading_position():
    epoch = Epoch(shape=(120, 120), fwhm_pix=3.5)
    image, _, _ = noise_free_stars(replace(epoch, wcs_error_pix=(0.4, -0.3)), epoch)
    out = resample(image, wcs=epoch.wcs(), shape=epoch.shape, shift_pix=(-0.4, 0.3))
    want, _, _ = noise_free_stars(epoch, epoch)
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(out.data[inner] - want.data[inner]).max() < 0.01 * want.data.max()


def test_unusable_pixels_set_their_plane_nearby_and_spread_no_value():
    epoch = Epoch(shape=(80, 90))
    data = np.full(epoch.shape, 5, np.float32)
    mask = np.zeros(epoch.shape, np.uint32)
    data[40, 50] = 1e6
    mask[40, 50] = MaskPlane.COSMIC_RAY.flag
    mask[20, 20] = MaskPlane.DETECTED.flag
    image = Image(data, np.ones_like(data), mask, epoch.wcs(), epoch.meta())
    out = resample(image, wcs=replace(epoch, offset_pix=(0.5, 0.5)).wcs(), shape=epoch.shape)
    hit = has_any(out.mask, MaskPlane.COSMIC_RAY)
    assert hit.sum() == 16
    clean = (out.mask & ~np.uint32(MaskPlane.DETECTED.flag)) == 0
    np.testing.assert_allclose(out.data[clean], 5, rtol=1e-3)
    assert has_any(out.mask, MaskPlane.DETECTED).sum() == 1
    assert np.isfinite(out.data).all()
    assert (out.variance > 0).all()


def test_the_slope_of_a_saturated_star_is_not_lowered_beside_its_lost_core():
    grid = Epoch(shape=(250, 270), fwhm_pix=4.0)
    seen = replace(grid, offset_pix=(0.5, -0.5))
    image, x, y = noise_free_stars(seen, grid)
    expected = resample(image, wcs=grid.wcs(), shape=grid.shape)
    core = image.data > 0.1 * image.data.max()
    lost = image.with_(
        data=np.where(core, np.float32(2e4), image.data),
        mask=np.where(core, MaskPlane.SATURATED.flag, image.mask).astype(np.uint32),
    )
    out = resample(lost, wcs=grid.wcs(), shape=grid.shape)
    rows, columns = np.indices(grid.shape)
    distance = np.min(np.hypot(rows[..., None] - y, columns[..., None] - x), axis=2)
    beside = (out.mask == 0) & (distance < 8)
    assert beside.sum() > 80 * len(x)
    np.testing.assert_allclose(out.data[beside], expected.data[beside], rtol=0.07)


def test_outside_is_no_data_with_the_sky_variance():
    epoch = Epoch(shape=(100, 110))
    image = make_pair(2, epoch.shape, science=epoch).science.image()
    away = resample(image, wcs=replace(epoch, ra_deg=151.0).wcs(), shape=(50, 60))
    behind = resample(image, wcs=replace(epoch, ra_deg=330.0, dec_deg=-2.2).wcs(), shape=(50, 60))
    for out in (away, behind):
        assert (out.mask == MaskPlane.NO_DATA.flag).all()
        assert (out.data == 0).all()
        assert np.allclose(out.variance, np.median(image.variance), rtol=0.05)
    half = resample(image, wcs=replace(epoch, offset_pix=(55.0, 0.0)).wcs(), shape=epoch.shape)
    assert has_any(half.mask, MaskPlane.NO_DATA).mean() == pytest.approx(0.5, abs=0.04)


def test_inputs_are_never_changed():
    image = make_pair(2, (90, 90)).science.image()
    before = image.data.copy()
    resample(image, wcs=Epoch(shape=(90, 90), rotation_deg=5).wcs(), shape=(70, 71))
    np.testing.assert_array_equal(image.data, before)


@pytest.mark.parametrize("inner", [False, True])
def test_kernel_is_exact_for_constants_and_ramps(inner):
    table = weight_table(inner=inner).astype(float)
    taps = np.arange(TAPS) - 2
    phase = np.arange(len(table)) / (len(table) - 1)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(table @ taps, phase, atol=1e-6)
