"""Stamps cut from images around many positions at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cut(image: NDArray[Any], x: Floats, y: Floats, *, half: int, outside: float) -> NDArray[Any]:
    """Return stamps (n, 2 half + 1, 2 half + 1) around the nearest pixels, `outside` beyond."""
    ny, nx = image.shape
    offset = np.arange(-half, half + 1)
    rows = np.rint(y).astype(int)[:, None, None] + offset[None, :, None]
    columns = np.rint(x).astype(int)[:, None, None] + offset[None, None, :]
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    values = image[np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)]
    return np.where(inside, values, image.dtype.type(outside))


def offsets(x: Floats, y: Floats, *, half: int) -> tuple[Floats, Floats]:
    """Return pixel offsets (dx, dy) from the true positions, on the stamps of `cut`."""
    offset = np.arange(-half, half + 1)
    dx = offset[None, None, :] - (x - np.rint(x))[:, None, None]
    dy = offset[None, :, None] - (y - np.rint(y))[:, None, None]
    return np.broadcast_arrays(dx, dy)  # type: ignore[return-value]
