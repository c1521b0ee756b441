"""Cone search and cross-match by ranges of HEALPix indices: right at the poles and at RA 0.

No extension of the database is needed; both have the answers of brute force.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from astrid_resources.database.rows import TableLike, chunks, table_of

_CELL_ARCSEC = 58.6 * 3600
_MAX_RADIUS_ARCSEC = 180 * 3600
_WHOLE_SKY_ARCSEC = 179 * 3600
_CROSS_MATCH_ARCSEC = 3600
_RANGES_AT_ONCE = 400


@dataclass(frozen=True)
class Match:
    """A row within the radius of a position: the position's index, the row, the distance."""

    index: int
    row: dict[str, Any]
    distance_arcsec: float


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


def cross_match(
    session: Session,
    table: TableLike,
    ra_deg: Any,
    dec_deg: Any,
    radius_arcsec: float,
    *,
    where: sa.ColumnElement[bool] | None = None,
) -> list[Match]:
    """Return every row within `radius_arcsec` of each of many positions (deg, ICRS).

    In order of position, then distance; a row near two positions is there twice. table, where: as
    in `cone_search`. radius_arcsec: up to a degree.
    """
    from scipy.spatial import cKDTree

    table = table_of(table)
    if not 0 < radius_arcsec <= _CROSS_MATCH_ARCSEC:
        raise ValueError(
            f"radius_arcsec must be in (0, {_CROSS_MATCH_ARCSEC}], not {radius_arcsec}"
        )
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    if not ra.size:
        return []
    tree = cKDTree(_unit(ra, dec))
    chord = 2 * math.sin(math.radians(radius_arcsec / 3600) / 2)
    matches = []
    for some in chunks(_cones_ranges(ra, dec, radius_arcsec).tolist(), size=_RANGES_AT_ONCE):
        near = (
            sa.values(sa.column("low", sa.BigInteger), sa.column("high", sa.BigInteger))
            .data([(low, high) for low, high in some])
            .cte("near")
        )
        query = sa.select(table).join(near, table.c.healpix29.between(near.c.low, near.c.high - 1))
        if where is not None:
            query = query.where(where)
        rows = [dict(row) for row in session.execute(query).mappings()]
        if not rows:
            continue
        places = _unit([row["ra"] for row in rows], [row["dec"] for row in rows])
        for row, indices in zip(rows, tree.query_ball_point(places, 1.001 * chord), strict=True):
            if indices:
                far = separation_arcsec(row["ra"], row["dec"], ra[indices], dec[indices])
                matches += [
                    Match(index, row, float(distance))
                    for index, distance in zip(indices, far, strict=True)
                    if distance <= radius_arcsec
                ]
    return sorted(matches, key=lambda m: (m.index, m.distance_arcsec, str(m.row["id"])))


def _cones_ranges(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], radius_arcsec: float
) -> NDArray[np.uint64]:
    """Return the order-29 index ranges [low, high) that cover many cones; none overlap."""
    from astropy import units
    from mocpy import MOC

    moc = MOC.from_cones(
        lon=ra_deg * units.deg,
        lat=dec_deg * units.deg,
        radius=radius_arcsec * (1 + 1e-9) * units.arcsec,
        max_depth=_depth(radius_arcsec),
        union_strategy="small_cones",
    )
    return np.asarray(moc.to_depth29_ranges)


def _depth(radius_arcsec: float) -> int:
    return min(max(math.floor(math.log2(_CELL_ARCSEC / radius_arcsec)) + 1, 0), 27)


def cone_ranges(ra_deg: float, dec_deg: float, radius_arcsec: float) -> NDArray[np.uint64]:
    """Return the order-29 index ranges [low, high) that cover a cone; shape (n, 2)."""
    from astropy import units
    from mocpy import MOC

    if radius_arcsec >= _WHOLE_SKY_ARCSEC:
        return np.array([[0, 12 * 4**29]], np.uint64)
    moc = MOC.from_cone(
        lon=ra_deg * units.deg,
        lat=dec_deg * units.deg,
        radius=radius_arcsec * (1 + 1e-9) * units.arcsec,
        max_depth=_depth(radius_arcsec),
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
