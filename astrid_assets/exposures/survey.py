"""A survey or instrument as a declaration: a TOML file, and nothing else, adds one.

How header cards become the facts of `fields.FIELDS`, where the observatory stands, how tiles are
named, what is known of the frames' processing, and how references are chosen.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from astropy import units as u
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic import Field as Declared

from astrid_assets.exposures.fields import FIELDS
from astrid_assets.exposures.tiles import healpix_order_for
from astrid_resources.images import Algorithm

SHIPPED_FOLDER = Path(__file__).parent / "surveys"
SURVEY_NAME = r"[a-z][a-z0-9_]{0,40}"


class SurveyError(ValueError):
    """A survey declaration that cannot be used; the message names the file and the entry."""


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_regex)]


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldRule(_Declaration):
    """How one fact is read: the first of `keys` that has a value, else `default`.

    unit: what a number's header value is in, where it differs from the field's own unit.
    scale: header value times this. values: regular expression -> value, the first that matches the
    whole text. correction: `west_positive` longitudes have their sign turned.
    """

    keys: tuple[str, ...] = ()
    default: str | float | None = None
    unit: str | None = None
    scale: float = 1.0
    values: dict[Pattern, str] = {}
    correction: Literal["west_positive"] | None = None


class TimeRule(_Declaration):
    """When an exposure began: ISO dates, else MJDs; `scale` where the header has no TIMESYS.

    time_of_day: keys that hold the time where the date key holds a date only.
    mid, mjd_mid: keys of the middle of the exposure, used where no start is stated.
    shutter_offset_s: added to the stated start.
    """

    start: tuple[str, ...] = ("DATE-BEG", "DATE-OBS")
    time_of_day: tuple[str, ...] = ()
    mjd_start: tuple[str, ...] = ("MJD-BEG", "MJD-OBS")
    mid: tuple[str, ...] = ("DATE-AVG",)
    mjd_mid: tuple[str, ...] = ("MJD-AVG",)
    scale_key: str = "TIMESYS"
    scale: Literal["utc", "tai", "tt", "tdb"] = "utc"
    shutter_offset_s: float = 0.0


class Site(_Declaration):
    """An observatory; `is_in_space` gives the UTC day as its night."""

    longitude_east_deg: float | None = Declared(default=None, ge=-360, le=360)
    latitude_deg: float | None = Declared(default=None, ge=-90, le=90)
    height_m: float | None = None
    is_in_space: bool = False

    @model_validator(mode="after")
    def _has_a_longitude(self) -> Self:
        if (self.longitude_east_deg is None) != self.is_in_space:
            raise ValueError("a site has longitude_east_deg, or is_in_space = true, never both")
        return self


class TileRule(_Declaration):
    """Either `fields`: header keys of field and detector; or `field_size_deg`: HEALPix cells."""

    field_size_deg: float | None = None
    fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one_scheme(self) -> Self:
        if (self.field_size_deg is None) == (not self.fields):
            raise ValueError("tiles need either field_size_deg or fields (header keys)")
        if self.field_size_deg is not None:
            healpix_order_for(self.field_size_deg)
        return self

    @property
    def healpix_order(self) -> int | None:
        """The HEALPix order of the tiles; None where the survey has fixed fields."""
        return None if self.field_size_deg is None else healpix_order_for(self.field_size_deg)


class ReferenceDeclaration(_Declaration):
    """The rule by which reference inputs are chosen; dates are nights, inclusive."""

    nights_from: str | None = Declared(default=None, pattern=r"\d{4}-\d\d-\d\d")
    nights_to: str | None = Declared(default=None, pattern=r"\d{4}-\d\d-\d\d")
    n_inputs_min: int = Declared(default=3, ge=1)
    n_inputs_max: int = Declared(default=30, ge=1)
    seeing_max_arcsec: float | None = Declared(default=None, gt=0)
    gap_min_days: int = Declared(default=30, ge=1)

    @model_validator(mode="after")
    def _is_satisfiable(self) -> Self:
        if self.n_inputs_min > self.n_inputs_max:
            raise ValueError(f"n_inputs_min {self.n_inputs_min} > n_inputs_max {self.n_inputs_max}")
        if self.nights_from and self.nights_to and self.nights_from > self.nights_to:
            raise ValueError(f"no night lies from {self.nights_from} to {self.nights_to}")
        return self


class DifferenceDeclaration(_Declaration):
    """What subtracts, and a second algorithm that runs beside it to tell where the two disagree."""

    algorithm: Algorithm = "zogy"
    compare_with: Algorithm | None = None

    @model_validator(mode="after")
    def _compares_two(self) -> Self:
        if self.compare_with == self.algorithm:
            raise ValueError(f"{self.algorithm} cannot be compared with itself")
        return self


Conditions = dict[str, Pattern]
"""Header key -> regular expression its text must match wholly; all of them must hold."""


class SurveyConfig(_Declaration):
    """Everything that is declared of a survey; see the shipped TOML files for examples."""

    name: str = Declared(pattern=f"^{SURVEY_NAME}$")
    description: str
    base_url: str | None = None
    match: Conditions = {}
    not_science: tuple[Conditions, ...] = ()
    fields: dict[str, FieldRule] = {}
    time: TimeRule = TimeRule()
    sites: dict[str, Site] = {}
    tiles: TileRule
    filters: dict[str, tuple[Pattern, ...]] = {}
    sidecar: str | None = None
    resampled: bool | tuple[Conditions, ...] = False
    sky_subtracted: bool | tuple[Conditions, ...] = False
    synthetic: bool | tuple[Conditions, ...] = False
    mask_ignored_bits: int = Declared(default=0, ge=0)
    reference: ReferenceDeclaration = ReferenceDeclaration()
    difference: DifferenceDeclaration = DifferenceDeclaration()
    folder: Path | None = Declared(default=None, exclude=True)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        unknown = sorted(set(self.fields) - set(FIELDS))
        if unknown:
            raise ValueError(f"unknown fields {unknown}; known are {sorted(FIELDS)}")
        for name, rule in self.fields.items():
            if rule.unit is not None:
                u.Unit(rule.unit).to(u.Unit(FIELDS[name].unit))
        site = self.fields.get("site")
        named = set() if site is None else {*site.values.values(), site.default} - {None}
        if not named <= set(self.sites):
            raise ValueError(f"site names {sorted(map(str, named - set(self.sites)))} have no site")
        return self

    @cached_property
    def declaration(self) -> dict[str, Any]:
        """The declaration as plain JSON, for the database and for a digest of the rules."""
        return self.model_dump(mode="json")

    @property
    def sidecar_path(self) -> Path | None:
        """The sidecar beside the survey's TOML, if one is declared."""
        if self.sidecar is None or self.folder is None:
            return None
        return self.folder / self.sidecar

    def is_matched_by(self, header: Mapping[str, Any]) -> bool:
        """Whether the survey declares conditions and `header` meets them all."""
        return bool(self.match) and meets(header, self.match)


def meets(header: Mapping[str, Any], conditions: Mapping[str, str]) -> bool:
    """Whether every key of `conditions` is in `header` and its text matches wholly."""
    return all(
        header.get(key) is not None and re.fullmatch(pattern, str(header[key]).strip()) is not None
        for key, pattern in conditions.items()
    )


def holds(header: Mapping[str, Any], stated: bool | tuple[Mapping[str, str], ...]) -> bool:
    """Whether a declared fact holds: stated outright, or any of its conditions met."""
    if isinstance(stated, bool):
        return stated
    return any(meets(header, conditions) for conditions in stated)


def read_survey(path: Path) -> SurveyConfig:
    """Return the survey declared by a TOML file.

    Raises SurveyError naming the file and what is wrong in it.
    """
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        return SurveyConfig.model_validate({**declared, "folder": path.parent})
    except ValueError as error:
        raise SurveyError(f"the survey declaration {path.name} cannot be used: {error}") from error


def load_surveys(folders: Iterable[Path] = ()) -> dict[str, SurveyConfig]:
    """Return all surveys by name: the shipped ones, then those of `folders`, which replace them.

    A folder that does not exist declares nothing. Raises SurveyError for a bad declaration and for
    one name declared twice in one folder.
    """
    surveys: dict[str, SurveyConfig] = {}
    for folder in (SHIPPED_FOLDER, *folders):
        here: dict[str, SurveyConfig] = {}
        for path in sorted(Path(folder).glob("*.toml")):
            survey = read_survey(path)
            if survey.name in here:
                raise SurveyError(f"{path.name} declares {survey.name!r} a second time")
            here[survey.name] = survey
        surveys.update(here)
    return surveys
