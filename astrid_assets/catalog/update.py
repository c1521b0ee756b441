"""Bring one partition's detections into the catalog: names, members, light curves.

The catalog is a function of everything that stands in the connected region the partition touches;
a second update with the same content changes no row. Shell: database and object store, no Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import formats
from astrid_assets.catalog.association import (
    AssociationSettings,
    Group,
    best_by_time,
    confirmation,
)
from astrid_assets.catalog.current import AcceptedDetection
from astrid_assets.catalog.forcing import Measured, measure
from astrid_assets.catalog.lightcurve import FrozenPosition, LightCurveSettings, summarise
from astrid_assets.catalog.names import Naming, assign_names, name_of, parse_name
from astrid_assets.catalog.points import Changes, stored_points, write_points
from astrid_assets.catalog.region import Region, gather
from astrid_resources.database import (
    Confirmation,
    Database,
    DetectionType,
    LightCurvePoint,
    NameKind,
    Transient,
    TransientMember,
    TransientName,
    TransientStatus,
)
from astrid_resources.identity import row_id, sha256_json
from astrid_resources.objects import ObjectStore

LOCK = "catalog"


@dataclass(frozen=True)
class CatalogSettings:
    """Everything that changes the catalog's content."""

    association: AssociationSettings = field(default_factory=AssociationSettings)
    light_curve: LightCurveSettings = field(default_factory=LightCurveSettings)


@dataclass(frozen=True)
class CatalogUpdate:
    """What an update found and did in the region of its partition.

    names: transients of the region, issued / merged / withdrawn: names of this update.
    data_version: sha256 over members and light curves, names aside.
    """

    night: date
    tile: str
    n_detections: int
    n_transients: int
    n_confirmed: int
    n_points: int
    n_points_detected: int
    n_differences: int
    n_rows_changed: int
    names: tuple[str, ...]
    issued: tuple[str, ...]
    merged: tuple[str, ...]
    withdrawn: tuple[str, ...]
    data_version: str


def update_catalog(
    database: Database,
    store: ObjectStore,
    *,
    night: date,
    tile: str,
    settings: CatalogSettings = CatalogSettings(),
) -> CatalogUpdate:
    """Recompute the catalog in the region that the partition night x tile touches.

    Fluxes are measured before the lock is taken, so that it is held briefly; what changed in
    between is measured again inside. All rows are written in one transaction.
    """
    measured = Measured()
    with database.read() as session:
        region = gather(session, night=night, tile=tile, settings=settings.association)
    _measure(store, measured, region, settings)

    def write(session: Session) -> CatalogUpdate:
        region = gather(session, night=night, tile=tile, settings=settings.association)
        _measure(store, measured, region, settings)
        return _write(session, region, measured, night=night, tile=tile, settings=settings)

    return database.transaction(write, lock=LOCK)


def _measure(
    store: ObjectStore, measured: Measured, region: Region, settings: CatalogSettings
) -> None:
    measure(
        store,
        measured,
        positions=region.positions,
        differences=region.differences,
        settings=settings.light_curve,
    )


def _write(
    session: Session,
    region: Region,
    measured: Measured,
    *,
    night: date,
    tile: str,
    settings: CatalogSettings,
) -> CatalogUpdate:
    changes = Changes(session)
    naming = assign_names(
        region.groups,
        region.known,
        radius_arcsec=settings.association.radius_arcsec,
        issue=_Issuer(session, region.detections),
    )
    ids = [row_id("transients", name) for name in naming.names]
    for identity, name, group, position in zip(
        ids, naming.names, region.groups, region.positions, strict=True
    ):
        members = [region.detections[member] for member in group.ids]
        values = _transient_values(group, position, members, settings)
        changes.put(Transient, identity, name=name, status=TransientStatus.ACTIVE, **values)
    session.flush()
    _write_names(changes, naming, region)
    _write_members(changes, region, ids)
    n_points = n_detected = 0
    contents = []
    for identity, group, position in zip(ids, region.groups, region.positions, strict=True):
        strongest = _strongest(group, region.detections)
        write_points(changes, identity, position, region.differences, measured, strongest)
        session.flush()
        points = stored_points(session, identity)
        summary = summarise(points)
        changes.put(Transient, identity, light_curve_summary=summary)
        n_points += len(points)
        n_detected += sum(point.is_detection for point in points)
        contents.append([sorted(group.ids), [str(point) for point in points]])
    session.flush()
    confirmed = [
        row.confirmation
        for row in session.scalars(sa.select(Transient).where(Transient.id.in_(ids)))
    ].count(Confirmation.CONFIRMED)
    return CatalogUpdate(
        night=night,
        tile=tile,
        n_detections=len(region.detections),
        n_transients=len(ids),
        n_confirmed=confirmed,
        n_points=n_points,
        n_points_detected=n_detected,
        n_differences=len(region.differences),
        n_rows_changed=changes.n,
        names=naming.names,
        issued=naming.issued,
        merged=tuple(sorted(alias.name for alias in naming.aliases if alias.reason == "merged")),
        withdrawn=naming.withdrawn,
        data_version=sha256_json(sorted(contents)),
    )


class _Issuer:
    """Issues the next name of a year, after every name that was ever issued."""

    def __init__(self, session: Session, detections: Mapping[str, AcceptedDetection]) -> None:
        self._session = session
        self._detections = detections
        self._next: dict[int, int] = {}

    def __call__(self, group: Group) -> str:
        year = formats.utc_of(self._detections[group.ids[0]].mjd_mid_tai).year
        if year not in self._next:
            newest = self._session.scalar(
                sa.select(sa.func.max(TransientName.serial)).where(TransientName.year == year)
            )
            self._next[year] = 0 if newest is None else newest + 1
        serial = self._next[year]
        self._next[year] += 1
        return name_of(year, serial)


def _strongest(group: Group, detections: Mapping[str, AcceptedDetection]) -> dict[UUID, UUID]:
    """Return the strongest member of each exposure: observation id to detection id."""
    rows = [detections[member] for member in group.ids]
    chosen: dict[UUID, UUID] = {}
    for observation in {row.observation_id for row in rows}:
        indices = [i for i, row in enumerate(rows) if row.observation_id == observation]
        part = group.members.take(indices)
        (best,) = best_by_time(part, [rows[i].significance for i in indices])
        chosen[observation] = rows[indices[best]].id
    return chosen


def _transient_values(
    group: Group,
    position: FrozenPosition,
    members: Sequence[AcceptedDetection],
    settings: CatalogSettings,
) -> dict[str, Any]:
    verdict = confirmation(group, settings=settings.association)
    best = max(members, key=lambda row: (abs(row.significance), str(row.id)))
    is_confirmed = verdict.status == "confirmed"
    kind = DetectionType.VARIABLE if best.is_near_star else DetectionType.TRANSIENT
    return {
        "ra": position.ra,
        "dec": position.dec,
        "ra_error": position.error_arcsec,
        "dec_error": position.error_arcsec,
        "first_seen": formats.utc_of(members[0].mjd_mid_tai),
        "last_seen": formats.utc_of(members[-1].mjd_mid_tai),
        "first_mjd": members[0].mjd_mid_tai,
        "last_mjd": members[-1].mjd_mid_tai,
        "n_detections": len(members),
        "n_nights": len({row.night for row in members}),
        "best_score": max(row.probability for row in members),
        "best_significance": best.significance,
        "classification": kind if is_confirmed else DetectionType.UNKNOWN,
        "confirmation": Confirmation(verdict.status),
        "is_synthetic": any(row.is_synthetic for row in members),
    }


def _write_names(changes: Changes, naming: Naming, region: Region) -> None:
    """Record issued names, turn merged ones into aliases, revive and withdraw."""
    origin = {alias.current: alias.name for alias in naming.aliases if alias.reason == "split"}
    for name, position in zip(naming.names, region.positions, strict=True):
        identity = row_id("transient_names", name)
        reason = f"split from {origin[name]}" if name in origin else "issued"
        known = changes.session.get(TransientName, identity)
        if known is None:
            year, serial = parse_name(name)
            changes.put(
                TransientName,
                identity,
                name=name,
                year=year,
                serial=serial,
                ra=position.ra,
                dec=position.dec,
                reason=reason,
                kind=NameKind.PRIMARY,
                transient_id=row_id("transients", name),
            )
        elif known.kind is not NameKind.PRIMARY:
            changes.put(
                TransientName,
                identity,
                kind=NameKind.PRIMARY,
                reason="issued",
                transient_id=row_id("transients", name),
            )
    for alias in naming.aliases:
        if alias.reason == "merged":
            _turn_into_alias(changes, alias.name, alias.current)
    for name in naming.withdrawn:
        _retire(changes, row_id("transients", name), TransientStatus.SUPERSEDED)


def _turn_into_alias(changes: Changes, name: str, current: str) -> None:
    old, new = row_id("transients", name), row_id("transients", current)
    pointing = sa.select(TransientName).where(TransientName.transient_id == old)
    for row in changes.session.scalars(pointing).all():
        changes.put(
            TransientName,
            row.id,
            transient_id=new,
            kind=NameKind.ALIAS,
            reason=f"merged into {current}",
        )
    _retire(changes, old, TransientStatus.MERGED)


def _retire(changes: Changes, transient_id: UUID, status: TransientStatus) -> None:
    changes.put(Transient, transient_id, status=status)
    for table in (TransientMember, LightCurvePoint):
        rows = sa.select(table).where(table.transient_id == transient_id)
        for row in changes.session.scalars(rows).all():
            changes.delete(row)


def _write_members(changes: Changes, region: Region, ids: Sequence[UUID]) -> None:
    wanted = {
        row_id("transient_members", identity, UUID(member)): (identity, UUID(member))
        for identity, group in zip(ids, region.groups, strict=True)
        for member in group.ids
    }
    present = changes.session.scalars(
        sa.select(TransientMember).where(TransientMember.transient_id.in_(ids))
    ).all()
    for row in present:
        if row.id not in wanted:
            changes.delete(row)
    changes.session.flush()
    for identity, (transient_id, detection_id) in wanted.items():
        changes.put(TransientMember, identity, transient_id=transient_id, detection_id=detection_id)
    changes.session.flush()
