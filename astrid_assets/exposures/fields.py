"""The facts that are read of an exposure's header: one table of names, units, bounds and cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Field:
    """A fact of an exposure.

    kind: text or number. unit: the unit it is kept in (astropy's spelling; "" for none).
    low, high: what a number may be (low itself only where `is_low_allowed`).
    is_required: without it the exposure is rejected; otherwise a bad value is noted and dropped.
    card: the FITS card of the corrected header that states it, if any.
    """

    kind: Literal["text", "number"]
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    is_low_allowed: bool = False
    is_required: bool = False
    card: str | None = None


FIELDS: dict[str, Field] = {
    "observation_id": Field("text"),
    "detector": Field("text"),
    "instrument": Field("text", card="INSTRUME"),
    "telescope": Field("text", card="TELESCOP"),
    "site": Field("text"),
    "filter_band": Field("text", is_required=True, card="FILTER"),
    "data_unit": Field("text", card="BUNIT"),
    "exposure_time_s": Field("number", "s", 0, 1e6, is_required=True, card="EXPTIME"),
    "gain_e_per_adu": Field("number", "", 0, 1e5, is_required=True, card="GAIN"),
    "read_noise_e": Field(
        "number", "", 0, 1e5, is_low_allowed=True, is_required=True, card="RDNOISE"
    ),
    "saturation_adu": Field("number", "", 0, 1e12, is_required=True, card="SATURATE"),
    "airmass": Field("number", "", 0.9, 50, card="AIRMASS"),
    "seeing_arcsec": Field("number", "arcsec", 0, 60, card="SEEING"),
    "longitude_east_deg": Field("number", "deg", -360, 360, is_low_allowed=True),
    "sky_level_adu": Field("number", "", -1e9, 1e9, card="SKYLEVEL"),
    "zero_point_ab_mag": Field("number", "mag", -100, 100, card="MAGZERO"),
    "zero_point_err": Field("number", "mag", 0, 10, is_low_allowed=True, card="MAGZERR"),
}

TIME_FIELD = "time_start_utc"
"""The start of the exposure: by a survey's `[time]` rule or this sidecar column."""
