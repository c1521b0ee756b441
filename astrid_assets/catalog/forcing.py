"""Forced measurements at many positions on stored differences and references, each read once.

Reads the object store; what is measured is `lightcurve`'s business. Results are remembered by
content hash and position, so that a plan measured before a lock need not be measured again in it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field

from astrid_assets.catalog.current import StoredDifference
from astrid_assets.catalog.lightcurve import (
    ForcedPoint,
    FrozenPosition,
    LightCurveSettings,
    ReferenceFlux,
    forced_point,
    reference_flux,
)
from astrid_resources.images import read_difference, read_image
from astrid_resources.objects import ObjectStore

_Key = tuple[str, float, float]


@dataclass(frozen=True)
class Measured:
    """What is known so far, by (content, ra, dec); None: the image has no data there."""

    points: dict[_Key, ForcedPoint | None] = field(default_factory=dict)
    references: dict[_Key, ReferenceFlux | None] = field(default_factory=dict)


def measure(
    store: ObjectStore,
    measured: Measured,
    *,
    positions: Iterable[FrozenPosition],
    differences: Iterable[StoredDifference],
    settings: LightCurveSettings,
) -> None:
    """Add to `measured` every position on every difference and reference that may cover it."""
    places = [(place.ra, place.dec) for place in positions]
    wanted: dict[str, set[tuple[float, float]]] = {}
    for difference in differences:
        missing = [
            place
            for place in places
            if difference.circle.holds(*place)
            and (difference.sha256, *place) not in measured.points
        ]
        if missing:
            image = read_difference(io.BytesIO(store.get_bytes(difference.key)))
            for ra, dec in missing:
                point = forced_point(image, ra=ra, dec=dec, settings=settings)
                measured.points[(difference.sha256, ra, dec)] = point
        if difference.reference_key is not None:
            wanted.setdefault(difference.reference_key, set()).update(
                place for place in places if measured.points.get((difference.sha256, *place))
            )
    for key, reference_places in wanted.items():
        unknown = sorted(p for p in reference_places if (key, *p) not in measured.references)
        if unknown:
            reference = read_image(io.BytesIO(store.get_bytes(key)))
            for ra, dec in unknown:
                measured.references[(key, ra, dec)] = reference_flux(reference, ra=ra, dec=dec)


def point_of(
    measured: Measured, difference: StoredDifference, position: FrozenPosition
) -> tuple[ForcedPoint, ReferenceFlux | None] | None:
    """Return the forced point and the reference's flux in science counts, None where no data."""
    place = (position.ra, position.dec)
    point = measured.points.get((difference.sha256, *place))
    if point is None:
        return None
    if difference.reference_key is None or not difference.flux_ratio:
        return point, None
    own = measured.references.get((difference.reference_key, *place))
    if own is None:
        return point, None
    ratio = difference.flux_ratio
    return point, ReferenceFlux(own.flux_adu / ratio, own.flux_adu_error / ratio)
