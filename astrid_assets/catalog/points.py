"""Rows of light curves, and the one way catalog rows are written: only where something differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import lightcurve
from astrid_assets.catalog.current import StoredDifference
from astrid_assets.catalog.forcing import Measured, point_of
from astrid_assets.catalog.lightcurve import FrozenPosition
from astrid_resources.database import Base, LightCurvePoint
from astrid_resources.identity import row_id


class Changes:
    """Writes rows by id and counts those that really changed (`n`)."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._touched: set[tuple[str, UUID]] = set()

    @property
    def n(self) -> int:
        """Rows inserted, changed or deleted so far."""
        return len(self._touched)

    def put(self, table: type[Base], identity: UUID, **values: Any) -> None:
        """Insert the row, or change those of its columns that differ from `values`."""
        row = self.session.get(table, identity)
        if row is None:
            self.session.add(table(id=identity, **values))
            self._touched.add((table.__tablename__, identity))
            return
        for name, value in values.items():
            if getattr(row, name) != value:
                setattr(row, name, value)
                self._touched.add((table.__tablename__, identity))

    def delete(self, row: Any) -> None:
        """Delete a row."""
        self.session.delete(row)
        self._touched.add((row.__tablename__, row.id))


def write_points(
    changes: Changes,
    transient_id: UUID,
    position: FrozenPosition,
    differences: Sequence[StoredDifference],
    measured: Measured,
    detections: Mapping[UUID, UUID],
) -> None:
    """Make the stored light curve of a transient the one that `measured` gives.

    detections: the strongest member of each exposure, by observation id.
    """
    wanted: set[UUID] = set()
    for difference in differences:
        found = point_of(measured, difference, position)
        if found is None:
            continue
        point, reference = found
        identity = row_id("light_curve_points", transient_id, difference.run_id)
        wanted.add(identity)
        changes.put(
            LightCurvePoint,
            identity,
            transient_id=transient_id,
            observation_id=difference.observation_id,
            difference_run_id=difference.run_id,
            reference_image_id=difference.reference_image_id,
            detection_id=detections.get(difference.observation_id),
            night=difference.night,
            tile=difference.tile,
            mjd_mid=difference.mjd_mid_tai,
            band=difference.band,
            ra_forced=position.ra,
            dec_forced=position.dec,
            flux_adu=point.flux_adu,
            flux_adu_error=point.flux_adu_error,
            flux_njy=point.flux_njy,
            flux_njy_error=point.flux_njy_error,
            significance=point.score,
            reference_flux=None if reference is None else reference.flux_adu,
            reference_flux_error=None if reference is None else reference.flux_adu_error,
            zero_point_ab_mag=point.zero_point_ab_mag,
            zero_point_err=point.zero_point_err,
            limiting_mag_5sigma=point.limiting_mag_5sigma,
            limiting_flux_5sigma=5 * point.flux_adu_error,
            flags=list(point.flags),
            is_detection=point.is_detection,
            is_masked="masked" in point.flags,
        )
    present = sa.select(LightCurvePoint).where(LightCurvePoint.transient_id == transient_id)
    for row in changes.session.scalars(present).all():
        if row.id not in wanted:
            changes.delete(row)


def stored_points(session: Session, transient_id: UUID) -> tuple[lightcurve.LightCurvePoint, ...]:
    """Return the stored light curve of a transient in order of time."""
    query = (
        sa.select(LightCurvePoint)
        .where(LightCurvePoint.transient_id == transient_id)
        .order_by(LightCurvePoint.mjd_mid, LightCurvePoint.id)
    )
    return tuple(_point(row) for row in session.scalars(query))


def _point(row: LightCurvePoint) -> lightcurve.LightCurvePoint:
    version = row.reference_image_id
    return lightcurve.LightCurvePoint(
        observation_id=str(row.observation_id),
        difference_run_id=str(row.difference_run_id),
        reference_image_id=None if version is None else str(version),
        mjd_mid_tai=row.mjd_mid,
        band=row.band,
        flux_adu=row.flux_adu or 0.0,
        flux_adu_error=row.flux_adu_error or 0.0,
        flux_njy=row.flux_njy,
        flux_njy_error=row.flux_njy_error,
        reference_flux_adu=row.reference_flux,
        reference_flux_adu_error=row.reference_flux_error,
        limiting_mag_5sigma=row.limiting_mag_5sigma,
        significance=row.significance,
        flags=tuple(row.flags or ()),
        is_detection=row.is_detection,
    )
