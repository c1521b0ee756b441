"""Which reference of a tile is in use, and for which nights: the database decides, Dagster is told.

The newest passing version per survey and filter is promoted. `current_reference` is an external
asset; its data version is the hash over what is promoted in the tile, reported as an observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.reference.inputs import declared_rules
from astrid_assets.reference.selection import is_eligible
from astrid_resources.database import (
    DifferenceRun,
    Observation,
    ProductRow,
    ReferenceImage,
    Survey,
    utc_now,
)
from astrid_resources.database.connection import Database
from astrid_resources.identity import sha256_json
from astrid_resources.products import Verdict


@dataclass(frozen=True)
class TileReferences:
    """What is promoted in a tile: a hash over it, and a line per survey and filter for people."""

    tile: str
    data_version: str
    summary: tuple[str, ...]


def promote(database: Database) -> tuple[TileReferences, ...]:
    """Promote the newest passing version of every tile, survey and filter; return all tiles'.

    Running it again changes nothing.
    """
    return database.transaction(_promote, lock="promotion")


def _promote(session: Session) -> tuple[TileReferences, ...]:
    newest: dict[tuple[str, UUID, str], ReferenceImage] = {}
    for row in _passing(session):
        newest[(row.tile, row.survey_id, row.filter_band)] = row
    chosen = {row.id for row in newest.values()}
    for row in session.scalars(sa.select(ReferenceImage).where(ReferenceImage.is_current)):
        if row.id not in chosen:
            row.is_current = False
    for row in newest.values():
        if not row.is_current:
            row.is_current, row.promoted_at = True, utc_now()
    return _by_tile(newest.values())


def current_reference(
    session: Session, *, tile: str, survey_id: UUID, filter_band: str
) -> ReferenceImage | None:
    """Return the promoted reference of the same survey and filter, None where there is none."""
    return session.scalars(
        sa.select(ReferenceImage).where(
            ReferenceImage.tile == tile,
            ReferenceImage.survey_id == survey_id,
            ReferenceImage.filter_band == filter_band,
            ReferenceImage.is_current,
        )
    ).one_or_none()


def earlier_references(session: Session, promoted: ReferenceImage) -> list[ReferenceImage]:
    """Return the passing versions before the promoted one, newest first."""
    query = (
        sa.select(ReferenceImage)
        .join(ProductRow, ProductRow.id == ReferenceImage.manifest_id)
        .where(
            ReferenceImage.tile == promoted.tile,
            ReferenceImage.survey_id == promoted.survey_id,
            ReferenceImage.filter_band == promoted.filter_band,
            ReferenceImage.version < promoted.version,
            ProductRow.verdict == Verdict.PASSED,
            ProductRow.withdrawn_at.is_(None),
        )
        .order_by(ReferenceImage.version.desc(), ReferenceImage.id)
    )
    return list(session.scalars(query))


def waiting_partitions(
    database: Database, surveys: Mapping[str, SurveyConfig]
) -> dict[tuple[date, str], str]:
    """Return the (night, tile) whose differences were not made with the promoted reference.

    The value identifies what is promoted in the tile and since when: what is promoted a second
    time, after another had taken its place, is asked for anew. Only nights that have been
    calibrated and that the survey's rule lets use the reference are returned: a night in its own
    reference never is.
    """
    query = (
        sa.select(Observation.night, Observation.tile, Survey.name, ReferenceImage.id)
        .join(Survey, Survey.id == Observation.survey_id)
        .join(
            ReferenceImage,
            sa.and_(
                ReferenceImage.tile == Observation.tile,
                ReferenceImage.survey_id == Observation.survey_id,
                ReferenceImage.filter_band == Observation.filter_band,
                ReferenceImage.is_current,
            ),
        )
        .join(
            DifferenceRun,
            sa.and_(
                DifferenceRun.observation_id == Observation.id,
                DifferenceRun.is_superseded.is_(False),
            ),
        )
        .where(
            Observation.is_current,
            sa.func.coalesce(DifferenceRun.reference_sha256, "") != ReferenceImage.content_sha256,
        )
        .distinct()
        .order_by(Observation.night, Observation.tile)
    )
    waiting: dict[tuple[date, str], str] = {}
    rules = declared_rules(database, surveys)
    with database.read() as session:
        promoted = session.scalars(sa.select(ReferenceImage).where(ReferenceImage.is_current)).all()
        since = {
            tile: [row.promoted_at.isoformat() if row.promoted_at else "" for row in group]
            for tile, group in _tiles(promoted)
        }
        versions = {
            entry.tile: sha256_json([entry.data_version, max(since[entry.tile])])
            for entry in _by_tile(promoted)
        }
        input_nights = {
            row.id: [date.fromisoformat(text) for text in row.input_nights] for row in promoted
        }
        for night, tile, survey, reference_id in session.execute(query):
            nights = input_nights[reference_id]
            if is_eligible(nights, science_night=night, rule=rules[survey]):
                waiting[(night, tile)] = versions[tile]
    return waiting


def _passing(session: Session) -> list[ReferenceImage]:
    query = (
        sa.select(ReferenceImage)
        .join(ProductRow, ProductRow.id == ReferenceImage.manifest_id)
        .where(ProductRow.is_current, ProductRow.verdict == Verdict.PASSED)
        .order_by(ReferenceImage.version, ReferenceImage.id)
    )
    return list(session.scalars(query))


def _tiles(rows: Iterable[ReferenceImage]) -> list[tuple[str, list[ReferenceImage]]]:
    tiles: dict[str, list[ReferenceImage]] = {}
    for row in rows:
        tiles.setdefault(row.tile, []).append(row)
    return sorted(tiles.items())


def _by_tile(rows: Iterable[ReferenceImage]) -> tuple[TileReferences, ...]:
    return tuple(
        TileReferences(
            tile,
            sha256_json(sorted([str(r.survey_id), r.filter_band, r.content_sha256] for r in group)),
            tuple(
                f"{r.filter_band}: {r.n_inputs} inputs, nights {r.first_night} to {r.last_night}"
                for r in sorted(group, key=lambda r: (r.filter_band, str(r.id)))
            ),
        )
        for tile, group in _tiles(rows)
    )
