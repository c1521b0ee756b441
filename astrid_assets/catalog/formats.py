"""How numbers of the catalog are written for people: positions, times, fluxes, metrics.

ASCII signs only, right ascension before declination on one line, times in UTC.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from astropy.time import Time

NOT_KNOWN = "-"


def degrees_text(ra: float, dec: float) -> str:
    """Return "RA Dec" in degrees with six decimals, like "318.108012 -66.015733"."""
    return f"{ra_text(ra)} {dec_text(dec)}"


def ra_text(ra: float) -> str:
    """Return a right ascension in degrees with six decimals, in [0, 360)."""
    text = f"{ra % 360.0:.6f}"
    return "0.000000" if text == "360.000000" else text


def dec_text(dec: float) -> str:
    """Return a declination in degrees with its sign and six decimals."""
    text = f"{dec:+.6f}"
    return "+0.000000" if text == "-0.000000" else text


def sexagesimal_text(ra: float, dec: float) -> str:
    """Return "hh:mm:ss.sss +dd:mm:ss.ss" of a position in degrees."""
    ms = round((ra % 360.0) / 15 * 3_600_000) % 86_400_000
    cas = round(abs(dec) * 360_000)
    sign = "-" if dec < 0 and cas else "+"
    hours, minutes, seconds = ms // 3_600_000, ms // 60_000 % 60, ms % 60_000 / 1000
    degrees, arcmin, arcsec = cas // 360_000, cas // 6000 % 60, cas % 6000 / 100
    return (
        f"{hours:02d}:{minutes:02d}:{seconds:06.3f} {sign}{degrees:02d}:{arcmin:02d}:{arcsec:05.2f}"
    )


def utc_of(mjd_tai: float) -> datetime:
    """Return the aware UTC datetime of a TAI MJD, to the second; a leap second becomes :59."""
    text = Time(mjd_tai, format="mjd", scale="tai").utc.strftime("%Y-%m-%dT%H:%M:%S")
    return datetime.fromisoformat(text.replace(":60", ":59")).replace(tzinfo=UTC)


def utc_text(mjd_tai: float) -> str:
    """Return a TAI MJD as "2018-08-04 05:26:54" in UTC."""
    return str(Time(mjd_tai, format="mjd", scale="tai", precision=0).utc.iso)


def number_text(value: float | int | str | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, or "-" where it is not known."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, (str, int)):
        return str(value)
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - magnitude, 0)}f}"


def flux_text(
    flux_adu: float, flux_adu_error: float, flux_njy: float | None, flux_njy_error: float | None
) -> str:
    """Return a flux with its error and unit: uJy where calibrated, else counts of the exposure."""
    if flux_njy is not None and flux_njy_error is not None:
        return f"{_pair(flux_njy / 1000, flux_njy_error / 1000)} uJy"
    return f"{_pair(flux_adu, flux_adu_error)} counts"


def limit_text(flux_adu_error: float, flux_njy_error: float | None) -> str:
    """Return five times the error of a flux with its unit."""
    if flux_njy_error is not None:
        return f"{number_text(5 * flux_njy_error / 1000)} uJy"
    return f"{number_text(5 * flux_adu_error)} counts"


def _pair(value: float, error: float) -> str:
    decimals = 0 if error <= 0 else min(max(1 - math.floor(math.log10(error)), 0), 8)
    return f"{value:.{decimals}f} +- {error:.{decimals}f}"
