"""Cone search by ranges of HEALPix indices: right at the poles and at RA 0, no extension."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from astrid_resources.database.rows import TableLike, table_of

_CELL_ARCSEC = 58.6 * 3600
_MAX_RADIUS_ARCSEC = 180 * 3600
_WHOLE_SKY_ARCSEC = 179 * 3600


def cone_search(
    session: Session,
    table: TableLike,
    ra_deg: float,
    dec_deg: float,
    radius_arcsec: float,
    *,
    where: sa.ColumnElement[bool] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows within `radius_arcsec` of a position (deg, ICRS), nearest first.

    table: a table, model class or table name with ra, dec, healpix29. Each row is a dict of its
    columns and `distance_arcsec`. where: a further condition, e.g. `Detection.is_accepted`.
    """
    table = table_of(table)
    if not 0 < radius_arcsec <= _MAX_RADIUS_ARCSEC:
        raise ValueError(f"radius_arcsec must be in (0, {_MAX_RADIUS_ARCSEC}], got {radius_arcsec}")
    ranges = cone_ranges(ra_deg, dec_deg, radius_arcsec)
    query = sa.select(table).where(
        sa.or_(*(table.c.healpix29.between(int(low), int(high) - 1) for low, high in ranges))
    )
    if where is not None:
        query = query.where(where)
    rows = [dict(row) for row in session.execute(query).mappings()]
    if not rows:
        return []
    distance = separation_arcsec(
        ra_deg, dec_deg, [row["ra"] for row in rows], [row["dec"] for row in rows]
    )
    found = [
        {**row, "distance_arcsec": float(far)}
        for row, far in zip(rows, distance, strict=True)
        if far <= radius_arcsec
    ]
    return sorted(found, key=lambda row: (row["distance_arcsec"], str(row["id"])))


def cone_ranges(ra_deg: float, dec_deg: float, radius_arcsec: float) -> NDArray[np.uint64]:
    """Return the order-29 index ranges [low, high) that cover a cone; shape (n, 2)."""
    from astropy import units
    from mocpy import MOC

    if radius_arcsec >= _WHOLE_SKY_ARCSEC:
        return np.array([[0, 12 * 4**29]], np.uint64)
    depth = min(max(math.floor(math.log2(_CELL_ARCSEC / radius_arcsec)) + 1, 0), 27)
    moc = MOC.from_cone(
        lon=ra_deg * units.deg,
        lat=dec_deg * units.deg,
        radius=radius_arcsec * (1 + 1e-9) * units.arcsec,
        max_depth=depth,
    )
    return np.asarray(moc.to_depth29_ranges)


def separation_arcsec(ra_deg: float, dec_deg: float, ra: Any, dec: Any) -> NDArray[np.float64]:
    """Return angular distances (arcsec) of positions from one position; exact at any distance."""
    one, many = _unit(ra_deg, dec_deg), _unit(np.asarray(ra, float), np.asarray(dec, float))
    chord = np.linalg.norm(many - one, axis=-1)
    return np.rad2deg(2 * np.arcsin(np.clip(chord / 2, 0, 1))) * 3600


def _unit(ra_deg: Any, dec_deg: Any) -> NDArray[np.float64]:
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
