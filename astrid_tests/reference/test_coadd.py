"""The coadd against truth: linear, its noise and PSF as stated, indifferent to order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import sep

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import SkyField, make_field
from astrid_assets.imaging.synthetic.render import SyntheticExposure, render
from astrid_assets.reference.coadd import CoaddSettings, coadd
from astrid_assets.reference.output_grid import CoaddTooLargeError
from astrid_assets.reference.ties import TooFewInputsError
from astrid_resources.images import Image, MaskPlane, has_any

SHAPE = (360, 400)


def _epochs(n: int = 5, **changes) -> list[Epoch]:
    """Dithered, turned, of different seeing, sky and transparency."""
    return [
        Epoch(
            **{
                "shape": SHAPE,
                "fwhm_pix": 2.8 + 0.35 * k,
                "offset_pix": (3.3 * k, -5.7 * k),
                "rotation_deg": 0.3 * k,
                "zero_point_ab_mag": 30 - 0.1 * k,
                "mjd_mid_tai": 58000.0 + k,
                "sky_adu": 500.0 + 100 * k,
                **changes,
            }
        )
        for k in range(n)
    ]


def _image(exposure: SyntheticExposure) -> Image:
    """Return the exposure as a perfect calibration would make it."""
    mask = np.zeros(SHAPE, np.uint32)
    mask[exposure.saturated] |= MaskPlane.SATURATED.flag
    mask[exposure.bad] |= MaskPlane.BAD.flag
    mask[exposure.cosmic_rays] |= MaskPlane.COSMIC_RAY.flag
    return Image(
        exposure.raw.data - exposure.sky,
        exposure.clean_variance,
        mask,
        exposure.raw.wcs,
        exposure.epoch.meta(),
        psf=exposure.psf,
    )


def _bright_field(seed: int, *, n_stars: int = 60) -> SkyField:
    rng = np.random.default_rng(seed)
    return make_field(
        rng, size_deg=0.04, n_stars=n_stars, n_galaxies=0, magnitude_bright=17.5,
        magnitude_faint=22.5, star_slope=0.05,
    )  # fmt: skip


def _exposures(seed: int, epochs: list[Epoch], **field) -> list[SyntheticExposure]:
    rng = np.random.default_rng(seed + 1000)
    sky = _bright_field(seed, **field)
    return [render(sky, epoch, rng) for epoch in epochs]


class _Lazy(Sequence):
    """A sequence that counts how many images it holds out at once."""

    def __init__(self, images: list[Image]) -> None:
        self._images = images
        self.n_loads = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Image:
        self.n_loads += 1
        return self._images[index]

    def __iter__(self) -> Iterator[Image]:
        raise AssertionError("inputs are loaded by index, one at a time")


def test_it_is_bitwise_the_same_in_any_order_and_spilled_to_disk() -> None:
    images = [_image(e) for e in _exposures(1, _epochs(4))]
    expected = coadd(images)
    lazy = _Lazy([images[k] for k in (2, 0, 3, 1)])
    for other in (coadd(lazy), coadd(images[::-1], settings=CoaddSettings(memory_max_mb=0.0))):
        np.testing.assert_array_equal(other.image.data, expected.image.data)
        np.testing.assert_array_equal(other.image.variance, expected.image.variance)
        np.testing.assert_array_equal(other.image.mask, expected.image.mask)
        np.testing.assert_array_equal(other.image.psf.stamps, expected.image.psf.stamps)
        assert [e.key for e in other.inputs] == [e.key for e in expected.inputs]
        assert other.image.meta == expected.image.meta
    assert lazy.n_loads == 2 * len(images)
    assert sum(expected.weights) == pytest.approx(1)


def test_stars_are_linear_and_have_the_stated_psf_at_every_flux() -> None:
    """Bright and faint stars have the same aperture growth: no clipping of cores."""
    inner, outer, flux = [], [], []
    for seed in range(6):
        quiet = _epochs(sky_adu=20.0, gain_e_per_adu=20.0, read_noise_e=2.0)
        exposures = _exposures(seed, quiet, n_stars=40)
        made = coadd([_image(e) for e in exposures])
        truth = exposures[made.anchor_index].truth
        x, y = made.image.wcs.all_world2pix(truth.ra, truth.dec, 0)
        ny, nx = made.image.shape
        distance = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
        alone = (distance.min(axis=1) > 45) & (x > 60) & (y > 60) & (x < nx - 60) & (y < ny - 60)
        data, psf = made.image.data.copy(), made.image.psf.centre.copy()
        middle = np.array([psf.shape[0] // 2], float)
        saturated = has_any(made.image.mask, MaskPlane.SATURATED)
        for k in np.flatnonzero(alone):
            at = np.array([x[k]]), np.array([y[k]])
            if sep.sum_circle(saturated.astype(np.float32), *at, 15.0)[0][0] > 0:
                continue
            for radius, out in ((3.5, inner), (12.0, outer)):
                held = sep.sum_circle(data, *at, radius, subpix=0)[0][0]
                share = sep.sum_circle(psf, middle, middle, radius, subpix=0)[0][0]
                out.append(held / truth.flux_adu[k] / share)
            flux.append(truth.flux_adu[k])
    inner, outer, flux = np.array(inner), np.array(outer), np.array(flux)
    bright = flux > np.quantile(flux, 0.6)
    faint = ~bright & (flux > np.quantile(flux, 0.2))
    assert bright.sum() >= 10
    assert np.median(outer[bright]) == pytest.approx(1, abs=0.003)
    assert np.median(outer[faint]) == pytest.approx(1, abs=0.004)
    shape = inner / outer
    assert np.median(shape[bright]) == pytest.approx(1, abs=0.005)
    assert abs(np.median(shape[bright]) - np.median(shape[faint])) < 0.003


def test_noise_is_what_the_weights_say() -> None:
    correlations, pixel_scatters = [], []
    for seed in range(4):
        exposures = _exposures(seed, _epochs(4), n_stars=30)
        images = [_image(e) for e in exposures]
        made = coadd(images)
        weights = {entry.index: entry for entry in made.inputs}
        expected = sum(
            (weights[k].weight / weights[k].relative.flux_ratio) ** 2
            * float(np.median(image.variance))
            for k, image in enumerate(images)
        )
        inside = made.coverage == 4
        assert np.median(made.image.variance[inside]) == pytest.approx(expected, rel=0.01)
        correlations.append(made.blank.noise_correlation)
        pixel_scatters.append(made.blank.std)
        assert abs(made.blank.median) < 0.02
    assert np.mean(correlations) == pytest.approx(1, abs=0.03)
    assert 0.85 < np.mean(pixel_scatters) < 1.0


def test_on_one_grid_nothing_is_interpolated_and_pixels_have_their_noise() -> None:
    same = {"offset_pix": (0.0, 0.0), "rotation_deg": 0.0}
    made = coadd([_image(e) for e in _exposures(3, _epochs(4, **same))])
    assert made.image.shape == SHAPE
    assert made.blank.std == pytest.approx(1, abs=0.03)
    assert not any(entry.relative.is_shifted for entry in made.inputs)


def test_flux_scales_and_shifts_are_the_true_ones() -> None:
    epochs = _epochs(4, wcs_error_pix=(0.0, 0.0))
    epochs[2] = replace(epochs[2], wcs_error_pix=(0.4, -0.3))
    made = coadd([_image(e) for e in _exposures(5, epochs)])
    anchor = epochs[made.anchor_index]
    for entry in made.inputs:
        epoch = epochs[entry.index]
        expected = 10 ** (0.4 * (epoch.zero_point_ab_mag - anchor.zero_point_ab_mag))
        assert entry.relative.flux_ratio == pytest.approx(expected, rel=0.015)
        if entry.index == 2:
            np.testing.assert_allclose(entry.relative.shift_pix, (-0.4, 0.3), atol=0.04)
            assert entry.relative.is_shifted


def test_a_hit_and_a_trail_left_in_one_input_vanish() -> None:
    exposures = _exposures(7, _epochs())
    images = [_image(e) for e in exposures]
    expected = coadd(images)
    hurt = images[1].data.copy()
    hurt[150:170, 200] += 3000
    hurt[300, 50:350] += 150
    made = coadd([images[0], images[1].with_(data=hurt), *images[2:]])
    excess = made.image.data - expected.image.data
    sigma = np.sqrt(np.median(expected.image.variance))
    assert np.abs(excess).max() < 5 * sigma
    entry = next(e for e in made.inputs if e.index == 1)
    assert entry.n_artefact_pixels > 300


def test_saturation_stays_and_holes_are_told() -> None:
    images = [_image(e) for e in _exposures(8, _epochs(3))]
    mask = images[0].mask.copy()
    mask[100:104, 100:104] |= MaskPlane.SATURATED.flag
    made = coadd([images[0].with_(mask=mask), *images[1:]])
    ra, dec = images[0].wcs.all_pix2world(101.5, 101.5, 0)
    x, y = (round(float(v)) for v in made.image.wcs.all_world2pix(ra, dec, 0))
    assert made.image.mask[y, x] & MaskPlane.SATURATED.flag
    assert made.coverage[y, x] == 2
    outside = made.coverage == 0
    assert outside.any()
    assert has_any(made.image.mask[outside], MaskPlane.NO_DATA).all()
    assert (made.image.data[outside] == 0).all()
    assert np.isfinite(made.image.variance).all()
    assert made.coverage_fraction == pytest.approx((~outside).mean())


def test_effective_gain_gives_the_stacks_own_photon_noise() -> None:
    images = [_image(e) for e in _exposures(9, _epochs(4), n_stars=20)]
    made = coadd(images)
    bright = (made.image.data > 3000) & (made.coverage == 4)
    sky = float(np.median(made.image.variance))
    expected = sky + made.image.data[bright] / made.image.meta.gain_e_per_adu
    assert np.median(made.image.variance[bright] / expected) == pytest.approx(1, abs=0.08)
    assert made.image.meta.saturation_adu > 0
    assert 58000 < made.image.meta.mjd_mid_tai < 58004


def test_inputs_that_cannot_be_tied_are_left_out_with_the_reason() -> None:
    images = [_image(e) for e in _exposures(2, _epochs(3))]
    empty = images[2].with_(data=np.zeros(SHAPE, np.float32))
    made = coadd([images[0], images[1], empty])
    assert made.n_inputs == 2
    assert [e.index for e in made.excluded] == [2]
    assert "common stars" in made.excluded[0].reason
    with pytest.raises(TooFewInputsError) as caught:
        coadd([images[0], images[1], empty], settings=CoaddSettings(n_inputs_min=3))
    assert caught.value.numbers["n_found"] == 2


def test_absurd_inputs_are_typed_failures() -> None:
    with pytest.raises(TooFewInputsError):
        coadd([])
    images = [_image(e) for e in _exposures(2, _epochs(2))]
    with pytest.raises(CoaddTooLargeError):
        coadd(images, settings=CoaddSettings(mpix_max=0.01))
    with pytest.raises(ValueError, match="PSF"):
        coadd([images[0].with_(psf=None)])


def test_one_input_is_a_reference_too() -> None:
    image = _image(_exposures(4, _epochs(1))[0])
    made = coadd([image])
    usable = made.coverage == 1
    np.testing.assert_allclose(made.image.data[usable], image.data[usable], rtol=1e-5, atol=1e-3)
    assert made.weights == (1.0,)
