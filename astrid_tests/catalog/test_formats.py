"""What people read: positions, times and numbers at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from astrid_assets.catalog import formats


@pytest.mark.parametrize(
    ("ra", "dec", "text"),
    [
        (318.108012, -66.0157334, "318.108012 -66.015733"),
        (359.9999999, 0.0, "0.000000 +0.000000"),
        (0.0, -0.0000001, "0.000000 +0.000000"),
        (1.5, 90.0, "1.500000 +90.000000"),
    ],
)
def test_positions_in_degrees(ra, dec, text) -> None:
    assert formats.degrees_text(ra, dec) == text
    assert text.isascii()


@pytest.mark.parametrize(
    ("ra", "dec", "text"),
    [
        (318.1080, -66.0157, "21:12:25.920 -66:00:56.52"),
        (359.99999999, -0.00000001, "00:00:00.000 +00:00:00.00"),
        (14.9999999, -0.5, "01:00:00.000 -00:30:00.00"),
    ],
)
def test_sexagesimal_carries(ra, dec, text) -> None:
    assert formats.sexagesimal_text(ra, dec) == text


@given(st.floats(0, 359.999), st.floats(-90, 90))
def test_sexagesimal_is_the_same_place(ra, dec) -> None:
    back = SkyCoord(formats.sexagesimal_text(ra, dec), unit=("hourangle", "deg"))
    assert back.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 0.01


def test_times_are_utc() -> None:
    tai = Time("2018-08-04T05:26:54", scale="utc").tai.mjd
    assert formats.utc_text(tai) == "2018-08-04 05:26:54"
    assert formats.utc_of(tai).isoformat() == "2018-08-04T05:26:54+00:00"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (1.23456, "1.23"), (123456.7, "123457"), (2e9, "2.00e+09"), (7, "7")],
)
def test_numbers(value, text) -> None:
    assert formats.number_text(value) == text


def test_fluxes_say_their_unit() -> None:
    assert formats.flux_text(1234.5, 56.7, None, None) == "1234 +- 57 counts"
    assert formats.flux_text(1.0, 1.0, 12_345.0, 678.0) == "12.35 +- 0.68 uJy"
    assert formats.flux_text(np.float64(-3.0), 0.01, None, None) == "-3.000 +- 0.010 counts"
