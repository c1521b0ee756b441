"""Which tiles wait for their first reference although the rule finds enough inputs."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import sqlalchemy as sa

from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.reference.inputs import declared_rules, reference_groups
from astrid_assets.reference.selection import NotEnoughInputs, select_inputs
from astrid_resources.database import Observation, ProductRow, ReferenceImage
from astrid_resources.database.connection import Database
from astrid_resources.identity import sha256_json
from astrid_resources.products import Verdict


def due_references(database: Database, surveys: Mapping[str, SurveyConfig]) -> dict[str, str]:
    """Return tile -> hash of the inputs of each survey and filter that has no reference there."""
    due = {}
    rules = declared_rules(database, surveys)
    for tile in _tiles_without_reference(database):
        chosen = []
        known = _with_reference(database, tile)
        for group in reference_groups(database, tile):
            if (group.survey_id, group.filter_band) in known:
                continue
            try:
                inputs = select_inputs(
                    [entry.exposure for entry in group.inputs], rules[group.survey]
                )
            except NotEnoughInputs:
                continue
            chosen.append([group.survey, group.filter_band, [entry.key for entry in inputs]])
        if chosen:
            due[tile] = sha256_json(chosen)[:24]
    return due


def _with_reference(database: Database, tile: str) -> set[tuple[UUID, str]]:
    query = sa.select(ReferenceImage.survey_id, ReferenceImage.filter_band).where(
        ReferenceImage.tile == tile
    )
    with database.read() as session:
        return {(survey_id, band) for survey_id, band in session.execute(query)}


def _tiles_without_reference(database: Database) -> list[str]:
    known = sa.exists().where(
        ReferenceImage.tile == Observation.tile,
        ReferenceImage.survey_id == Observation.survey_id,
        ReferenceImage.filter_band == Observation.filter_band,
    )
    query = (
        sa.select(Observation.tile)
        .join(ProductRow, ProductRow.observation_id == Observation.id)
        .where(
            Observation.is_current,
            ProductRow.asset == "calibrated_exposures",
            ProductRow.is_current,
            ProductRow.verdict == Verdict.PASSED,
            ~known,
        )
        .distinct()
        .order_by(Observation.tile)
    )
    with database.read() as session:
        return list(session.scalars(query))
