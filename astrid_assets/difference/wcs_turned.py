"""A WCS turned on the sphere (and stretched) so that its stars come to lie where they are."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from astrid_assets.imaging.sphere import unit_vectors
from astrid_resources.images import KnownFailure

Floats = NDArray[np.float64]
_CLOSURE_ARCSEC = 0.05
_N_STARS_TO_TURN = 6


class WCSNotTurnableError(KnownFailure):
    """The WCS would have to be turned too far, or its projection cannot be turned."""


def similarity(at: Floats, residual: Floats) -> tuple[float, float]:
    """Return rotation (radians, x towards y) and stretch that best explain residuals at points.

    at, residual: (n, 2) pixels. A shift of all is allowed for.
    """
    p, r = at - at.mean(axis=0), residual - residual.mean(axis=0)
    power = float((p**2).sum())
    if power == 0:
        return 0.0, 0.0
    turn = float((p[:, 0] * r[:, 1] - p[:, 1] * r[:, 0]).sum()) / power
    return turn, float((p * r).sum()) / power


def turned_wcs(
    wcs: WCS,
    at: Floats,
    target: Floats,
    *,
    turn_max_deg: float,
    scale_off_max: float,
    is_shift: bool = False,
) -> WCS:
    """Return `wcs` turned so that pixels `at` (n, 2) lie at `target` (n, 2; RA, Dec in degrees).

    The rotation of the sphere is the least-squares one (Kabsch 1976, Acta Cryst. A32, 922); with
    few stars, or where only a shift is wanted, it is the shortest that brings their mean direction
    right. The scale is changed only where many stars show that it is off. Distortions stay.
    Raises WCSNotTurnableError.
    """
    goal = unit_vectors(*target.T)
    many = len(at) >= _N_STARS_TO_TURN and not is_shift
    stretch = _stretch(_directions(wcs, at), goal) if many else 1.0
    if abs(stretch - 1) > scale_off_max:
        raise WCSNotTurnableError(
            f"the stars want another pixel scale (factor {stretch:.4g}), allowed is a change by "
            f"{scale_off_max:g}: the WCS is wrong; solve the field's astrometry",
            scale_factor=stretch,
            scale_off_max=scale_off_max,
        )
    scaled = _with_linear(wcs, np.eye(2) * stretch)
    start = _directions(scaled, at)
    rotation = _kabsch(start, goal) if many else _shortest(start.mean(axis=0), goal.mean(axis=0))
    out, turn_deg = _rotated(scaled, rotation)
    if abs(turn_deg) > turn_max_deg:
        raise WCSNotTurnableError(
            f"the stars want the image turned by {turn_deg:.3g} degrees, allowed are "
            f"{turn_max_deg:g}: the WCS is wrong; solve the field's astrometry",
            turn_deg=turn_deg,
            turn_max_deg=turn_max_deg,
        )
    missed = np.degrees(np.linalg.norm(_directions(out, at) - start @ rotation.T, axis=1).max())
    if not missed * 3600 <= _CLOSURE_ARCSEC:
        raise WCSNotTurnableError(
            f"a WCS with axes {list(wcs.wcs.ctype)} cannot be turned: it misses by "
            f"{missed * 3600:.2g} arcsec; solve the field's astrometry",
            missed_arcsec=float(missed * 3600),
        )
    return out


def _directions(wcs: WCS, at: Floats) -> Floats:
    return unit_vectors(*wcs.all_pix2world(at[:, 0], at[:, 1], 0))


def _stretch(start: Floats, goal: Floats) -> float:
    spread = [float(np.sqrt(((v - v.mean(axis=0)) ** 2).sum())) for v in (start, goal)]
    return spread[1] / spread[0]


def _kabsch(start: Floats, goal: Floats) -> Floats:
    u, _, vt = np.linalg.svd(start.T @ goal)
    sign = np.sign(np.linalg.det(vt.T @ u.T))
    return np.asarray(vt.T @ np.diag([1.0, 1.0, sign]) @ u.T)


def _shortest(start: Floats, goal: Floats) -> Floats:
    a, b = start / np.linalg.norm(start), goal / np.linalg.norm(goal)
    axis = np.cross(a, b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + float(a @ b)))


def _rotated(wcs: WCS, rotation: Floats) -> tuple[WCS, float]:
    """Return the WCS whose sky is `rotation` times the old one, and the turn of north in degrees.

    The reference point moves with the sky; the plane turns by the angle between the old north,
    moved there, and the north that is found there.
    """
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    old = unit_vectors(wcs.wcs.crval[lng], wcs.wcs.crval[lat])
    new = rotation @ old
    ra, dec = np.degrees(np.arctan2(new[1], new[0])) % 360, np.degrees(np.arcsin(new[2]))
    east, north = _axes(ra, dec)
    moved = rotation @ _axes(wcs.wcs.crval[lng], wcs.wcs.crval[lat])[1]
    angle = float(np.arctan2(moved @ east, moved @ north))
    c, s = np.cos(angle), np.sin(angle)
    plane = np.array([[c, s], [-s, c]]) if lng < lat else np.array([[c, -s], [s, c]])
    out = _with_linear(wcs, plane)
    crval = out.wcs.crval.copy()
    crval[lng], crval[lat] = ra, dec
    out.wcs.crval = crval
    out.wcs.set()
    return out, float(np.degrees(angle))


def _axes(ra: float, dec: float) -> tuple[Floats, Floats]:
    a, d = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    return east, north


def _with_linear(wcs: WCS, matrix: Floats) -> WCS:
    """Return a copy whose intermediate world coordinates are `matrix` times the old ones."""
    out = wcs.deepcopy()
    if out.wcs.has_cd():
        out.wcs.cd = matrix @ wcs.wcs.cd
    else:
        scale = np.diag(wcs.wcs.get_cdelt())
        out.wcs.pc = np.linalg.inv(scale) @ matrix @ scale @ wcs.wcs.get_pc()
    out.wcs.set()
    return out
