"""A header becomes the facts of an exposure: by the survey's declaration, corrected by its sidecar.

Nothing is guessed: what a survey needs and neither header, declaration nor sidecar states rejects
the exposure with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import PurePosixPath

from astropy import units as u
from astropy.io import fits
from astropy.time import Time

from astrid_assets.exposures.decode import InspectedImage
from astrid_assets.exposures.fields import FIELDS, TIME_FIELD
from astrid_assets.exposures.header_values import (
    checked_number,
    number_fact,
    parsed_time,
    start_of,
    stated,
    text_fact,
)
from astrid_assets.exposures.night import night_of, offline_time, wrap_longitude
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.sidecar import NOTHING, SidecarRow
from astrid_assets.exposures.survey import FieldRule, Site, SurveyConfig, holds, meets
from astrid_assets.exposures.tiles import checked_tile, field_tile, healpix_tile

_NO_RULE = FieldRule()
_BAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+'-]{0,31}")
_IDENTIFIER_MAX = 200
_SUFFIX = re.compile(r"(\.(fits|fit|fts|ftz|fz|gz))+$", re.IGNORECASE)
_TIME_CARDS = tuple(
    f"{kind}-{point}" for kind in ("DATE", "MJD") for point in ("OBS", "BEG", "AVG", "END")
)
_COUNTS = {"adu", "adus", "count", "counts", "ct", "cts", "dn", "data number"}
_ELECTRONS = {"electron", "electrons", "e-", "e", "photoelectron", "photoelectrons"}


@dataclass(frozen=True)
class Correction:
    """A card of the corrected header: its value (None: removed) and what the file said."""

    card: str
    value: str | float | None
    old: str | None


@dataclass(frozen=True)
class ExposureHeader:
    """The facts of one exposure; angles in degrees ICRS, time of mid-exposure in MJD TAI.

    observation_id is the survey's own; with detector and the file's sha256 it names the exposure.
    footprint: four corners (ra, dec). longitude_east_deg: None for an observatory in space.
    data_scale: counts of the whole exposure = pixel values times this.
    notes: what was odd and does not matter enough to reject.
    """

    survey: str
    observation_id: str
    detector: str
    hdu: int
    ra_deg: float
    dec_deg: float
    footprint: tuple[tuple[float, float], ...]
    pixel_scale_arcsec: float
    shape: tuple[int, int]
    time_start_utc: datetime
    mjd_mid_tai: float
    exposure_time_s: float
    filter_band: str
    gain_e_per_adu: float
    read_noise_e: float
    saturation_adu: float
    night: date
    tile: str
    longitude_east_deg: float | None
    instrument: str | None = None
    telescope: str | None = None
    airmass: float | None = None
    seeing_arcsec: float | None = None
    sky_level_adu: float | None = None
    zero_point_ab_mag: float | None = None
    zero_point_err: float | None = None
    is_resampled: bool = False
    is_sky_subtracted: bool = False
    is_synthetic: bool = False
    data_scale: float = 1.0
    mask_ignored_bits: int = 0
    cards: tuple[tuple[str, str], ...] = ()
    corrections: tuple[Correction, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Reading:
    """The header of one image with what overrides it, while it is read."""

    header: fits.Header
    survey: SurveyConfig
    facts: Mapping[str, str]
    corrections: list[Correction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def overridden(self, name: str) -> str | None:
        value = self.facts.get(name)
        card = None if name not in FIELDS else FIELDS[name].card
        if value is not None and card is not None:
            old = stated(self.header, card)
            kept = checked_number(name, value, "the sidecar") if _is_number(name) else value
            if old != kept:
                self.corrections.append(Correction(card, kept, None if old is None else str(old)))
        return value

    def text(self, name: str) -> str | None:
        value = self.overridden(name)
        if value is None:
            value = text_fact(self.header, self.survey.fields.get(name, _NO_RULE))
        if value is not None and len(value) > _IDENTIFIER_MAX:
            raise RejectedFile(
                f"{name} has {len(value)} characters, allowed are {_IDENTIFIER_MAX}",
                reason=Reason.BAD_VALUE,
                field=name,
            )
        return value

    def number(self, name: str) -> float | None:
        value = self.overridden(name)
        if value is not None:
            return checked_number(name, value, "the sidecar")
        rule = self.survey.fields.get(name, _NO_RULE)
        try:
            return number_fact(name, self.header, rule)
        except RejectedFile as problem:
            if FIELDS[name].is_required:
                raise
            self.notes.append(problem.message)
            return None

    def required(self, name: str) -> float:
        value = self.number(name)
        if value is None:
            raise self.missing(name)
        return value

    def missing(self, name: str) -> RejectedFile:
        keys = self.survey.fields.get(name, _NO_RULE).keys
        return RejectedFile(
            f"{name} is not stated: looked for {', '.join(keys) or 'no card'}; give it in the "
            f"sidecar, or a card or default in the declaration of survey {self.survey.name!r}",
            reason=Reason.MISSING_VALUE,
            field=name,
        )


def _is_number(name: str) -> bool:
    return FIELDS[name].kind == "number"


def translate(
    image: InspectedImage, survey: SurveyConfig, *, file_name: str, sidecar: SidecarRow = NOTHING
) -> ExposureHeader:
    """Return the facts of one science image of a file.

    image: as decoded, with its header and geometry (the sidecar's cards already in both).
    sidecar: the row that speaks of this file; its facts win over the header's.
    Raises RejectedFile with the reason where a needed fact is missing, wrong or out of bounds.
    """
    _check_science(image.header, survey)
    reading = _Reading(image.header, survey, dict(sidecar.facts))
    exposure_time_s = reading.required("exposure_time_s")
    start_tai = _start(reading, exposure_time_s)
    longitude = _longitude(reading)
    with offline_time():
        mid = start_tai + exposure_time_s / 2 * u.s
        mjd_mid_tai = float(mid.tai.mjd)
        start_utc = start_tai.utc.to_datetime(timezone=UTC, leap_second_strict="silent")
    gain, data_scale = _counts(reading, exposure_time_s)
    place = image.geometry
    return ExposureHeader(
        survey=survey.name,
        observation_id=reading.text("observation_id") or _stem(file_name),
        detector=reading.text("detector") or (image.name if image.name != "PRIMARY" else ""),
        hdu=image.index,
        ra_deg=place.ra,
        dec_deg=place.dec,
        footprint=place.corners,
        pixel_scale_arcsec=place.pixel_scale_arcsec,
        shape=image.shape,
        time_start_utc=start_utc,
        mjd_mid_tai=mjd_mid_tai,
        exposure_time_s=exposure_time_s,
        filter_band=_band(reading),
        gain_e_per_adu=gain,
        read_noise_e=reading.required("read_noise_e"),
        saturation_adu=reading.required("saturation_adu") * data_scale,
        night=night_of(mid, longitude_east_deg=longitude),
        tile=_tile(reading, place.ra, place.dec),
        longitude_east_deg=longitude,
        instrument=reading.text("instrument"),
        telescope=reading.text("telescope"),
        airmass=reading.number("airmass"),
        seeing_arcsec=reading.number("seeing_arcsec"),
        sky_level_adu=reading.number("sky_level_adu"),
        zero_point_ab_mag=reading.number("zero_point_ab_mag"),
        zero_point_err=reading.number("zero_point_err"),
        is_resampled=holds(image.header, survey.resampled),
        is_sky_subtracted=holds(image.header, survey.sky_subtracted),
        is_synthetic=holds(image.header, survey.synthetic),
        data_scale=data_scale,
        mask_ignored_bits=survey.mask_ignored_bits,
        cards=sidecar.cards,
        corrections=tuple(reading.corrections),
        notes=tuple(reading.notes),
    )


def corrected_header(header: fits.Header, corrections: tuple[Correction, ...]) -> fits.Header:
    """Return `header` with the sidecar's values in their cards, the old ones told in HISTORY."""
    out = header.copy()
    for item in corrections:
        if item.value is None:
            out.remove(item.card, ignore_missing=True, remove_all=True)
        else:
            out[item.card] = item.value
        was = "was missing" if item.old is None else f"was {item.old}"
        out.add_history(f"AstrID sidecar: {item.card} {was}")
    return out


def _check_science(header: fits.Header, survey: SurveyConfig) -> None:
    for conditions in survey.not_science:
        if meets(header, conditions):
            said = ", ".join(f"{key} is {str(header[key])[:40]!r}" for key in conditions)
            raise RejectedFile(
                f"this is no science image: {said}, which survey {survey.name!r} declares as such",
                reason=Reason.NOT_SCIENCE,
            )


def _start(reading: _Reading, exposure_time_s: float) -> Time:
    text = reading.facts.get(TIME_FIELD)
    if text is None:
        return start_of(reading.header, reading.survey.time, exposure_time_s=exposure_time_s)
    time = parsed_time(text, scale="utc")
    with offline_time():
        stated_mjd = float(time.mjd)
    for card in _TIME_CARDS:
        old = stated(reading.header, card)
        if old is not None and card not in ("DATE-OBS", "MJD-OBS"):
            reading.corrections.append(Correction(card, None, str(old)))
    for card, value in (("DATE-OBS", time.isot), ("MJD-OBS", stated_mjd), ("TIMESYS", "UTC")):
        old = stated(reading.header, card)
        reading.corrections.append(Correction(card, value, None if old is None else str(old)))
    with offline_time():
        return time.tai


def _longitude(reading: _Reading) -> float | None:
    survey = reading.survey
    override = reading.facts.get("longitude_east_deg")
    if override is not None:
        return wrap_longitude(checked_number("longitude_east_deg", override, "the sidecar"))
    site = _site(reading)
    if site is not None:
        return None if site.longitude_east_deg is None else wrap_longitude(site.longitude_east_deg)
    longitude = reading.number("longitude_east_deg")
    if longitude is None:
        raise RejectedFile(
            f"the observatory's longitude is not known: survey {survey.name!r} declares no site, "
            "and the header states none that it declares; add [sites] to the survey's declaration "
            "or longitude_east_deg to the sidecar"
            + "".join(f" ({note})" for note in reading.notes),
            reason=Reason.NO_SITE,
        )
    return wrap_longitude(longitude)


def _site(reading: _Reading) -> Site | None:
    sites = reading.survey.sites
    name = reading.text("site")
    if name is None:
        return next(iter(sites.values())) if len(sites) == 1 else None
    if name not in sites:
        raise RejectedFile(
            f"the site is {name[:60]!r}, survey {reading.survey.name!r} declares {sorted(sites)}",
            reason=Reason.NO_SITE,
        )
    return sites[name]


def _band(reading: _Reading) -> str:
    value = reading.text("filter_band")
    if value is None:
        raise reading.missing("filter_band")
    for band, patterns in reading.survey.filters.items():
        if any(re.fullmatch(pattern, value) for pattern in patterns):
            return band
    if reading.survey.filters or not _BAND.fullmatch(value):
        known = sorted(reading.survey.filters)
        raise RejectedFile(
            f"the filter is {value[:60]!r}; survey {reading.survey.name!r} declares "
            f"{known or 'none, so that it must be one short word'}: add it under [filters]",
            reason=Reason.BAD_VALUE,
            field="filter_band",
        )
    return value


def _counts(reading: _Reading, exposure_time_s: float) -> tuple[float, float]:
    unit = (reading.text("data_unit") or "adu").lower()
    is_rate = unit.endswith(("/s", "/sec", " s-1", "/second"))
    base = re.sub(r"\s*(/s(ec|econd)?| s-1)$", "", unit)
    if base not in _COUNTS | _ELECTRONS:
        raise RejectedFile(
            f"the pixels are in {unit[:40]!r}; counts or electrons (or these per second) are "
            "needed: correct data_unit in the survey's declaration",
            reason=Reason.UNSUPPORTED_UNIT,
        )
    gain = reading.required("gain_e_per_adu") if base in _COUNTS else 1.0
    return gain, exposure_time_s if is_rate else 1.0


def _tile(reading: _Reading, ra_deg: float, dec_deg: float) -> str:
    rule = reading.survey.tiles
    if rule.healpix_order is not None:
        return checked_tile(healpix_tile(ra_deg, dec_deg, order=rule.healpix_order))
    parts = [stated(reading.header, key) for key in rule.fields]
    if any(part is None for part in parts):
        raise RejectedFile(
            f"the tile is named by {', '.join(rule.fields)}, of which the header lacks some",
            reason=Reason.BAD_TILE,
        )
    return field_tile([str(part) for part in parts])


def _stem(file_name: str) -> str:
    return _SUFFIX.sub("", PurePosixPath(file_name).name)[:_IDENTIFIER_MAX]
