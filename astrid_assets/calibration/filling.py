"""Values for pixels that were not measured: from their neighbours where these allow it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SIGMA_PIX = 1.0
_LEAST_WEIGHT = 0.05


def filled(
    data: NDArray[np.float32], *, where: NDArray[np.bool_], unusable: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return data with the pixels `where` replaced, and which of them were interpolated.

    A replaced pixel gets the Gaussian-weighted mean (sigma 1 px) of the usable pixels around it;
    where there are too few it gets 0. data: finite outside `unusable`, which contains `where`.
    """
    if not where.any():
        return data.astype(np.float32), np.zeros(data.shape, bool)
    good = ~unusable
    weight = ndimage.gaussian_filter(good.astype(np.float32), _SIGMA_PIX, mode="constant")
    total = ndimage.gaussian_filter(
        np.where(good, data, np.float32(0)).astype(np.float32), _SIGMA_PIX, mode="constant"
    )
    interpolated = where & (weight > _LEAST_WEIGHT)
    out = np.where(where, np.float32(0), data).astype(np.float32)
    out[interpolated] = total[interpolated] / weight[interpolated]
    return out, interpolated
