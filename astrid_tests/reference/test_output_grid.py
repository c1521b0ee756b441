"""The grid of a coadd holds every input, at the poles and at RA 0 too, and nothing absurd."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from astrid_assets.imaging.resample import world_to_pixel
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.reference.output_grid import CoaddTooLargeError, Footprint, output_grid

SHAPE = (200, 260)


def _footprint(*, ra: float = 0.01, dec: float = 20.0, **changes) -> Footprint:
    return Footprint(Epoch(shape=SHAPE, ra_deg=ra, dec_deg=dec, **changes).wcs(), SHAPE)


def test_inputs_on_one_grid_stay_on_it() -> None:
    one = _footprint()
    assert output_grid(one, [one, _footprint()], mpix_max=1) is one


@pytest.mark.parametrize("dec", [0.0, 89.999, -90.0])
@pytest.mark.parametrize("distortion", [0.0, 3.0])
def test_the_union_holds_every_input(dec: float, distortion: float) -> None:
    footprints = [
        _footprint(ra=0.0, dec=dec, offset_pix=offset, rotation_deg=turn, distortion_pix=distortion)
        for offset, turn in (((0, 0), 0.0), ((120, -40), 20.0), ((-90, 60), 0.0))
    ]
    grid = output_grid(footprints[0], footprints, mpix_max=1)
    assert not grid.wcs.has_distortion
    for footprint in footprints:
        x, y = world_to_pixel(grid.wcs, *footprint.border_sky())
        assert x.min() >= -0.5 - 1e-6
        assert y.min() >= -0.5 - 1e-6
        assert x.max() <= grid.shape[1] - 0.5 + 1e-6
        assert y.max() <= grid.shape[0] - 0.5 + 1e-6
    assert grid.shape[0] < 2.2 * SHAPE[0]
    assert grid.shape[1] < 2.2 * SHAPE[1]


def test_undistorted_anchor_keeps_its_pixels() -> None:
    anchor = _footprint()
    grid = output_grid(anchor, [anchor, _footprint(offset_pix=(37.3, -12.6))], mpix_max=1)
    x, y = world_to_pixel(grid.wcs, *anchor.wcs.all_pix2world([0.0, 50.0], [0.0, 70.0], 0))
    np.testing.assert_allclose(x, np.rint(x), atol=1e-6)
    np.testing.assert_allclose(y, np.rint(y), atol=1e-6)


def test_far_apart_inputs_are_refused_with_numbers() -> None:
    near, far = _footprint(), _footprint(dec=25.0)
    with pytest.raises(CoaddTooLargeError) as caught:
        output_grid(near, [near, far], mpix_max=1)
    assert caught.value.numbers["mpix_max"] == 1
    with pytest.raises(CoaddTooLargeError):
        output_grid(near, [near, _footprint(ra=180.0, dec=-20.0)], mpix_max=1)


def test_the_inputs_wcs_is_untouched() -> None:
    anchor = _footprint()
    before = anchor.wcs.to_header_string()
    output_grid(anchor, [anchor, _footprint(offset_pix=(40, 0))], mpix_max=1)
    assert anchor.wcs.to_header_string() == before
    assert isinstance(anchor.wcs, WCS)


def test_a_coadd_is_never_larger_than_four_times_its_inputs() -> None:
    near = _footprint()
    beside = [_footprint(offset_pix=offset) for offset in ((255, 195), (-255, -195))]
    grid = output_grid(near, [near, *beside], mpix_max=400)
    assert np.prod(grid.shape) <= 4 * 3 * np.prod(SHAPE)
    for wrong in (_footprint(ra=0.31), _footprint(pixel_scale_arcsec=2.62)):
        with pytest.raises(CoaddTooLargeError, match="4 times"):
            output_grid(near, [near, wrong], mpix_max=400)
