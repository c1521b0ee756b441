"""Which detections are one source on the sky, and whether that source was seen to stand still.

Pure functions of a set of detections: no tiles, no nights, no order of arrival. Names are given
elsewhere (`names`), fluxes too (`lightcurve`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from astrid_assets.imaging.sphere import unit_vectors

ARCSEC = math.pi / 180 / 3600
_MINUTES_PER_DAY = 1440.0


@dataclass(frozen=True)
class AssociationSettings:
    """When two detections are one source, and when a source is confirmed.

    radius_arcsec: detections closer than this are linked.
    min_separation_minutes: least time between the first and the last detection of a confirmed one.
    position_floor_arcsec: systematic position error per axis, added in quadrature.
    unknown_error_arcsec: position error taken for a detection that has none of its own.
    motion_chi2_max: largest chi^2 (2 degrees of freedom) of a fitted motion that still counts as
        standing still; 11.83 is 3 sigma.
    """

    radius_arcsec: float = 1.0
    min_separation_minutes: float = 15.0
    position_floor_arcsec: float = 0.1
    unknown_error_arcsec: float = 0.5
    motion_chi2_max: float = 11.83


@dataclass(frozen=True)
class DetectionArrays:
    """Detections as arrays of one length.

    ids: unique strings. ra, dec: ICRS degrees. mjd_mid_tai: days.
    position_error_arcsec: standard error per axis on the sky.
    """

    ids: tuple[str, ...]
    ra: NDArray[np.float64] = field(repr=False)
    dec: NDArray[np.float64] = field(repr=False)
    mjd_mid_tai: NDArray[np.float64] = field(repr=False)
    position_error_arcsec: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("ra", "dec", "mjd_mid_tai", "position_error_arcsec"):
            array = np.array(getattr(self, name), float)
            if array.shape != (len(self.ids),) or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} must be {len(self.ids)} finite numbers, got shape {array.shape}"
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("detection ids must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> DetectionArrays:
        """Return no detections."""
        return cls((), *(np.empty(0) for _ in range(4)))

    def take(self, indices: Iterable[int]) -> DetectionArrays:
        """Return the detections at `indices`, in that order."""
        chosen = np.fromiter(indices, int)
        return DetectionArrays(
            tuple(self.ids[i] for i in chosen),
            self.ra[chosen],
            self.dec[chosen],
            self.mjd_mid_tai[chosen],
            self.position_error_arcsec[chosen],
        )

    def joined(self, other: DetectionArrays) -> DetectionArrays:
        """Return these detections and those of `other` that are not among them."""
        known = set(self.ids)
        new = other.take(i for i, identity in enumerate(other.ids) if identity not in known)
        return DetectionArrays(
            self.ids + new.ids,
            np.concatenate([self.ra, new.ra]),
            np.concatenate([self.dec, new.dec]),
            np.concatenate([self.mjd_mid_tai, new.mjd_mid_tai]),
            np.concatenate([self.position_error_arcsec, new.position_error_arcsec]),
        )


@dataclass(frozen=True)
class Group:
    """The detections of one source, ordered by time, ties by id; groups compare by their ids."""

    ids: tuple[str, ...]
    members: DetectionArrays = field(compare=False, repr=False)


@dataclass(frozen=True)
class Confirmation:
    """Whether a source was seen twice in the same place.

    status: "confirmed" or "single_epoch". reason: why, in words.
    time_span_minutes: between first and last detection.
    motion_arcsec_per_hour, motion_chi2: fitted proper motion and its chi^2; None for one epoch.
    """

    status: str
    reason: str
    time_span_minutes: float
    motion_arcsec_per_hour: float | None = None
    motion_chi2: float | None = None


def separation_arcsec(
    ra_1: float | NDArray[np.float64],
    dec_1: float | NDArray[np.float64],
    ra_2: float | NDArray[np.float64],
    dec_2: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the angle between positions in degrees, arcsec; exact for small and large angles."""
    one = unit_vectors(np.asarray(ra_1, float), np.asarray(dec_1, float))
    two = unit_vectors(np.asarray(ra_2, float), np.asarray(dec_2, float))
    chord = np.sqrt(np.sum((one - two) ** 2, axis=-1))
    return 2 * np.arcsin(np.minimum(chord / 2, 1)) / ARCSEC


def associate(detections: DetectionArrays, *, radius_arcsec: float) -> tuple[Group, ...]:
    """Return the groups of detections linked by chains of steps of at most `radius_arcsec`.

    Friends of friends on the sphere: the result depends on the set alone, not on its order, and
    knows no tile, no meridian and no pole. Groups are ordered by their first detection.
    """
    if len(detections) == 0:
        return ()
    vectors = unit_vectors(detections.ra, detections.dec)
    chord = 2 * math.sin(radius_arcsec * ARCSEC / 2)
    # The tree may round at the rim; the links are those that this symmetric formula allows.
    pairs = cKDTree(vectors).query_pairs(chord * (1 + 1e-9), output_type="ndarray")
    near = np.sum((vectors[pairs[:, 0]] - vectors[pairs[:, 1]]) ** 2, axis=1) <= chord**2
    first, second = pairs[near].T
    n = len(detections)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    n_groups, label = connected_components(graph, directed=False)
    in_order = sorted(range(n), key=lambda i: (detections.mjd_mid_tai[i], detections.ids[i]))
    members: list[list[int]] = [[] for _ in range(n_groups)]
    for index in in_order:
        members[label[index]].append(index)
    members.sort(key=lambda rows: (detections.mjd_mid_tai[rows[0]], detections.ids[rows[0]]))
    taken = [detections.take(rows) for rows in members]
    return tuple(Group(part.ids, part) for part in taken)


def connected_region(
    seeds: DetectionArrays, neighbours: Callable[[DetectionArrays], DetectionArrays]
) -> DetectionArrays:
    """Return every detection that a chain of links joins to `seeds`, the seeds among them.

    neighbours: given detections, returns at least all those within the linking radius of any.
    """
    region, frontier = seeds, seeds
    while len(frontier):
        found = neighbours(frontier)
        known = set(region.ids)
        frontier = found.take(i for i, identity in enumerate(found.ids) if identity not in known)
        region = region.joined(frontier)
    return region


def tangent_offsets_arcsec(
    members: DetectionArrays, ra: float, dec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets east and north of (ra, dec) in the tangent plane, arcsec."""
    a, d = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    offsets = unit_vectors(members.ra, members.dec) - unit_vectors(np.array(ra), np.array(dec))
    return offsets @ east / ARCSEC, offsets @ north / ARCSEC


def confirmation(
    group: Group, *, settings: AssociationSettings = AssociationSettings()
) -> Confirmation:
    """Return whether `group` was detected twice, long enough apart, without moving.

    The motion is a weighted straight line through the positions; a source that moves by more than
    its errors allow stays "single_epoch", most likely an asteroid.
    """
    members = group.members
    time = (members.mjd_mid_tai - members.mjd_mid_tai[0]) * _MINUTES_PER_DAY
    span = float(time[-1])
    needed = settings.min_separation_minutes
    if span < needed:
        seen = "one detection" if len(members) == 1 else f"{len(members)} within {span:.1f} min"
        return Confirmation(
            "single_epoch", f"{seen}; two at least {needed:g} min apart confirm", span
        )
    weight = 1 / (members.position_error_arcsec**2 + settings.position_floor_arcsec**2)
    x, y = tangent_offsets_arcsec(members, float(members.ra[0]), float(members.dec[0]))
    centred = time - np.sum(weight * time) / np.sum(weight)
    lever = np.sum(weight * centred**2)
    speed_x, speed_y = (float(np.sum(weight * centred * axis) / lever) for axis in (x, y))
    chi2 = float((speed_x**2 + speed_y**2) * lever)
    motion = 60 * math.hypot(speed_x, speed_y)
    if chi2 > settings.motion_chi2_max:
        reason = (
            f"moves by {motion:.2f} arcsec/h (chi2 {chi2:.1f}, "
            f"stationary up to {settings.motion_chi2_max:g})"
        )
        return Confirmation("single_epoch", reason, span, motion, chi2)
    reason = f"{len(members)} detections over {span:.0f} min, stationary (chi2 {chi2:.1f})"
    return Confirmation("confirmed", reason, span, motion, chi2)


def best_by_time(members: DetectionArrays, significance: Sequence[float]) -> tuple[int, ...]:
    """Return the index of the strongest member at each time, ties by id, in order of time."""
    best: dict[float, int] = {}
    for index, time in enumerate(members.mjd_mid_tai.tolist()):
        other = best.get(time)
        if other is None or (-abs(significance[index]), members.ids[index]) < (
            -abs(significance[other]),
            members.ids[other],
        ):
            best[time] = index
    return tuple(best[time] for time in sorted(best))
