"""What counts now: the accepted detections and the differences that stand in the database.

A row counts while its own product and everything that was made from is current and passed, and
while its exposure recovers the sources injected into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog.association import DetectionArrays, separation_arcsec
from astrid_assets.imaging.sphere import unit_vectors
from astrid_resources.database import (
    Candidate,
    Detection,
    DetectionStatus,
    DetectionType,
    DifferenceRun,
    Observation,
    ProductRow,
    ReferenceImage,
    RunStatus,
)
from astrid_resources.database.cone import cone_search
from astrid_resources.products import Verdict

DIFFERENCE_ROLE = "difference"
RECOVERY = "injection_recovery"
NEAR_STAR_ARCSEC = 1.0
_CHUNK = 500


@dataclass(frozen=True)
class Circle:
    """A circle on the sky: centre in ICRS degrees, radius in arcsec."""

    ra: float
    dec: float
    radius_arcsec: float

    def holds(self, ra: float, dec: float, *, margin_arcsec: float = 0.0) -> bool:
        """Return whether a position is inside, at least `margin_arcsec` from the rim."""
        distance = float(separation_arcsec(self.ra, self.dec, ra, dec))
        return distance <= self.radius_arcsec - margin_arcsec


@dataclass(frozen=True)
class AcceptedDetection:
    """A detection that counts, with what the catalog needs of its candidate and exposure."""

    id: UUID
    observation_id: UUID
    ra: float
    dec: float
    error_arcsec: float | None
    mjd_mid_tai: float
    night: str
    probability: float
    significance: float
    is_near_star: bool
    is_synthetic: bool


@dataclass(frozen=True)
class StoredDifference:
    """A difference that counts: where its file is, what it covers, what it was made against."""

    run_id: UUID
    observation_id: UUID
    reference_image_id: UUID | None
    reference_key: str | None
    flux_ratio: float | None
    key: str
    sha256: str
    night: Any
    tile: str
    band: str
    mjd_mid_tai: float
    circle: Circle


def footprint_circle(observation: Observation) -> Circle:
    """Return the circle round an exposure's centre that holds its four corners."""
    corners = np.array(observation.footprint, float)
    distance = separation_arcsec(observation.ra, observation.dec, corners[:, 0], corners[:, 1])
    return Circle(observation.ra, observation.dec, float(distance.max()))


def stale_ids(session: Session) -> frozenset[UUID]:
    """Return the ids of current products made from something that is current no longer."""
    stale = sa.table("stale_products", sa.column("id", sa.Uuid()))
    return frozenset(session.scalars(sa.select(stale.c.id)))


def counting_products() -> Any:
    """Return the query of manifest ids of products that are current and passed."""
    return sa.select(ProductRow.id).where(
        ProductRow.is_current, ProductRow.verdict == Verdict.PASSED
    )


def accepted_detections(
    session: Session,
    *,
    ids: Iterable[UUID] | None = None,
    circles: Iterable[Circle] = (),
) -> dict[str, AcceptedDetection]:
    """Return the detections that count, by id text: those of `ids` and those inside `circles`."""
    wanted = set(ids or ())
    for circle in circles:
        near = cone_search(
            session,
            Detection,
            circle.ra,
            circle.dec,
            circle.radius_arcsec,
            where=Detection.is_accepted.is_(True),
        )
        wanted |= {row["id"] for row in near}
    stale = stale_ids(session)
    found: dict[str, AcceptedDetection] = {}
    in_order = sorted(wanted, key=str)
    for start in range(0, len(in_order), _CHUNK):
        query = _accepted_query().where(Detection.id.in_(in_order[start : start + _CHUNK]))
        for detection, candidate, run, observation in session.execute(query):
            if {detection.manifest_id, candidate.manifest_id, run.manifest_id} & stale:
                continue
            found[str(detection.id)] = _accepted(detection, candidate, observation)
    return found


def incomplete_exposures() -> Any:
    """Return the query of observation ids whose injected sources were not recovered."""
    return sa.select(ProductRow.observation_id).where(
        ProductRow.asset == RECOVERY,
        ProductRow.is_current,
        ProductRow.verdict == Verdict.FAILED,
        ProductRow.observation_id.is_not(None),
    )


def _accepted_query() -> Any:
    counting = counting_products()
    return (
        sa.select(Detection, Candidate, DifferenceRun, Observation)
        .join(Candidate, Candidate.id == Detection.candidate_id)
        .join(DifferenceRun, DifferenceRun.id == Candidate.difference_run_id)
        .join(Observation, Observation.id == Detection.observation_id)
        .where(
            Detection.is_accepted,
            Detection.detection_type != DetectionType.ARTIFACT,
            Detection.status.not_in([DetectionStatus.REJECTED, DetectionStatus.ARCHIVED]),
            Detection.is_superseded.is_(False),
            Candidate.is_superseded.is_(False),
            DifferenceRun.is_superseded.is_(False),
            Observation.is_current,
            Detection.manifest_id.in_(counting),
            DifferenceRun.manifest_id.in_(counting),
            Detection.observation_id.not_in(incomplete_exposures()),
        )
    )


def _accepted(
    detection: Detection, candidate: Candidate, observation: Observation
) -> AcceptedDetection:
    errors = [error for error in (candidate.ra_error, candidate.dec_error) if error is not None]
    distance = candidate.nearest_reference_distance_arcsec
    return AcceptedDetection(
        id=detection.id,
        observation_id=observation.id,
        ra=detection.ra,
        dec=detection.dec,
        error_arcsec=float(np.sqrt(np.mean(np.square(errors)))) if errors else None,
        mjd_mid_tai=observation.mjd_mid,
        night=observation.night.isoformat(),
        probability=detection.confidence_score,
        significance=candidate.significance,
        is_near_star=bool(candidate.nearest_reference_is_star)
        and distance is not None
        and distance <= NEAR_STAR_ARCSEC,
        is_synthetic=observation.is_synthetic,
    )


def as_arrays(
    detections: Iterable[AcceptedDetection], *, unknown_error_arcsec: float
) -> DetectionArrays:
    """Return detections as the arrays that association takes."""
    rows = list(detections)
    return DetectionArrays(
        tuple(str(row.id) for row in rows),
        np.array([row.ra for row in rows], float),
        np.array([row.dec for row in rows], float),
        np.array([row.mjd_mid_tai for row in rows], float),
        np.array(
            [
                unknown_error_arcsec if row.error_arcsec is None else row.error_arcsec
                for row in rows
            ],
            float,
        ),
    )


def differences_near(
    session: Session, ra: float, dec: float, radius_arcsec: float
) -> tuple[StoredDifference, ...]:
    """Return the differences that count whose footprint may reach into a circle, by time and id."""
    ids = [row.id for row in observations_near(session, ra, dec, radius_arcsec)]
    stale = stale_ids(session)
    found = []
    for start in range(0, len(ids), _CHUNK):
        query = (
            sa.select(DifferenceRun, Observation, ProductRow, ReferenceImage)
            .join(Observation, Observation.id == DifferenceRun.observation_id)
            .join(ProductRow, ProductRow.id == DifferenceRun.manifest_id)
            .outerjoin(ReferenceImage, ReferenceImage.id == DifferenceRun.reference_image_id)
            .where(
                DifferenceRun.observation_id.in_(ids[start : start + _CHUNK]),
                DifferenceRun.status == RunStatus.COMPLETED,
                DifferenceRun.is_superseded.is_(False),
                ProductRow.is_current,
                ProductRow.verdict == Verdict.PASSED,
            )
        )
        for run, observation, product, reference in session.execute(query):
            stored = product.objects.get(DIFFERENCE_ROLE)
            circle = footprint_circle(observation)
            distance = float(separation_arcsec(circle.ra, circle.dec, ra, dec))
            if stored is None or product.id in stale:
                continue
            if distance > circle.radius_arcsec + radius_arcsec:
                continue
            found.append(_stored(run, observation, reference, stored, circle))
    return tuple(sorted(found, key=lambda item: (item.mjd_mid_tai, str(item.run_id))))


def _stored(
    run: DifferenceRun,
    observation: Observation,
    reference: ReferenceImage | None,
    stored: dict[str, Any],
    circle: Circle,
) -> StoredDifference:
    return StoredDifference(
        run_id=run.id,
        observation_id=observation.id,
        reference_image_id=run.reference_image_id,
        reference_key=None if reference is None else reference.image_path,
        flux_ratio=run.flux_ratio,
        key=stored["key"],
        sha256=stored["sha256"],
        night=observation.night,
        tile=observation.tile,
        band=observation.filter_band,
        mjd_mid_tai=observation.mjd_mid,
        circle=circle,
    )


def observations_near(
    session: Session, ra: float, dec: float, radius_arcsec: float
) -> tuple[Observation, ...]:
    """Return the current observations whose footprint's circle reaches into a circle, by time."""
    reach = radius_arcsec + _largest_radius_arcsec(session)
    near = cone_search(session, Observation, ra, dec, reach, where=Observation.is_current.is_(True))
    ids = [row["id"] for row in near]
    found: list[Observation] = []
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        found += session.scalars(sa.select(Observation).where(Observation.id.in_(chunk)))
    reaching = [
        row
        for row in found
        if float(separation_arcsec(row.ra, row.dec, ra, dec))
        <= footprint_circle(row).radius_arcsec + radius_arcsec
    ]
    return tuple(sorted(reaching, key=lambda row: (row.mjd_mid, str(row.id))))


def footprint_holds(observation: Observation, ra: float, dec: float) -> bool:
    """Return whether a position is inside the great-circle polygon of an exposure's corners."""
    corners = np.array(observation.footprint, float)
    if not footprint_circle(observation).holds(ra, dec):
        return False
    vectors = unit_vectors(corners[:, 0], corners[:, 1])
    edges = np.cross(vectors, np.roll(vectors, -1, axis=0))
    sides = edges @ unit_vectors(np.array(ra), np.array(dec))
    return bool((sides >= 0).all() or (sides <= 0).all())


def _largest_radius_arcsec(session: Session) -> float:
    """Return a bound on the distance of any exposure's corner from its centre."""
    sizes = sa.select(
        sa.func.max((Observation.width_pix + Observation.height_pix) * Observation.pixel_scale)
    )
    largest = float(session.scalar(sizes) or 0.0)
    unknown = sa.select(Observation).where(
        sa.or_(Observation.width_pix.is_(None), Observation.pixel_scale.is_(None))
    )
    radii = [footprint_circle(row).radius_arcsec for row in session.scalars(unknown)]
    return max([0.75 * largest, *radii, 1.0])
