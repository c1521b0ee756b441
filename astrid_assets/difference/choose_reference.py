"""Which reference an exposure is subtracted by: the newest version that the rule allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from astrid_assets.difference.rows import UsedReference
from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.reference.inputs import declared_rules
from astrid_assets.reference.promotion import current_reference, earlier_references
from astrid_assets.reference.selection import is_eligible
from astrid_resources.database import Observation, Survey
from astrid_resources.database.connection import Database
from astrid_resources.images import NoWork


class NoReferenceYet(NoWork):
    """No reference is promoted that this night may use: none at all, or none old enough."""


def choose_reference(
    database: Database,
    observation: Observation,
    surveys: Mapping[str, SurveyConfig],
    *,
    is_stored: Callable[[str], bool],
) -> UsedReference:
    """Return the reference of the same survey and filter that this exposure may use.

    That is the promoted one. A night too early for it keeps the newest version before it that the
    rule allows and whose image `is_stored`: an old night run again does not lose its differences
    because its field has a newer reference.
    Raises NoReferenceYet (no work, not a failure); its words depend on the night and the rule
    alone, so that the record does not change while nothing usable comes.
    """
    with database.read() as session:
        survey = session.get_one(Survey, observation.survey_id).name
        promoted = current_reference(
            session,
            tile=observation.tile,
            survey_id=observation.survey_id,
            filter_band=observation.filter_band,
        )
        earlier = earlier_references(session, promoted) if promoted else []
    rule = declared_rules(database, surveys)[survey]
    for found in filter(None, (promoted, *earlier)):
        nights = [date.fromisoformat(text) for text in found.input_nights]
        may_use = is_eligible(nights, science_night=observation.night, rule=rule)
        if may_use and (found is promoted or is_stored(found.image_path)):
            return UsedReference(found.id, found.content_sha256, found.image_path)
    raise NoReferenceYet(
        f"no reference yet of survey {survey}, filter {observation.filter_band} in tile "
        f"{observation.tile} that ends {rule.min_gap_days} days or more before "
        f"{observation.night}"
    )
