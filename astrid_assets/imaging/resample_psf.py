"""What resampling does to a PSF model: new geometry, local rotation and scale, kernel blur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from astrid_assets.imaging.lanczos import transfer
from astrid_resources.images import PSFModel
from astrid_resources.images.psf import polynomial_terms

_IDENTITY_TOLERANCE = 1e-4
_NODES = 5


def resampled_psf(
    psf: PSFModel, positions: NDArray[np.float64], step: int, shape: tuple[int, int]
) -> PSFModel:
    """Return `psf` as it is after resampling, a model on the output grid of `shape` (ny, nx).

    positions: input (x, y) at grid nodes, (2, my, mx), one node of `step` pixels beyond each edge.
    The stamps are carried by the local Jacobian where it is not the identity to 1e-4, and blurred
    by the phase-averaged Lanczos transfer wherever pixels were interpolated.
    """
    nodes = _sample_nodes(positions, step, shape)
    if not nodes:
        return PSFModel(psf.stamps, psf.order, shape)
    order = psf.order
    if len(nodes) < 3 * psf.stamps.shape[0]:
        order = 0
    stamps, terms = [], []
    for x, y, u, v, jacobian in nodes:
        stamps.append(_carried(psf.at(u, v), jacobian, is_exact=_is_whole(u - x, v - y, jacobian)))
        terms.append(
            polynomial_terms(
                2 * x / max(shape[1] - 1, 1) - 1, 2 * y / max(shape[0] - 1, 1) - 1, order=order
            )
        )
    size = psf.size
    design = np.array(terms)
    solution = np.linalg.lstsq(design, np.array(stamps).reshape(len(stamps), -1), rcond=None)[0]
    return PSFModel(
        np.ascontiguousarray(solution.reshape(-1, size, size), np.float32), order, shape
    )


def _sample_nodes(
    positions: NDArray[np.float64], step: int, shape: tuple[int, int]
) -> list[tuple[float, float, float, float, NDArray[np.float64]]]:
    """Some nodes inside the output: (x, y, u, v, d(u, v)/d(x, y))."""
    out = []
    rows = np.unique(np.linspace(1, positions.shape[1] - 2, _NODES).astype(int))
    columns = np.unique(np.linspace(1, positions.shape[2] - 2, _NODES).astype(int))
    for j in rows:
        for i in columns:
            around = positions[:, j - 1 : j + 2, i - 1 : i + 2]
            if not np.isfinite(around).all():
                continue
            jacobian = np.stack(
                [around[:, 1, 2] - around[:, 1, 0], around[:, 2, 1] - around[:, 0, 1]], axis=1
            ) / (2 * step)
            u, v = around[:, 1, 1]
            x, y = min((i - 1) * step, shape[1] - 1), min((j - 1) * step, shape[0] - 1)
            out.append((float(x), float(y), float(u), float(v), jacobian))
    return out


def _is_whole(dx: float, dy: float, jacobian: NDArray[np.float64]) -> bool:
    """Whether pixels are copied, not interpolated."""
    near = abs(dx - round(dx)) < 1e-3 and abs(dy - round(dy)) < 1e-3
    return bool(near and np.abs(jacobian - np.eye(2)).max() < _IDENTITY_TOLERANCE)


def _carried(
    stamp: NDArray[np.float32], jacobian: NDArray[np.float64], *, is_exact: bool
) -> NDArray[np.float64]:
    """One stamp through the local Jacobian and the kernel's transfer."""
    if is_exact:
        return stamp.astype(float)
    n = stamp.shape[0]
    out = np.fft.ifft2(
        np.fft.fft2(stamp.astype(float)) * transfer(n)[:, None] * transfer(n)[None]
    ).real
    if np.abs(jacobian - np.eye(2)).max() > _IDENTITY_TOLERANCE:
        y, x = np.mgrid[:n, :n] - n // 2
        u = jacobian[0, 0] * x + jacobian[0, 1] * y + n // 2
        v = jacobian[1, 0] * x + jacobian[1, 1] * y + n // 2
        coefficients = spline_filter(out, order=5, mode="grid-constant")
        out = map_coordinates(coefficients, [v, u], order=5, mode="grid-constant", prefilter=False)
    return out / out.sum()
