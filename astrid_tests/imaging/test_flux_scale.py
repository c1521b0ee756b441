"""The flux scale: 1 for the right PSF, off by what a wrong one costs, no number from few stars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from astrid_assets.imaging.flux_scale import FluxScaleSettings, flux_scale
from astrid_assets.imaging.injection import inject_sources
from astrid_assets.imaging.psf_fit import fit_psf
from astrid_assets.imaging.synthetic import Epoch, make_pair
from astrid_resources.images import Image, PSFModel
from astrid_tests.difference.test_real_frames import load


def stars(seed: int, n: int = 40, fwhm: float = 3.2) -> tuple[Image, np.ndarray, np.ndarray]:
    image = make_pair(
        seed, (512, 512), science=Epoch(fwhm_pix=fwhm), stars_per_mpix=0, galaxies_per_mpix=0
    ).science.image()
    rng = np.random.default_rng(seed)
    x, y = (grid.ravel()[:n] for grid in np.meshgrid(*[np.arange(40.0, 480.0, 60.0)] * 2))
    x, y = x + rng.uniform(-0.5, 0.5, n), y + rng.uniform(-0.5, 0.5, n)
    flux = rng.uniform(8e3, 8e4, n)
    return inject_sources(image, x=x, y=y, flux_adu=flux, rng=rng), x, y


def test_it_is_one_within_its_error_for_the_right_psf() -> None:
    pulls = []
    for seed in range(8):
        image, x, y = stars(seed)
        found = flux_scale(image, x=x, y=y)
        assert found.ratio is not None
        assert found.error is not None
        assert 0.001 < found.error < 0.01
        assert found.n_stars == len(x)
        pulls.append((found.ratio - 1) / found.error)
    assert np.abs(pulls).max() < 4
    assert np.std(pulls) < 2


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_psf_of_wrong_width_is_seen(factor: float) -> None:
    """A Gaussian wider by k has sum(P_k P) / sum(P_k^2) = 2 k^2 / (1 + k^2): +9.5 % at 1.1."""
    image, x, y = stars(3)
    wrong = image.with_(psf=Epoch(shape=image.shape, fwhm_pix=3.2 * factor).psf_model())
    found = flux_scale(wrong, x=x, y=y)
    assert found.ratio is not None
    assert found.error is not None
    assert found.ratio == pytest.approx(2 * factor**2 / (1 + factor**2), abs=0.03)
    assert abs(found.ratio - 1) > 0.03 + 4 * found.error


def test_too_few_or_too_faint_stars_give_no_number() -> None:
    image, x, y = stars(1)
    few = flux_scale(image, x=x[:3], y=y[:3])
    assert (few.ratio, few.error, few.n_stars) == (None, None, 3)
    faint = flux_scale(image, x=x, y=y, settings=FluxScaleSettings(min_snr=1e6))
    assert (faint.ratio, faint.n_stars) == (None, 0)
    assert flux_scale(image, x=[], y=[]).ratio is None
    with pytest.raises(ValueError, match="PSF"):
        flux_scale(image.with_(psf=None), x=x, y=y)


@pytest.mark.parametrize("name", ["04a", "04e", "18a", "18d"])
def test_real_frames_are_on_scale_and_a_wrong_psf_on_them_is_not(
    astrid_data: Path, name: str
) -> None:
    """On DECam frames the wings beyond the fitted PSF hold 1 to 2 % of a star."""
    image = load(astrid_data, name)
    fit = fit_psf(image.data, image.variance, image.mask, saturation_adu=image.meta.saturation_adu)
    found = flux_scale(image, x=fit.star_x, y=fit.star_y)
    assert found.ratio is not None
    assert found.error is not None
    assert abs(found.ratio - 1) < 0.03 + 4 * found.error
    stamp = gaussian_filter(fit.psf.centre.astype(float), 0.25 * fit.fwhm_pix)
    wider = image.with_(psf=PSFModel.constant(stamp, shape=image.shape))
    wrong = flux_scale(wider, x=fit.star_x, y=fit.star_y)
    assert wrong.ratio is not None
    assert wrong.error is not None
    assert abs(wrong.ratio - 1) > 0.03 + 4 * wrong.error
