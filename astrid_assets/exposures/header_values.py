"""Values of header cards: texts, numbers with units, sexagesimal angles, points in time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from astropy import units as u
from astropy.time import Time

from astrid_assets.exposures.fields import FIELDS
from astrid_assets.exposures.night import offline_time
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.survey import FieldRule, TimeRule

_SEXAGESIMAL = re.compile(
    r"([+-]?)\s*(\d{1,3})[:\s]+(\d{1,2}(?:\.\d*)?)(?:[:\s]+(\d{1,2}(?:\.\d*)?))?"
)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d*)?)?))?Z?")
_OLD_DATE = re.compile(r"(\d\d)/(\d\d)/(\d\d)")
_TIME = re.compile(r"(\d{1,2}):(\d\d):(\d\d(?:\.\d*)?)")
_SCALES = {
    "utc": ("UTC", "UT", "UT1", "GMT", "UTC APPROXIMATE", "Z"),
    "tai": ("TAI", "IAT"),
    "tt": ("TT", "TDT", "ET"),
    "tdb": ("TDB",),
    "tcb": ("TCB",),
    "tcg": ("TCG",),
}
_SCALE_OF = {name: scale for scale, names in _SCALES.items() for name in names}
_MJD_RANGE = (30000.0, 100000.0)


def stated(header: Mapping[str, Any], key: str) -> Any:
    """Return the value of a card, None where it is missing, undefined or blank."""
    value = header.get(key)
    if value is None or type(value).__name__ == "Undefined":
        return None
    if isinstance(value, str):
        return value.strip() or None
    return value


def first_stated(header: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str | None, Any]:
    """Return (key, value) of the first of `keys` that states something, else (None, None)."""
    for key in keys:
        value = stated(header, key)
        if value is not None:
            return key, value
    return None, None


def number_of(value: Any) -> float:
    """Return a number, a numeric text or a sexagesimal angle (in its first unit) as a float.

    Raises ValueError for anything else, NaN and infinity included.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value} is a logical value, not a number")
    if isinstance(value, str):
        match = _SEXAGESIMAL.fullmatch(value.strip())
        if match:
            sign, degrees, minutes, seconds = match.groups()
            angle = int(degrees) + float(minutes) / 60 + float(seconds or 0) / 3600
            return -angle if sign == "-" else angle
        value = re.sub(r"(?<=\d)[dD](?=[+-]?\d)", "e", value.strip())
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number


def text_fact(header: Mapping[str, Any], rule: FieldRule) -> str | None:
    """Return the text of a fact by its rule, None where nothing states it."""
    _, value = first_stated(header, rule.keys)
    if value is None:
        return None if rule.default is None else str(rule.default)
    text = " ".join(str(value).split())
    for pattern, meaning in rule.values.items():
        if re.fullmatch(pattern, text):
            return meaning
    return text


def number_fact(name: str, header: Mapping[str, Any], rule: FieldRule) -> float | None:
    """Return the number of a fact by its rule, in the fact's unit; None where nothing states it.

    Raises RejectedFile where what is stated is no number or out of bounds.
    """
    key, value = first_stated(header, rule.keys)
    if value is None:
        return None if rule.default is None else checked_number(name, rule.default, "the survey")
    try:
        number = number_of(value) * rule.scale
    except ValueError as error:
        raise _bad(name, value, f"card {key}", str(error)) from error
    if rule.unit is not None:
        number = float((number * u.Unit(rule.unit)).to_value(u.Unit(FIELDS[name].unit)))
    if rule.correction == "west_positive":
        number = -number
    return checked_number(name, number, f"card {key}")


def checked_number(name: str, value: Any, source: str) -> float:
    """Return `value` if it is within the bounds of the fact `name`; raises RejectedFile."""
    field = FIELDS[name]
    try:
        number = number_of(value)
    except ValueError as error:
        raise _bad(name, value, source, str(error)) from error
    is_high_enough = number >= field.low if field.is_low_allowed else number > field.low
    if not (is_high_enough and number <= field.high):
        bounds = f"{'[' if field.is_low_allowed else '('}{field.low:g}, {field.high:g}]"
        raise _bad(name, number, source, f"allowed is {bounds} {field.unit}".strip())
    return number


def _bad(name: str, value: Any, source: str, why: str) -> RejectedFile:
    return RejectedFile(
        f"{name} is {str(value)[:40]!r} in {source}: {why}; correct it in the sidecar or in the "
        "survey's declaration",
        reason=Reason.BAD_VALUE,
        field=name,
    )


def parsed_time(text: str, *, scale: str, time_of_day: str | None = None) -> Time:
    """Return the Time of an ISO date, an old-style DD/MM/YY date, or a date and a time of day.

    Raises RejectedFile (bad_time) where there is no time of day, or nonsense.
    """
    old = _OLD_DATE.fullmatch(text)
    iso = f"19{old[3]}-{old[2]}-{old[1]}" if old else text
    match = _DATE.fullmatch(iso)
    if match is None:
        raise _bad_time(f"the date {text[:40]!r} is not of the form YYYY-MM-DDThh:mm:ss")
    day, clock = match.groups()
    if clock is None:
        found = None if time_of_day is None else _TIME.fullmatch(time_of_day.strip())
        if found is None:
            raise _bad_time(f"the date {text[:40]!r} has no time of day, got {time_of_day!r}")
        clock = f"{int(found[1]):02d}:{found[2]}:{found[3]}"
    try:
        with offline_time():
            return Time(f"{day}T{clock}", format="isot", scale=scale)
    except ValueError as error:
        raise _bad_time(f"{text[:40]!r} is no point in time: {error}") from error


def _mjd(value: Any, key: str, scale: str) -> Time:
    try:
        mjd = number_of(value)
    except ValueError as error:
        raise _bad_time(f"{key} is {str(value)[:40]!r}: {error}") from error
    if not _MJD_RANGE[0] <= mjd <= _MJD_RANGE[1]:
        raise _bad_time(f"{key} is {mjd}, allowed are {_MJD_RANGE[0]} to {_MJD_RANGE[1]}")
    with offline_time():
        return Time(mjd, format="mjd", scale=scale)


def start_of(header: Mapping[str, Any], rule: TimeRule, *, exposure_time_s: float) -> Time:
    """Return the start of the exposure as the header states it, in TAI.

    The header's TIMESYS says in which scale; UT1 is taken as UTC (0.9 s at most). Where only the
    middle is stated, half the exposure time is taken off. Raises RejectedFile (bad_time).
    """
    scale = _scale_of(header, rule)
    key, value = first_stated(header, rule.start)
    is_mid = False
    if key is None:
        mjd_key, mjd = first_stated(header, rule.mjd_start)
        if mjd_key is None:
            key, value = first_stated(header, rule.mid)
            mjd_key, mjd = first_stated(header, rule.mjd_mid) if key is None else (None, None)
            is_mid = True
        if mjd_key is not None:
            time = _mjd(mjd, mjd_key, scale)
        elif key is None:
            keys = rule.start + rule.mjd_start + rule.mid + rule.mjd_mid
            raise _bad_time(f"no card states when it was taken (looked for {', '.join(keys)})")
    if key is not None:
        _, clock = first_stated(header, rule.time_of_day)
        time = parsed_time(
            str(value), scale=scale, time_of_day=None if clock is None else str(clock)
        )
    with offline_time():
        shift_s = -exposure_time_s / 2 if is_mid else rule.shutter_offset_s
        start = time.tai + shift_s * u.s
    if not _MJD_RANGE[0] <= start.mjd <= _MJD_RANGE[1]:
        raise _bad_time(f"it would be in the year {start.ymdhms['year']}")
    return start


def _scale_of(header: Mapping[str, Any], rule: TimeRule) -> str:
    value = stated(header, rule.scale_key)
    if value is None:
        return rule.scale
    name = str(value).strip().upper()
    if name not in _SCALE_OF:
        raise _bad_time(f"{rule.scale_key} is {name[:40]!r}; known are {', '.join(_SCALE_OF)}")
    return _SCALE_OF[name]


def _bad_time(what: str) -> RejectedFile:
    return RejectedFile(
        f"the time of the exposure is not usable: {what}; state time_start_utc in the sidecar",
        reason=Reason.BAD_TIME,
    )
