"""Which calibrated exposures may enter a tile's references: asked of the database, by footprint.

Every exposure that overlaps the tile's own exposures counts, whatever its tile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import load_only

from astrid_assets.exposures.survey import ReferenceDeclaration, SurveyConfig
from astrid_assets.imaging.sphere import unit_vectors
from astrid_assets.reference.selection import InputExposure, ReferenceRule
from astrid_resources.database import Observation, ProductRow, ReferenceImage, Survey
from astrid_resources.database.connection import Database
from astrid_resources.products import Verdict

_NEEDED = (
    Observation.survey_id,
    Observation.filter_band,
    Observation.night,
    Observation.tile,
    Observation.footprint,
)
"""Columns of an exposure that choosing needs: a season's headers stay in the database."""


@dataclass(frozen=True)
class StoredInput:
    """A calibrated exposure with what selection and coaddition need of it."""

    exposure: InputExposure
    observation_id: UUID
    survey_id: UUID
    night: date
    image_key: str


@dataclass(frozen=True)
class ReferenceGroup:
    """The exposures of one survey and filter that overlap a tile's own."""

    survey: str
    survey_id: UUID
    filter_band: str
    inputs: tuple[StoredInput, ...]


def rule_of(declared: ReferenceDeclaration) -> ReferenceRule:
    """Return the selection rule of a survey's declaration."""
    return ReferenceRule(
        nights_from=date.fromisoformat(declared.nights_from) if declared.nights_from else None,
        nights_to=date.fromisoformat(declared.nights_to) if declared.nights_to else None,
        n_inputs_min=declared.n_inputs_min,
        n_inputs_max=declared.n_inputs_max,
        seeing_max_arcsec=declared.seeing_max_arcsec or float("inf"),
        min_gap_days=declared.gap_min_days,
    )


def declared_rules(
    database: Database, surveys: Mapping[str, SurveyConfig]
) -> dict[str, ReferenceRule]:
    """Return the rule of every survey by name.

    Where a survey's declaration was taken away, the one recorded with its exposures holds: what
    one survey lost keeps no other waiting.
    """
    with database.read() as session:
        recorded = {row.name: row.header_mapping for row in session.scalars(sa.select(Survey))}
    declared = {name: survey.reference for name, survey in surveys.items()}
    for name, mapping in recorded.items():
        if name not in declared:
            rule = (mapping or {}).get("reference", {})
            known = {key: rule[key] for key in ReferenceDeclaration.model_fields if key in rule}
            declared[name] = ReferenceDeclaration.model_validate(known)
    return {name: rule_of(declaration) for name, declaration in declared.items()}


def reference_groups(database: Database, tile: str) -> tuple[ReferenceGroup, ...]:
    """Return, per survey and filter, the calibrated exposures that overlap the tile's exposures."""
    in_tile = sa.select(Observation.survey_id, Observation.filter_band).where(
        Observation.tile == tile, Observation.is_current
    )
    query = (
        sa.select(Observation, ProductRow, Survey.name)
        .options(load_only(*_NEEDED))
        .join(ProductRow, ProductRow.observation_id == Observation.id)
        .join(Survey, Survey.id == Observation.survey_id)
        .where(
            sa.tuple_(Observation.survey_id, Observation.filter_band).in_(in_tile),
            Observation.is_current,
            ProductRow.asset == "calibrated_exposures",
            ProductRow.is_current,
            ProductRow.verdict == Verdict.PASSED,
        )
        .order_by(Observation.night, Observation.id)
    )
    groups: dict[tuple[str, UUID, str], list[tuple[Observation, ProductRow]]] = defaultdict(list)
    with database.read() as session:
        for observation, product, survey in session.execute(query):
            key = (survey, observation.survey_id, observation.filter_band)
            groups[key].append((observation, product))
    found = []
    for (survey, survey_id, band), members in sorted(
        groups.items(), key=lambda item: item[0][0::2]
    ):
        own = [observation for observation, _ in members if observation.tile == tile]
        if not own:
            continue
        overlapping = overlaps([row.footprint for row, _ in members], [o.footprint for o in own])
        inputs = tuple(
            _stored_input(observation, product, survey)
            for (observation, product), keep in zip(members, overlapping, strict=True)
            if keep
        )
        found.append(ReferenceGroup(survey, survey_id, band, inputs))
    return tuple(found)


def version_of(database: Database, row_id: UUID, *, tile: str, group: ReferenceGroup) -> int:
    """Return the version a reference row has, or the next one of its tile, survey and filter."""
    same = (
        ReferenceImage.tile == tile,
        ReferenceImage.survey_id == group.survey_id,
        ReferenceImage.filter_band == group.filter_band,
    )
    with database.read() as session:
        known = session.get(ReferenceImage, row_id)
        if known is not None:
            return known.version
        newest = session.scalar(sa.select(sa.func.max(ReferenceImage.version)).where(*same))
    return (newest or 0) + 1


def overlaps(
    footprints: Sequence[Sequence[Sequence[float]]], own: Sequence[Sequence[Sequence[float]]]
) -> NDArray[np.bool_]:
    """Return which footprints may overlap any of `own`: their enclosing circles meet on the sphere.

    footprints: corners [[ra, dec], ...] in degrees. Circles enclose, so that none is missed.
    """
    centres, radii = _circles(footprints)
    own_centres, own_radii = _circles(own)
    cosine = np.clip(centres @ own_centres.T, -1, 1)
    touches = np.arccos(cosine) <= radii[:, None] + own_radii[None, :]
    return np.asarray(touches.any(axis=1))


def _circles(
    footprints: Sequence[Sequence[Sequence[float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.asarray(footprints, float)
    vectors = unit_vectors(corners[..., 0], corners[..., 1])
    centres = vectors.sum(axis=1)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    cosine = np.clip(np.einsum("nci,ni->nc", vectors, centres), -1, 1)
    return centres, np.arccos(cosine).max(axis=1)


def _stored_input(observation: Observation, product: ProductRow, survey: str) -> StoredInput:
    metrics: Mapping[str, object] = product.metrics
    exposure = InputExposure(
        key=product.product_id,
        survey=survey,
        filter_band=observation.filter_band,
        night=observation.night,
        seeing_arcsec=float(metrics["seeing_arcsec"]),  # type: ignore[arg-type]
        flux_limit_5sigma=float(metrics["flux_limit_5sigma_adu"]),  # type: ignore[arg-type]
        grade=str(metrics["grade"]),
        usable_fraction=1 - float(metrics["masked_fraction"]),  # type: ignore[arg-type]
    )
    return StoredInput(
        exposure,
        observation.id,
        observation.survey_id,
        observation.night,
        str(product.objects["image"]["key"]),
    )
