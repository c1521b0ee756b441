"""Times as headers state them, and the night an exposure belongs to.

No civil time zone and no daylight saving enters anywhere, and nothing is fetched: the leap-second
table bundled with astropy is enough for every scale but UT1, which is taken as UTC (0.9 s at most).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

from astropy.time import Time
from astropy.utils import iers
from erfa import ErfaWarning

_MJD_EPOCH = date(1858, 11, 17)
_ROUNDING_PER_DAY = 8_640_000_000
"""Fractions of a day are rounded to 10 microseconds: an MJD float64 resolves 0.6 microseconds."""


@contextmanager
def offline_time() -> Iterator[None]:
    """Let astropy's time scales work without the network and without notes on far years."""
    with warnings.catch_warnings(), iers.conf.set_temp("auto_download", False):
        warnings.filterwarnings("ignore", r".*dubious year", ErfaWarning)
        yield


def wrap_longitude(longitude_deg: float) -> float:
    """Return a longitude in degrees wrapped to (-180, 180]."""
    if not math.isfinite(longitude_deg):
        raise ValueError(f"a longitude must be finite, got {longitude_deg}")
    return 180.0 - (180.0 - longitude_deg) % 360.0


def night_of(mid_exposure: Time | float, *, longitude_east_deg: float | None) -> date:
    """Return the night of an exposure: the local date of the evening, in mean solar time.

    date(UTC of mid-exposure + longitude / 15 h - 12 h), longitude wrapped to (-180, 180].

    mid_exposure: an astropy Time, or MJD in TAI.
    longitude_east_deg: of the observatory, east-positive (0-360 allowed); None for an observatory
        in space, whose night is the UTC day.
    """
    with offline_time():
        time = mid_exposure
        if not isinstance(time, Time):
            time = Time(float(time), format="mjd", scale="tai")
        utc = time.utc
        whole = math.floor(utc.jd1 - 2_400_000.5)
        part = (utc.jd1 - 2_400_000.5 - whole) + utc.jd2
    shift = 0.0
    if longitude_east_deg is not None:
        shift = wrap_longitude(longitude_east_deg) / 360.0 - 0.5
    ticks = round((part + shift) * _ROUNDING_PER_DAY)
    return _MJD_EPOCH + timedelta(days=whole + ticks // _ROUNDING_PER_DAY)
