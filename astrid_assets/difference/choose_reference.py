"""Which reference an exposure is subtracted by: the promoted one, where the rule allows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from astrid_assets.difference.rows import UsedReference
from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.reference.inputs import rule_of
from astrid_assets.reference.promotion import current_reference
from astrid_assets.reference.selection import is_eligible
from astrid_resources.database import Observation, Survey
from astrid_resources.database.connection import Database
from astrid_resources.images import NoWork


class NoReferenceYet(NoWork):
    """No reference of this survey and filter is promoted for the tile."""


class ReferenceNotForThisNight(NoWork):
    """The promoted reference holds frames of this night, or too close to it."""


def choose_reference(
    database: Database, observation: Observation, surveys: Mapping[str, SurveyConfig]
) -> UsedReference:
    """Return the reference of the same survey and filter that this exposure may use.

    Raises NoReferenceYet or ReferenceNotForThisNight (no work, not a failure).
    """
    with database.read() as session:
        survey = session.get_one(Survey, observation.survey_id).name
        found = current_reference(
            session,
            tile=observation.tile,
            survey_id=observation.survey_id,
            filter_band=observation.filter_band,
        )
    if found is None:
        raise NoReferenceYet(
            f"no reference yet for tile {observation.tile}, survey {survey}, filter "
            f"{observation.filter_band}"
        )
    nights = [date.fromisoformat(text) for text in found.input_nights]
    rule = rule_of(surveys[survey].reference)
    eligibility = is_eligible(nights, science_night=observation.night, rule=rule)
    if not eligibility:
        raise ReferenceNotForThisNight(f"no reference yet: {eligibility.reason}")
    return UsedReference(found.id, found.content_sha256, found.image_path)
