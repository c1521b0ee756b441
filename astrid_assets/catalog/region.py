"""The part of the sky that an update must look at as a whole, read from the database.

It holds the exposures' footprints, every group of detections that reaches into them and every
name that such a group carried before, however far the chain of links leads; and what lost a
detection since, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog.association import (
    AssociationSettings,
    DetectionArrays,
    Group,
    associate,
    connected_region,
)
from astrid_assets.catalog.current import (
    AcceptedDetection,
    Circle,
    StoredDifference,
    accepted_detections,
    as_arrays,
    differences_near,
    footprint_circle,
)
from astrid_assets.catalog.lightcurve import FrozenPosition, frozen_position
from astrid_assets.catalog.names import KnownName
from astrid_resources.database import (
    Detection,
    Observation,
    Transient,
    TransientMember,
    TransientStatus,
)
from astrid_resources.database.cone import cone_search

_CHUNK = 500


@dataclass(frozen=True)
class Region:
    """Groups of detections with their frozen positions, the names known there, the differences.

    detections: by id text. groups and positions in one order. known: every transient row of the
    region, merged and withdrawn ones too. differences: all that may cover a position.
    """

    detections: dict[str, AcceptedDetection]
    groups: tuple[Group, ...]
    positions: tuple[FrozenPosition, ...]
    known: tuple[KnownName, ...]
    differences: tuple[StoredDifference, ...]


def gather(session: Session, *, night: date, tile: str, settings: AssociationSettings) -> Region:
    """Return the connected region that the partition night x tile touches."""
    circles = (
        *partition_circles(session, night=night, tile=tile, margin=settings.radius_arcsec),
        *bereft_circles(session, radius_arcsec=settings.radius_arcsec),
    )
    detections = accepted_detections(session, circles=circles)
    known: dict[UUID, KnownName] = {}
    while True:
        detections = _connected(session, detections, circles, settings)
        owners = _owners(session, detections, circles, settings)
        missing = {member for entry in owners.values() for member in entry.members}
        missing -= set(detections)
        found = accepted_detections(session, ids=[UUID(member) for member in missing])
        known = owners
        if not found:
            break
        detections |= found
    arrays = as_arrays(detections.values(), unknown_error_arcsec=settings.unknown_error_arcsec)
    groups = associate(arrays, radius_arcsec=settings.radius_arcsec)
    positions = tuple(frozen_position(group.members) for group in groups)
    return Region(
        detections,
        groups,
        positions,
        tuple(known[key] for key in sorted(known, key=str)),
        _differences(session, circles, positions),
    )


def partition_circles(
    session: Session, *, night: date, tile: str, margin: float
) -> tuple[Circle, ...]:
    """Return circles round the footprints of the partition's exposures, without inner ones."""
    rows = session.scalars(
        sa.select(Observation).where(Observation.night == night, Observation.tile == tile)
    )
    whole = [footprint_circle(row) for row in rows]
    whole = [Circle(c.ra, c.dec, c.radius_arcsec + margin) for c in whole]
    whole.sort(key=lambda c: (-c.radius_arcsec, c.ra, c.dec))
    kept: list[Circle] = []
    for circle in whole:
        if not any(
            o.holds(circle.ra, circle.dec, margin_arcsec=circle.radius_arcsec) for o in kept
        ):
            kept.append(circle)
    return tuple(kept)


def bereft_circles(session: Session, *, radius_arcsec: float) -> tuple[Circle, ...]:
    """Return circles round the transients that count a detection which is no more.

    An exposure whose pointing was set right leaves no footprint where it never was: what it showed
    there is found by this alone.
    """
    n_left = (
        sa.select(sa.func.count())
        .select_from(TransientMember)
        .join(Detection, Detection.id == TransientMember.detection_id)
        .where(TransientMember.transient_id == Transient.id, Detection.is_superseded.is_(False))
        .scalar_subquery()
    )
    query = (
        sa.select(Transient.ra, Transient.dec)
        .where(Transient.status == TransientStatus.ACTIVE, Transient.n_detections != n_left)
        .order_by(Transient.id)
    )
    return tuple(Circle(ra, dec, radius_arcsec) for ra, dec in session.execute(query))


def _connected(
    session: Session,
    seeds: dict[str, AcceptedDetection],
    circles: Sequence[Circle],
    settings: AssociationSettings,
) -> dict[str, AcceptedDetection]:
    known = dict(seeds)
    radius = settings.radius_arcsec

    def neighbours(frontier: DetectionArrays) -> DetectionArrays:
        outside = [
            Circle(float(ra), float(dec), 1.001 * radius)
            for ra, dec in zip(frontier.ra, frontier.dec, strict=True)
            if not any(c.holds(ra, dec, margin_arcsec=1.001 * radius) for c in circles)
        ]
        known.update(accepted_detections(session, circles=outside))
        return as_arrays(known.values(), unknown_error_arcsec=settings.unknown_error_arcsec)

    start = as_arrays(seeds.values(), unknown_error_arcsec=settings.unknown_error_arcsec)
    region = connected_region(start, neighbours)
    return {identity: known[identity] for identity in region.ids}


def _owners(
    session: Session,
    detections: dict[str, AcceptedDetection],
    circles: Iterable[Circle],
    settings: AssociationSettings,
) -> dict[UUID, KnownName]:
    """Return the transients that own one of the detections or stand in the circles or beside."""
    ids: set[UUID] = set()
    wanted = [item.id for item in detections.values()]
    for start in range(0, len(wanted), _CHUNK):
        query = sa.select(TransientMember.transient_id).where(
            TransientMember.detection_id.in_(wanted[start : start + _CHUNK])
        )
        ids |= set(session.scalars(query))
    places = list(circles) + [
        Circle(item.ra, item.dec, settings.radius_arcsec)
        for item in detections.values()
        if not any(circle.holds(item.ra, item.dec) for circle in circles)
    ]
    for circle in places:
        near = cone_search(session, Transient, circle.ra, circle.dec, circle.radius_arcsec)
        ids |= {row["id"] for row in near}
    owners: dict[UUID, KnownName] = {}
    in_order = sorted(ids, key=str)
    for start in range(0, len(in_order), _CHUNK):
        chunk = in_order[start : start + _CHUNK]
        members: dict[UUID, set[str]] = {}
        rows = session.execute(
            sa.select(TransientMember.transient_id, TransientMember.detection_id).where(
                TransientMember.transient_id.in_(chunk)
            )
        )
        for transient_id, detection_id in rows:
            members.setdefault(transient_id, set()).add(str(detection_id))
        for row in session.scalars(sa.select(Transient).where(Transient.id.in_(chunk))):
            owners[row.id] = KnownName(
                row.name, frozenset(members.get(row.id, ())), row.ra, row.dec
            )
    return owners


def _differences(
    session: Session, circles: Iterable[Circle], positions: Iterable[FrozenPosition]
) -> tuple[StoredDifference, ...]:
    places = list(circles)
    places += [
        Circle(place.ra, place.dec, 1.0)
        for place in positions
        if not any(circle.holds(place.ra, place.dec) for circle in circles)
    ]
    found = {
        item.run_id: item
        for place in places
        for item in differences_near(session, place.ra, place.dec, place.radius_arcsec)
    }
    return tuple(sorted(found.values(), key=lambda item: (item.mjd_mid_tai, str(item.run_id))))
