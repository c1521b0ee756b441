"""What one delivered file holds, by its survey's declaration and sidecar: exposures or a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from astrid_assets.exposures.decode import Decoder, Inspection
from astrid_assets.exposures.headers import ExposureHeader, translate
from astrid_assets.exposures.prescan import prescan, require_checksums
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.sidecar import Sidecar, SidecarRow
from astrid_assets.exposures.survey import SurveyConfig

_CLOCK_ERROR = timedelta(days=1)


@dataclass(frozen=True)
class Examined:
    """The exposures of a file; `rejected`: its other images, each with extension and reason."""

    survey: SurveyConfig
    row: SidecarRow
    exposures: tuple[ExposureHeader, ...]
    rejected: tuple[str, ...] = ()


def survey_of_name(name: str, surveys: Mapping[str, SurveyConfig]) -> SurveyConfig | None:
    """Return the survey that the first folder of a delivered name states; None in the top folder.

    Raises RejectedFile (no_survey) for a folder that is no survey's.
    """
    folders = PurePosixPath(name).parts[:-1]
    if not folders:
        return None
    if folders[0] not in surveys:
        raise RejectedFile(
            f"the folder {folders[0][:60]!r} names no survey; known are {sorted(surveys)}: rename "
            "it, or declare the survey in a TOML file of the survey folder",
            reason=Reason.NO_SURVEY,
        )
    return surveys[folders[0]]


def examine(
    path: Path,
    *,
    name: str,
    sha256: str,
    survey: SurveyConfig | None,
    surveys: Mapping[str, SurveyConfig],
    sidecars: Mapping[str, Sidecar],
    decoder: Decoder,
    now: datetime,
) -> Examined:
    """Return the exposures a file holds.

    path: its bytes. name: as it was delivered. survey: where it is known, else the one whose
    `match` conditions an image of the file meets. sidecars: by survey name.
    Raises RejectedFile where the file cannot be taken.
    """
    scan = prescan(path)
    candidates = surveys.values() if survey is None else (survey,)
    if not any(sidecars[item.name].names(sha256) for item in candidates if item.name in sidecars):
        require_checksums(scan)
    if survey is None:
        survey = _matching(decoder.inspect(path, declared_bytes=scan.declared_bytes), surveys)
    row = sidecars.get(survey.name, Sidecar()).row_for(file=name, sha256=sha256)
    found = decoder.inspect(
        path,
        cards=dict(row.cards),
        ignored_bits=survey.mask_ignored_bits,
        declared_bytes=scan.declared_bytes,
    )
    exposures: list[ExposureHeader] = []
    problems = [
        (index, RejectedFile(text, reason=Reason(why))) for index, _, why, text in found.rejected
    ]
    for image in found.images:
        try:
            exposure = translate(image, survey, file_name=name, sidecar=row)
            _check_not_ahead(exposure, now)
            exposures.append(exposure)
        except RejectedFile as problem:
            problems.append((image.index, problem))
    if not exposures:
        raise problems[0][1]
    rejected = tuple(f"extension {index}: {item.code}: {item.message}" for index, item in problems)
    return Examined(survey, row, _distinct(exposures), rejected)


def _matching(found: Inspection, surveys: Mapping[str, SurveyConfig]) -> SurveyConfig:
    matching = [
        survey
        for survey in surveys.values()
        if any(survey.is_matched_by(image.header) for image in found.images)
    ]
    if len(matching) == 1:
        return matching[0]
    names = sorted(survey.name for survey in matching)
    raise RejectedFile(
        f"which survey it belongs to is not clear: its header meets the conditions of "
        f"{' and '.join(names) or 'none'}; put it into a folder named after its survey (one of "
        f"{sorted(surveys)})",
        reason=Reason.NO_SURVEY,
        matching=names,
    )


def _check_not_ahead(exposure: ExposureHeader, now: datetime) -> None:
    if exposure.time_start_utc > now + _CLOCK_ERROR:
        raise RejectedFile(
            f"the exposure would begin at {exposure.time_start_utc:%Y-%m-%dT%H:%M:%S} UTC, which "
            "is in the future: correct time_start_utc in the sidecar",
            reason=Reason.BAD_TIME,
        )


def _distinct(exposures: list[ExposureHeader]) -> tuple[ExposureHeader, ...]:
    times_used = Counter((item.observation_id, item.detector) for item in exposures)
    return tuple(
        replace(item, detector="-".join(filter(None, (item.detector, f"hdu{item.hdu}"))))
        if times_used[item.observation_id, item.detector] > 1
        else item
        for item in exposures
    )
