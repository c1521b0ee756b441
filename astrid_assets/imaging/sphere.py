"""Directions on the sky as unit vectors: right at the poles and at RA 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors (..., 3) of positions in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
