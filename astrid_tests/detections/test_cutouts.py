"""Cutouts: where they look, and what they are indifferent to."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.detections.cutouts import CutoutSettings, make_cutouts


def _frame(fwhm: float, snr: float, x: float, y: float, *, shape=(160, 170), seed=1) -> tuple:
    """White noise of sigma 1 with one Gaussian source of matched-filter S/N `snr`, and its PSF."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    sigma = fwhm / 2.3548
    psf = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 2 / sigma**2)
    flux = snr / np.sqrt((psf**2).sum())
    noise = rng.normal(size=(2, *shape)).astype(np.float32)
    science = (noise[0] + flux * psf).astype(np.float32)
    return science, noise[1], (science - noise[1]).astype(np.float32)


def _cut(frame: tuple, x: float, y: float, fwhm: float, *, negative: bool = False) -> np.ndarray:
    return make_cutouts(
        *frame, x=np.array([x]), y=np.array([y]), is_negative=np.array([negative]), fwhm_pix=fwhm
    )[0]


def test_the_candidate_stands_on_the_central_pixel_at_any_subpixel_position() -> None:
    yy, xx = np.mgrid[:63, :63] - 31.0
    for seed, (dx, dy) in enumerate(np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))):
        x, y, fwhm = 80 + dx, 70 + dy, 2.5 + 0.15 * seed
        cutout = np.sinh(_cut(_frame(fwhm, 400, x, y, seed=seed), x, y, fwhm)[:, :, 2])
        near = cutout * (np.hypot(xx, yy) < 6)
        assert (near * xx).sum() / near.sum() == pytest.approx(0, abs=0.06)
        assert (near * yy).sum() / near.sum() == pytest.approx(0, abs=0.06)


def test_equal_significance_looks_equal_at_any_seeing() -> None:
    peaks, widths = [], []
    for fwhm in (2.2, 3.0, 4.0, 5.0, 6.0):
        cutout = np.sinh(_cut(_frame(fwhm, 50, 80.3, 70.6), 80.3, 70.6, fwhm)[:, :, 2])
        peaks.append(cutout[31, 31])
        widths.append(2 * np.sqrt((cutout[21:42, 21:42] > cutout[31, 31] / 2).sum() / np.pi))
    assert np.ptp(peaks) / np.mean(peaks) < 0.25
    np.testing.assert_allclose(widths, 4.0, atol=0.7)


def test_flux_unit_and_sky_level_do_not_matter() -> None:
    frame = _frame(4.0, 20, 80, 70)
    changed = (frame[0] * 7 + 100, frame[1] * 0.2 - 3, frame[2] * 7)
    np.testing.assert_allclose(_cut(changed, 80, 70, 4.0), _cut(frame, 80, 70, 4.0), atol=2e-4)


def test_a_negative_candidate_is_shown_with_the_roles_exchanged() -> None:
    science, reference, difference = _frame(4.0, 20, 80, 70)
    negative = _cut((reference, science, -difference), 80, 70, 4.0, negative=True)
    np.testing.assert_array_equal(negative, _cut((science, reference, difference), 80, 70, 4.0))


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (169.0, 159.0), (3.4, 80.0), (-30.0, 5.0)])
def test_edges_and_unknown_pixels_stay_finite(x: float, y: float) -> None:
    frame = tuple(plane.copy() for plane in _frame(4.0, 20, 80, 70))
    frame[0][:, :10] = np.nan
    cutout = _cut(frame, x, y, 4.0)
    assert np.isfinite(cutout).all()
    assert (cutout[:, :, 0] == 0).sum() > 300


def test_nothing_known_at_all_is_all_zero() -> None:
    empty = np.full((60, 60), np.nan, np.float32)
    assert not _cut((empty, empty, empty), 30, 30, 4.0).any()
    flat = np.zeros((60, 60), np.float32)
    assert not _cut((flat, flat, flat), 30, 30, 4.0).any()


def test_a_lost_pixel_is_bridged_not_spread() -> None:
    frame = tuple(plane.copy() for plane in _frame(5.0, 60, 80, 70))
    whole = _cut(frame, 80, 70, 5.0)
    frame[2][75, 92] = np.nan
    changed = np.abs(_cut(frame, 80, 70, 5.0)[:, :, 2] - whole[:, :, 2]) > 0.02
    assert 0 < changed.sum() < 80


def test_inputs_are_not_changed_and_results_have_the_declared_form() -> None:
    frame = _frame(4.0, 20, 80, 70)
    before = [plane.copy() for plane in frame]
    cutouts = make_cutouts(
        *frame, x=np.array([80.0, 20.0]), y=np.array([70.0, 20.0]),
        is_negative=np.array([False, True]), fwhm_pix=4.0,
    )  # fmt: skip
    assert cutouts.shape == (2, 63, 63, 3)
    assert cutouts.dtype == np.float32
    for plane, copy in zip(frame, before, strict=True):
        np.testing.assert_array_equal(plane, copy)
    none = make_cutouts(
        *frame, x=np.array([]), y=np.array([]), is_negative=np.array([], bool), fwhm_pix=4.0
    )
    assert none.shape == (0, 63, 63, 3)


@pytest.mark.parametrize("fwhm", [0.0, -1.0, np.nan, np.inf])
def test_a_fwhm_that_is_none_is_refused(fwhm: float) -> None:
    with pytest.raises(ValueError, match="fwhm_pix must be positive"):
        CutoutSettings().scale(fwhm)


def test_unequal_grids_are_refused() -> None:
    science, reference, difference = _frame(4.0, 20, 80, 70)
    with pytest.raises(ValueError, match="one grid"):
        _cut((science, reference[:50], difference), 80, 70, 4.0)
