"""The report's exposures with their numbers, and the candidates that were rejected, by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import formats
from astrid_assets.catalog.report import ExposureLine, Rejection
from astrid_assets.catalog.why import CALIBRATION, DIFFERENCE, exposure_label
from astrid_resources.database import (
    Candidate,
    Detection,
    DifferenceRun,
    Observation,
    PreprocessRun,
    ProductRow,
)

EXPOSURE_COLUMNS = (
    ("night", ""),
    ("band", ""),
    ("grade", ""),
    ("seeing", "arcsec"),
    ("PSF stars", ""),
    ("sky scatter", "counts"),
    ("score scatter", "sigma"),
    ("noise factor", ""),
    ("flux ratio", ""),
    ("5 sigma flux", "counts"),
    ("candidates", ""),
    ("accepted", ""),
)
LOW_SCORE = "scored below the model's threshold"


_CHUNK = 500


@dataclass(frozen=True)
class Judged:
    """A current candidate with its current detection, None where it was not scored."""

    candidate: Candidate
    detection: Detection | None

    @property
    def is_accepted(self) -> bool:
        """Whether the model accepted it."""
        return self.detection is not None and self.detection.is_accepted


def judged_candidates(
    session: Session, observation_ids: Sequence[UUID]
) -> dict[UUID, list[Judged]]:
    """Return the current candidates of each exposure, in order of their id."""
    current = sa.select(ProductRow.id).where(ProductRow.is_current.is_(True))
    found: dict[UUID, list[Judged]] = {identity: [] for identity in observation_ids}
    for start in range(0, len(observation_ids), _CHUNK):
        chunk = observation_ids[start : start + _CHUNK]
        detections = {
            row.candidate_id: row
            for row in session.scalars(
                sa.select(Detection).where(
                    Detection.observation_id.in_(chunk),
                    Detection.is_superseded.is_(False),
                    Detection.manifest_id.in_(current),
                )
            )
        }
        candidates = (
            sa.select(Candidate)
            .where(
                Candidate.observation_id.in_(chunk),
                Candidate.is_superseded.is_(False),
                Candidate.manifest_id.in_(current),
            )
            .order_by(Candidate.id)
        )
        for row in session.scalars(candidates):
            found[row.observation_id].append(Judged(row, detections.get(row.id)))
    return found


def exposure_line(
    session: Session, observation: Observation, judged: Sequence[Judged]
) -> ExposureLine:
    """Return the row of an exposure in the metrics table, with the verdict of its last stage."""
    calibration = _run(session, PreprocessRun, CALIBRATION, observation.id)
    difference = _run(session, DifferenceRun, DIFFERENCE, observation.id)
    n_accepted = sum(item.is_accepted for item in judged)
    product = _latest(session, observation.id)
    is_searched = difference is not None and difference.status.value == "completed"
    cells = (
        observation.night.isoformat(),
        observation.filter_band,
        formats.NOT_KNOWN
        if calibration is None or calibration.grade is None
        else calibration.grade.value,
        formats.number_text(getattr(calibration, "seeing_arcsec", None)),
        formats.number_text(getattr(calibration, "n_psf_stars", None)),
        formats.number_text(getattr(calibration, "sky_sigma", None)),
        formats.number_text(getattr(difference, "score_std", None)),
        formats.number_text(getattr(difference, "noise_scale_factor", None)),
        formats.number_text(getattr(difference, "flux_ratio", None)),
        formats.number_text(getattr(difference, "limiting_flux_5sigma", None)),
        str(len(judged)) if is_searched else formats.NOT_KNOWN,
        str(n_accepted) if is_searched else formats.NOT_KNOWN,
    )
    return ExposureLine(
        exposure_label(observation),
        "pending" if product is None else product.verdict.value,
        "not calibrated yet" if product is None else "; ".join(product.reasons),
        cells,
    )


def _run(session: Session, table: Any, asset: str, observation_id: UUID) -> Any:
    return session.scalar(
        sa.select(table)
        .join(ProductRow, ProductRow.id == table.manifest_id)
        .where(
            table.observation_id == observation_id,
            ProductRow.asset == asset,
            ProductRow.is_current.is_(True),
        )
        .order_by(table.updated_at.desc(), table.id)
        .limit(1)
    )


def _latest(session: Session, observation_id: UUID) -> ProductRow | None:
    """Return the exposure's product of the last stage that has its verdict."""
    found = {
        row.asset: row
        for row in session.scalars(
            sa.select(ProductRow).where(
                ProductRow.observation_id == observation_id,
                ProductRow.asset.in_([CALIBRATION, DIFFERENCE]),
                ProductRow.is_current.is_(True),
            )
        )
    }
    return found.get(DIFFERENCE) or found.get(CALIBRATION)


def rejections(
    session: Session, judged: Sequence[Judged], *, max_examples: int
) -> tuple[Rejection, ...]:
    """Return the rejected candidates by rule, the most frequent rule first."""
    by_rule: dict[str, list[tuple[Candidate, str]]] = {}
    for item in judged:
        row = item.candidate
        if row.rejection_rule:
            value = f"value {formats.number_text(row.rejection_value)}"
            by_rule.setdefault(row.rejection_rule, []).append((row, value))
        elif item.detection is not None and not item.detection.is_accepted:
            value = f"probability {item.detection.confidence_score:.3f}"
            by_rule.setdefault(LOW_SCORE, []).append((row, value))
    result = []
    for rule, members in by_rule.items():
        members.sort(key=lambda pair: (-abs(pair[0].significance), str(pair[0].id)))
        examples = tuple(
            f"{formats.degrees_text(row.ra, row.dec)}  {row.significance:.1f} sigma, {value}, "
            f"{exposure_label(session.get_one(Observation, row.observation_id))}"
            for row, value in members[:max_examples]
        )
        result.append(Rejection(rule, len(members), examples))
    return tuple(sorted(result, key=lambda item: (-item.n, item.rule)))
