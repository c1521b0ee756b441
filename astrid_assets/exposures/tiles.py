"""Tiles: the scheduling key of an exposure, never the sky coverage.

A survey with fixed fields uses its field and detector; any other a HEALPix cell (NESTED), written
`<order>-<ipix>`, whose side is at least four fields.
"""

from __future__ import annotations

import math
import re

import numpy as np
from astropy import units as u
from astropy_healpix import lonlat_to_healpix

from astrid_assets.exposures.rejection import Reason, RejectedFile

FIELDS_PER_SIDE = 4
MAX_ORDER = 29
MAX_TILE_LENGTH = 64
TILE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What a tile may be called: it becomes a partition key and a folder name."""

_SIDE_OF_ORDER_0_DEG = math.degrees(math.sqrt(4 * math.pi / 12))


def cell_side_deg(order: int) -> float:
    """Return the side of a HEALPix cell of `order` in degrees (square root of its area)."""
    return _SIDE_OF_ORDER_0_DEG / 2**order


def healpix_order_for(field_size_deg: float) -> int:
    """Return the finest HEALPix order whose cell side is at least four fields.

    Raises ValueError where no cell is large enough: such a survey needs fixed fields.
    """
    largest = _SIDE_OF_ORDER_0_DEG / FIELDS_PER_SIDE
    if not 0 < field_size_deg <= largest:
        raise ValueError(
            f"a field of {field_size_deg} deg has no HEALPix cell of {FIELDS_PER_SIDE} fields: "
            f"the size must be in (0, {largest:.2f}] deg; declare fixed fields instead"
        )
    order = math.floor(math.log2(largest / field_size_deg))
    while order > 0 and cell_side_deg(order) < FIELDS_PER_SIDE * field_size_deg:
        order -= 1
    return min(order, MAX_ORDER)


def healpix_tile(ra_deg: float, dec_deg: float, *, order: int) -> str:
    """Return the tile `<order>-<ipix>` that holds the position (degrees, ICRS)."""
    if not (math.isfinite(ra_deg) and -90 <= dec_deg <= 90):
        raise ValueError(f"no such position on the sky: ra {ra_deg}, dec {dec_deg}")
    ipix = lonlat_to_healpix(
        np.mod(ra_deg, 360.0) * u.deg, dec_deg * u.deg, 2**order, order="nested"
    )
    return f"{order}-{int(ipix)}"


def checked_tile(name: str) -> str:
    """Return `name` if it may be a tile's name.

    Raises RejectedFile otherwise: `|` would break a partition key, `/` or a leading dot a path.
    """
    if len(name) > MAX_TILE_LENGTH or TILE_PATTERN.fullmatch(name) is None:
        raise RejectedFile(
            f"the tile name {name[:80]!r} is not allowed: at most {MAX_TILE_LENGTH} letters, "
            "digits and _ . + - are, the first a letter or digit; map the field in the survey's "
            "declaration",
            reason=Reason.BAD_TILE,
        )
    return name


def field_tile(parts: list[str]) -> str:
    """Return the tile of a survey with fixed fields: its header values joined by `-`.

    Blanks become `_`; anything else that is not allowed is refused, never rewritten silently.
    """
    return checked_tile("-".join("_".join(part.split()) for part in parts))
