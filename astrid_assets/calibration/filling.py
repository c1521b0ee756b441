"""Values for pixels that were not measured: from their neighbours where these allow it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SIGMA_PIX = 1.0
_RADIUS_PIX = 4
_LEAST_WEIGHT = 0.05


def filled(
    data: NDArray[np.float32], *, where: NDArray[np.bool_], unusable: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return data with the pixels `where` replaced, and which of them were interpolated.

    A replaced pixel gets the Gaussian-weighted mean (sigma 1 px) of the usable pixels around it;
    where there are too few it gets 0. data: finite outside `unusable`, which contains `where`.
    """
    out = np.array(data, np.float32, order="C")
    interpolated = np.zeros(data.shape, bool)
    y, x = np.divmod(np.flatnonzero(where), data.shape[1])
    _fill(y, x, data, unusable, _weights(), out, interpolated)
    return out, interpolated


def _weights() -> NDArray[np.float64]:
    offset = np.arange(-_RADIUS_PIX, _RADIUS_PIX + 1)
    line = np.exp(-0.5 * (offset / _SIGMA_PIX) ** 2)
    line /= line.sum()
    return np.outer(line, line)


@njit(cache=True, nogil=True)
def _fill(ys, xs, data, unusable, weights, out, interpolated):  # type: ignore[no-untyped-def]
    """Set pixels (ys, xs) of `out` to the weighted mean of usable `data` around, or to 0."""
    ny, nx = data.shape
    radius = weights.shape[0] // 2
    for k in range(ys.size):
        y0, x0 = ys[k], xs[k]
        total = weight = 0.0
        for y in range(max(y0 - radius, 0), min(y0 + radius + 1, ny)):
            for x in range(max(x0 - radius, 0), min(x0 + radius + 1, nx)):
                if not unusable[y, x]:
                    share = weights[y - y0 + radius, x - x0 + radius]
                    weight += share
                    total += share * data[y, x]
        is_known = weight > _LEAST_WEIGHT
        interpolated[y0, x0] = is_known
        out[y0, x0] = total / weight if is_known else 0.0
