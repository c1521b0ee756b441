"""The PSF container against analytic profiles."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_resources.images import PSFModel

SHAPE = (200, 300)


def moffat(fwhm: float, beta: float, size: int, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    return (1 + ((x - x0) ** 2 + (y - y0) ** 2) / alpha**2) ** -beta


def gauss(fwhm: float, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


@pytest.mark.parametrize("fwhm", [2.0, 2.8, 4.3, 7.0])
@pytest.mark.parametrize("kind", ["gauss", "moffat"])
def test_fwhm_is_the_analytic_one(kind: str, fwhm: float):
    size = 2 * int(6 * fwhm) + 1
    stamp = gauss(fwhm, size) if kind == "gauss" else moffat(fwhm, 3.5, size)
    assert PSFModel.constant(stamp, shape=SHAPE).fwhm_pix == pytest.approx(fwhm, rel=0.02)


def test_noise_equivalent_area_of_a_gaussian():
    psf = PSFModel.constant(gauss(4.0, 41), shape=SHAPE)
    sigma = 4.0 / np.sqrt(8 * np.log(2))
    assert psf.noise_equivalent_area_pix == pytest.approx(4 * np.pi * sigma**2, rel=1e-4)


def test_a_varying_psf_has_sum_one_everywhere_and_varies_as_declared():
    base = gauss(3.0, 31) / gauss(3.0, 31).sum()
    wider = gauss(4.0, 31) / gauss(4.0, 31).sum() - base
    psf = PSFModel(np.stack([base, 0 * base, wider]).astype(np.float32), 1, SHAPE)
    left, right = psf.at(0, 100), psf.at(299, 100)
    for x, y in ((0, 0), (299, 199), (12.3, 45.6)):
        assert psf.at(x, y).sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(psf.centre, base, atol=1e-7)
    assert right.max() < base.max() < left.max()


@pytest.mark.parametrize("stamp", [np.zeros((5, 5)), np.full((5, 5), np.nan), -np.ones((5, 5))])
def test_a_stamp_without_flux_is_refused(stamp: np.ndarray):
    with pytest.raises(ValueError, match="positive finite sum"):
        PSFModel.constant(stamp, shape=SHAPE)


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 5, 5), (1, 5, 7)])
def test_stamps_of_the_wrong_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="PSF stamps of order 0"):
        PSFModel(np.ones(shape, np.float32), 0, SHAPE)


def test_stamps_are_finite():
    with pytest.raises(ValueError, match="finite"):
        PSFModel(np.full((1, 5, 5), np.inf, np.float32), 0, SHAPE)
