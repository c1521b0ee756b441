"""The pictures of a transient's epochs: stamps cut from stored images at its position."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from astrid_assets.catalog.current import DIFFERENCE_ROLE
from astrid_assets.catalog.lightcurve import LightCurvePoint, pixel_position
from astrid_assets.imaging.figures import stamp_png
from astrid_resources.database import DifferenceRun, ProductRow
from astrid_resources.images import Image, MaskPlane, has_any, read_difference, read_image
from astrid_resources.objects import ObjectStore

STAMP_PIX = 63
REFERENCE_ROLE, SCIENCE_ROLE = "reference_on_science", "image"


@dataclass(frozen=True)
class EpochPictures:
    """PNG bytes by kind, and the width of the stamps in arcsec."""

    stamps: dict[str, bytes] = field(repr=False)
    width_arcsec: float


def latest_pictures(
    session: Session,
    store: ObjectStore,
    points: Sequence[LightCurvePoint],
    *,
    ra: float,
    dec: float,
) -> dict[str, EpochPictures]:
    """Return the pictures of each point by its difference run; images not stored are left out."""
    found: dict[str, EpochPictures] = {}
    for point in points:
        run = session.get_one(DifferenceRun, UUID(point.difference_run_id))
        product = session.get(ProductRow, run.manifest_id)
        if product is None or DIFFERENCE_ROLE not in product.objects:
            continue
        content = store.get_bytes(product.objects[DIFFERENCE_ROLE]["key"])
        difference = read_difference(io.BytesIO(content))
        place = pixel_position(difference.image.wcs, difference.image.shape, ra, dec)
        if place is None:
            continue
        empty = has_any(difference.image.mask, MaskPlane.NO_DATA)
        images = {
            "science": _stored(store, _calibrated(session, run.observation_id), SCIENCE_ROLE),
            "reference": _stored(store, product, REFERENCE_ROLE),
        }
        planes = {kind: image.data for kind, image in images.items() if image is not None}
        planes |= {"difference": difference.image.data, "score": difference.score_corrected}
        stamps = {}
        for kind, plane in planes.items():
            hidden = empty if kind in ("difference", "score") else None
            stamp, mark = cut(plane, *place, size_pix=STAMP_PIX, hidden=hidden)
            stamps[kind] = stamp_png(stamp, kind, mark=mark)
        scale = float(np.mean(proj_plane_pixel_scales(difference.image.wcs))) * 3600
        found[point.difference_run_id] = EpochPictures(stamps, STAMP_PIX * scale)
    return found


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
