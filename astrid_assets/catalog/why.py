"""What happened to a position on each night: the one question every missed source raises."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import formats
from astrid_assets.catalog.current import (
    DIFFERENCE_ROLE,
    RECOVERY,
    footprint_holds,
    observations_near,
)
from astrid_assets.catalog.lightcurve import forced_point
from astrid_resources.database import (
    Candidate,
    Database,
    Detection,
    Model,
    ModelRun,
    Observation,
    ProductRow,
    Transient,
    TransientMember,
)
from astrid_resources.database.cone import cone_search
from astrid_resources.images import read_difference
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Verdict

DEFAULT_RADIUS_ARCSEC = 2.0
CALIBRATION, DIFFERENCE = "calibrated_exposures", "difference_images"


@dataclass(frozen=True)
class WhyEntry:
    """What became of the position in one exposure, or on a night without one that covers it.

    outcome: no_image, not_calibrated, exposure_rejected, not_differenced, no_reference,
    difference_rejected, no_data, below_threshold, candidate_rejected, not_scored,
    scored_below_threshold, accepted or in_transient.
    text: the same for a person. numbers: forced flux, score, rule, value, probability, ...
    """

    night: date
    exposure: str | None
    when_utc: str | None
    band: str | None
    outcome: str
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON's own types."""
        return asdict(self) | {"night": self.night.isoformat()}


def why(
    database: Database,
    store: ObjectStore,
    *,
    ra: float,
    dec: float,
    radius_arcsec: float = DEFAULT_RADIUS_ARCSEC,
) -> tuple[WhyEntry, ...]:
    """Return for every night that has exposures what happened at (ra, dec) in degrees, by time.

    Every exposure that covers the position has its entry; candidates within `radius_arcsec`
    count as the source asked for. A night whose exposures lie elsewhere has one entry.
    """
    with database.read() as session:
        covering = [
            row
            for row in observations_near(session, ra, dec, radius_arcsec)
            if footprint_holds(row, ra, dec)
        ]
        candidates = _candidates(session, ra, dec, radius_arcsec)
        found = [
            _of_exposure(session, store, row, candidates.get(row.id, ()), ra=ra, dec=dec)
            for row in covering
        ]
        nights = session.scalars(
            sa.select(Observation.night).where(Observation.is_current).distinct()
        )
        seen = {entry.night for entry in found}
        text = "no image of this night covers the position"
        found += [
            WhyEntry(night, None, None, None, "no_image", text)
            for night in nights
            if night not in seen
        ]
    return tuple(sorted(found, key=lambda e: (e.night, e.when_utc or "", e.exposure or "")))


def _candidates(
    session: Session, ra: float, dec: float, radius_arcsec: float
) -> dict[UUID, list[Candidate]]:
    near = cone_search(
        session, Candidate, ra, dec, radius_arcsec, where=Candidate.is_superseded.is_(False)
    )
    found: dict[UUID, list[Candidate]] = {}
    for item in near:
        row = session.get_one(Candidate, item["id"])
        product = session.get(ProductRow, row.manifest_id)
        if product is not None and product.is_current:
            found.setdefault(row.observation_id, []).append(row)
    return found


def _product(session: Session, asset: str, observation_id: UUID) -> ProductRow | None:
    return session.scalar(
        sa.select(ProductRow)
        .where(
            ProductRow.asset == asset,
            ProductRow.observation_id == observation_id,
            ProductRow.is_current,
        )
        .order_by(ProductRow.updated_at.desc(), ProductRow.id)
        .limit(1)
    )


def _of_exposure(
    session: Session,
    store: ObjectStore,
    observation: Observation,
    candidates: Sequence[Candidate],
    *,
    ra: float,
    dec: float,
) -> WhyEntry:
    stopped = _stopped(session, observation)
    if stopped is not None:
        return _entry(observation, *stopped)
    if candidates:
        return _of_candidates(session, observation, candidates)
    product = _product(session, DIFFERENCE, observation.id)
    stored = None if product is None else product.objects.get(DIFFERENCE_ROLE)
    if stored is None:
        return _entry(observation, "not_differenced", "the difference image is not stored")
    difference = read_difference(io.BytesIO(store.get_bytes(stored["key"])))
    point = forced_point(difference, ra=ra, dec=dec)
    if point is None:
        text = "the difference has no data at the position"
        return _entry(observation, "no_data", text)
    flux = formats.flux_text(
        point.flux_adu, point.flux_adu_error, point.flux_njy, point.flux_njy_error
    )
    numbers = {
        "score": point.score,
        "flux_adu": point.flux_adu,
        "flux_adu_error": point.flux_adu_error,
        "flux_njy": point.flux_njy,
        "flux_njy_error": point.flux_njy_error,
        "is_masked": "masked" in point.flags,
        "x": point.x,
        "y": point.y,
    }
    note = "; masked pixels there" if "masked" in point.flags else ""
    text = f"no candidate: score {point.score:.1f} sigma, forced flux {flux}{note}"
    return _entry(observation, "below_threshold", text, numbers)


def _stopped(session: Session, observation: Observation) -> tuple[str, str] | None:
    """Return (outcome, text) where the exposure never came to be searched, else None."""
    calibrated = _product(session, CALIBRATION, observation.id)
    if calibrated is None:
        return "not_calibrated", "the exposure is not calibrated yet"
    if calibrated.verdict is not Verdict.PASSED:
        return "exposure_rejected", f"exposure rejected: {'; '.join(calibrated.reasons)}"
    difference = _product(session, DIFFERENCE, observation.id)
    if difference is None:
        return "not_differenced", "the exposure is calibrated, not differenced yet"
    if difference.verdict is Verdict.NO_WORK:
        return "no_reference", f"not differenced: {'; '.join(difference.reasons)}"
    if difference.verdict is not Verdict.PASSED:
        return "difference_rejected", f"difference rejected: {'; '.join(difference.reasons)}"
    return None


def _of_candidates(
    session: Session, observation: Observation, candidates: Sequence[Candidate]
) -> WhyEntry:
    judged = [(_of_candidate(session, observation, row), row) for row in candidates]
    order = ("candidate_rejected", "not_scored", "scored_below_threshold", "accepted")
    ranks = {outcome: rank for rank, outcome in enumerate((*order, "in_transient"))}
    return max(
        judged,
        key=lambda pair: (ranks[pair[0].outcome], abs(pair[1].significance), str(pair[1].id)),
    )[0]


def _of_candidate(session: Session, observation: Observation, row: Candidate) -> WhyEntry:
    place = formats.degrees_text(row.ra, row.dec)
    numbers: dict[str, Any] = {
        "candidate_id": str(row.id),
        "ra": row.ra,
        "dec": row.dec,
        "significance": row.significance,
        "flux_adu": row.flux,
        "flux_adu_error": row.flux_error,
    }
    other = ""
    if row.other_score is not None:
        numbers["other_score"] = row.other_score
        other = f" ({row.other_score:.1f} by the second algorithm)"
    start = f"candidate of {row.significance:.1f} sigma{other} at {place}"
    if row.rejection_rule:
        numbers |= {"rejection_rule": row.rejection_rule, "rejection_value": row.rejection_value}
        value = formats.number_text(row.rejection_value)
        text = f"{start} rejected by rule {row.rejection_rule} (value {value})"
        return _entry(observation, "candidate_rejected", text, numbers)
    detection, threshold = _detection(session, row.id)
    if detection is None:
        return _entry(observation, "not_scored", f"{start} is not scored yet", numbers)
    numbers |= {"probability": detection.confidence_score, "threshold": threshold}
    score = (
        f"probability {detection.confidence_score:.3f}, threshold {formats.number_text(threshold)}"
    )
    if not detection.is_accepted:
        text = f"{start} scored below threshold ({score})"
        return _entry(observation, "scored_below_threshold", text, numbers)
    name = session.scalar(
        sa.select(Transient.name)
        .join(TransientMember, TransientMember.transient_id == Transient.id)
        .where(TransientMember.detection_id == detection.id)
    )
    if name is None:
        recovery = _product(session, RECOVERY, observation.id)
        if recovery is not None and recovery.verdict is Verdict.FAILED:
            text = f"{start} accepted ({score}), kept out: {'; '.join(recovery.reasons)}"
            return _entry(observation, "accepted", text, numbers)
        text = f"{start} accepted ({score}), not in the catalog yet"
        return _entry(observation, "accepted", text, numbers)
    text = f"{start} accepted ({score}), in transient {name}"
    return _entry(observation, "in_transient", text, numbers | {"transient": name})


def _detection(session: Session, candidate_id: UUID) -> tuple[Detection | None, float | None]:
    """Return the current detection of a candidate, and its model's threshold."""
    found = session.execute(
        sa.select(Detection, Model.score_threshold)
        .join(ModelRun, ModelRun.id == Detection.model_run_id)
        .join(Model, Model.id == ModelRun.model_id)
        .join(ProductRow, ProductRow.id == Detection.manifest_id)
        .where(
            Detection.candidate_id == candidate_id,
            Detection.is_superseded.is_(False),
            ProductRow.is_current,
        )
        .order_by(Detection.updated_at.desc(), Detection.id)
        .limit(1)
    ).first()
    return (None, None) if found is None else (found[0], found[1])


def _entry(
    observation: Observation, outcome: str, text: str, numbers: dict[str, Any] | None = None
) -> WhyEntry:
    return WhyEntry(
        observation.night,
        exposure_label(observation),
        formats.utc_text(observation.mjd_mid),
        observation.filter_band,
        outcome,
        text,
        numbers or {},
    )


def exposure_label(observation: Observation) -> str:
    """Return the survey's own id of an exposure with its detector."""
    return " ".join(part for part in (observation.observation_id, observation.detector) if part)
