"""WCS sanity: right everywhere on the sky, and a typed refusal of every absurd one."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astrid_assets.calibration.wcs_sanity import WCSSanityError, check_wcs


def make_wcs(ra: float = 10.0, dec: float = 20.0, scale: float = 0.5) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [100.5, 80.5]
    wcs.wcs.cd = np.array([[-scale, 0], [0, scale]]) / 3600
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, 45.0), (77.0, 90.0), (5.0, -90.0)])
def test_scale_and_parity_hold_everywhere(ra: float, dec: float) -> None:
    found = check_wcs(make_wcs(ra, dec), shape=(160, 200))
    assert found.pixel_scale_arcsec == pytest.approx(0.5, rel=1e-6)
    assert found.stretch == pytest.approx(1, abs=1e-5)
    assert found.round_trip_pix < 1e-3
    assert not found.is_flipped
    assert found.dec_deg == pytest.approx(dec, abs=1e-4)


def test_flipped_parity_is_told() -> None:
    wcs = make_wcs()
    wcs.wcs.cd = np.array([[0.5, 0], [0, 0.5]]) / 3600
    assert check_wcs(wcs, shape=(160, 200)).is_flipped


def _no_celestial() -> WCS:
    return WCS(naxis=2)


def _degenerate() -> WCS:
    wcs = make_wcs()
    wcs.wcs.cd = np.array([[-0.5, 0.5], [0.5, -0.5001]]) / 3600
    return wcs


@pytest.mark.parametrize(
    ("wcs", "what"),
    [
        (_no_celestial(), "celestial"),
        (make_wcs(scale=400.0), "pixel scale"),
        (make_wcs(scale=1e-4), "pixel scale"),
        (_degenerate(), "stretch|degenerate|pixel scale"),
        (WCS(fits.Header(), naxis=1), "celestial"),
    ],
)
def test_absurd_ones_are_refused(wcs: WCS, what: str) -> None:
    with pytest.raises(WCSSanityError, match=what):
        check_wcs(wcs, shape=(160, 200))


def test_strong_distortion_is_refused() -> None:
    header = make_wcs().to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["A_ORDER"] = header["B_ORDER"] = 2
    header["A_2_0"] = header["B_0_2"] = 2e-3
    header["AP_ORDER"] = header["BP_ORDER"] = 0
    with pytest.raises(WCSSanityError, match=r"scale_variation|stretch|folded"):
        check_wcs(WCS(header), shape=(160, 200))
