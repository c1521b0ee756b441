"""The shape of a PSF stamp: Gaussian-weighted second moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_N_ITERATIONS = 60
_CONVERGED = 1e-5


@dataclass(frozen=True)
class Shape:
    """An ellipse: 1 - minor/major axis, and the angle of the major axis from +x to +y, degrees."""

    ellipticity: float
    angle_deg: float


def stamp_shape(stamp: NDArray[np.float32]) -> Shape:
    """Return the shape of `stamp` (n, n), by adaptive moments.

    After Bernstein & Jarvis (2002, AJ 123, 583): the weight is the Gaussian that matches the
    moments it measures, so that wings and noise far from the core do not count.
    """
    n = stamp.shape[0]
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    offsets = np.stack([x.ravel(), y.ravel()])
    values = stamp.ravel().astype(float)
    cov = np.eye(2) * (n / 12) ** 2
    for _ in range(_N_ITERATIONS):
        weight = np.exp(-0.5 * np.einsum("ik,ij,jk->k", offsets, np.linalg.inv(cov), offsets))
        total = float(weight @ values)
        if total <= 0:
            break
        measured = 2 * (offsets * (weight * values)) @ offsets.T / total
        if np.linalg.eigvalsh(measured)[0] <= 0:
            break
        change = np.abs(measured - cov).max() / np.trace(cov)
        cov = measured
        if change < _CONVERGED:
            break
    sizes, axes = np.linalg.eigh(cov)
    angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))) % 180.0
    return Shape(1 - float(np.sqrt(sizes[0] / sizes[1])), angle)
