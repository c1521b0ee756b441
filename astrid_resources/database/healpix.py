"""HEALPix indices of sky positions: NESTED, order 29, which fits a signed BIGINT."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDER = 29


def healpix29(ra_deg: float, dec_deg: float) -> int:
    """Return the HEALPix index (NESTED, order 29) of a position in degrees, ICRS."""
    return int(healpix29_array(np.array([ra_deg]), np.array([dec_deg]))[0])


def healpix29_array(ra_deg: Any, dec_deg: Any) -> NDArray[np.int64]:
    """Return the HEALPix indices (NESTED, order 29) of positions in degrees, ICRS.

    Raises ValueError for a position off the sphere.
    """
    from astropy import units
    from astropy_healpix import lonlat_to_healpix

    ra = np.atleast_1d(np.asarray(ra_deg, float))
    dec = np.atleast_1d(np.asarray(dec_deg, float))
    if not (np.isfinite(ra).all() and (np.abs(dec) <= 90).all()):
        raise ValueError("a sky position needs a finite ra and a dec in [-90, 90] degrees")
    index = lonlat_to_healpix(ra * units.deg, dec * units.deg, 2**ORDER, order="nested")
    return np.asarray(index, np.int64)
