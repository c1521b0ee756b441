"""The pictures of a transient's epochs: stamps cut from stored images at its position."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from astrid_assets.catalog.current import DIFFERENCE_ROLE
from astrid_assets.catalog.lightcurve import pixel_position
from astrid_assets.imaging.figures import stamp_png
from astrid_resources.database import DifferenceRun, ProductRow
from astrid_resources.images import (
    DifferenceImage,
    Image,
    MaskPlane,
    has_any,
    read_difference,
    read_image,
)
from astrid_resources.objects import ObjectStore

STAMP_PIX = 63
REFERENCE_ROLE, SCIENCE_ROLE = "reference_on_science", "image"


@dataclass(frozen=True)
class EpochPictures:
    """PNG bytes by kind, and the width of the stamps in arcsec."""

    stamps: dict[str, bytes] = field(repr=False)
    width_arcsec: float


@dataclass(frozen=True)
class Place:
    """A transient whose pictures are wanted: its name and position in ICRS degrees."""

    name: str
    ra: float
    dec: float


def epoch_pictures(
    session: Session, store: ObjectStore, wanted: Mapping[str, Sequence[Place]]
) -> dict[tuple[str, str], EpochPictures]:
    """Return pictures by (difference run id, transient name); each stored image is read once.

    wanted: the places to picture on each difference run, by its id. Images that are not stored
    are left out.
    """
    found: dict[tuple[str, str], EpochPictures] = {}
    for run_id in sorted(wanted):
        run = session.get_one(DifferenceRun, UUID(run_id))
        product = session.get(ProductRow, run.manifest_id)
        if product is None or DIFFERENCE_ROLE not in product.objects:
            continue
        content = store.get_bytes(product.objects[DIFFERENCE_ROLE]["key"])
        difference = read_difference(io.BytesIO(content))
        images = {
            "science": _stored(store, _calibrated(session, run.observation_id), SCIENCE_ROLE),
            "reference": _stored(store, product, REFERENCE_ROLE),
        }
        planes = {kind: image.data for kind, image in images.items() if image is not None}
        for place in wanted[run_id]:
            pictures = _pictures(difference, planes, place)
            if pictures is not None:
                found[run_id, place.name] = pictures
    return found


def _pictures(
    difference: DifferenceImage, planes: Mapping[str, NDArray[np.float32]], place: Place
) -> EpochPictures | None:
    wcs = difference.image.wcs
    pixel = pixel_position(wcs, difference.image.shape, place.ra, place.dec)
    if pixel is None:
        return None
    empty = has_any(difference.image.mask, MaskPlane.NO_DATA)
    searched = {"difference": difference.image.data, "score": difference.score_corrected}
    stamps = {}
    for kind, plane in {**planes, **searched}.items():
        hidden = empty if kind in searched else None
        stamp, mark = cut(plane, *pixel, size_pix=STAMP_PIX, hidden=hidden)
        stamps[kind] = stamp_png(stamp, kind, mark=mark)
    scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
    return EpochPictures(stamps, STAMP_PIX * scale)


def cut(
    data: NDArray[np.floating],
    x: float,
    y: float,
    *,
    size_pix: int,
    hidden: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return a stamp [y, x] round (x, y), NaN off the image, and where (x, y) is on the stamp."""
    half = size_pix // 2
    x0, y0 = round(x) - half, round(y) - half
    stamp = np.full((size_pix, size_pix), np.nan, np.float32)
    ny, nx = data.shape
    rows = slice(max(y0, 0), min(y0 + size_pix, ny))
    columns = slice(max(x0, 0), min(x0 + size_pix, nx))
    inside = np.array(data[rows, columns], np.float32)
    if hidden is not None:
        inside[hidden[rows, columns]] = np.nan
    stamp[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = inside
    return stamp, (x - x0, y - y0)


def _calibrated(session: Session, observation_id: UUID) -> ProductRow | None:
    return session.scalar(
        sa.select(ProductRow)
        .where(
            ProductRow.asset == "calibrated_exposures",
            ProductRow.observation_id == observation_id,
            ProductRow.is_current.is_(True),
        )
        .order_by(ProductRow.updated_at.desc(), ProductRow.id)
        .limit(1)
    )


def _stored(store: ObjectStore, product: ProductRow | None, role: str) -> Image | None:
    if product is None or role not in product.objects:
        return None
    return read_image(io.BytesIO(store.get_bytes(product.objects[role]["key"])))
