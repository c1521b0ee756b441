"""Forced fluxes and the interpolation under them."""

import numpy as np
import pytest

from astrid_assets.difference.forced import forced_flux, interpolated
from astrid_assets.difference.subtract import subtract
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import MaskPlane
from astrid_tests.difference.fixtures import moffat


@pytest.mark.parametrize("fwhm", [2.8, 4.0, 7.0])
def test_interpolation_of_a_band_limited_map(fwhm):
    centred, moved = moffat(fwhm, size=61), moffat(fwhm, size=61, dx=0.37, dy=-0.21)
    y, x = np.mgrid[15:46, 15:46].astype(float)
    got = interpolated(centred, x - 0.37, y + 0.21)
    assert np.abs(got - moved[15:46, 15:46]).max() < 4e-3 * centred.max()
    assert interpolated(centred, 30, 30) == pytest.approx(centred[30, 30])
    assert np.isfinite(interpolated(centred, [-3.0, 70.0], [2.0, 80.0])).all()


def test_forced_flux_off_the_image_and_on_masks_is_flagged():
    pair = make_pair(0, (300, 301), n_transients=5)
    science = pair.science.image()
    mask = science.mask.copy()
    mask[100, 120] |= MaskPlane.COSMIC_RAY.flag
    made = subtract(science.with_(mask=mask), pair.reference.image()).difference
    forced = forced_flux(made, [-2.0, 120.8, 124.0, 310.0], [10.0, 100.2, 100.0, 20.0])
    assert forced.is_masked.tolist() == [True, True, False, True]
    assert np.isfinite(forced.flux).all()
    assert (forced.flux_error > 0).all()
    one = forced_flux(made, float(pair.truth.x[0]), float(pair.truth.y[0]))
    assert float(one.flux) == pytest.approx(pair.truth.flux_adu[0], abs=5 * float(one.flux_error))
