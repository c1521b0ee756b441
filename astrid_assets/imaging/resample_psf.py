"""What resampling does to a PSF model: new geometry, local rotation and scale, kernel blur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from astrid_assets.imaging.kernel import mean_transfer, transfer_at
from astrid_resources.images import PSFModel
from astrid_resources.images.psf import polynomial_terms

_IDENTITY_TOLERANCE = 1e-4
_BENT = 2e-3
_CONSTANT_SHIFT_PIX = 0.03
_NODES = 5


def resampled_psf(
    psf: PSFModel, positions: NDArray[np.float64], step: int, shape: tuple[int, int]
) -> PSFModel:
    """Return `psf` as it is after resampling, a model on the output grid of `shape` (ny, nx).

    positions: input (x, y) at grid nodes, (2, my, mx), one node of `step` pixels beyond each edge.
    The stamps are carried by the local Jacobian where it is not the identity to 1e-4, and blurred
    by the kernel's transfer: at its phase for a pure shift, else averaged over phases.
    """
    nodes = _sample_nodes(positions, step, shape)
    if not nodes:
        return PSFModel(psf.stamps, psf.order, shape)
    jacobians = np.array([node[4] for node in nodes])
    is_bent = np.ptp(jacobians, axis=0).max() > _BENT
    order = max(psf.order, 2) if is_bent else psf.order
    if len(nodes) < 2 * (order + 1) * (order + 2) // 2:
        order = 0
    blur = _kernel_transfer(nodes, psf.size)
    stamps, terms = [], []
    for x, y, u, v, jacobian in nodes:
        stamps.append(_carried(psf.at(u, v), jacobian, blur))
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
    """Some nodes on the output (or within half a step of it): (x, y, u, v, d(u, v)/d(x, y))."""
    out = []
    rows, columns = (
        np.unique(np.linspace(1, 1 + round((n - 1) / step), _NODES).astype(int)) for n in shape
    )
    for j in rows:
        for i in columns:
            around = positions[:, j - 1 : j + 2, i - 1 : i + 2]
            if not np.isfinite(around).all():
                continue
            jacobian = np.stack(
                [around[:, 1, 2] - around[:, 1, 0], around[:, 2, 1] - around[:, 0, 1]], axis=1
            ) / (2 * step)
            u, v = around[:, 1, 1]
            x, y = (i - 1.0) * step, (j - 1.0) * step
            out.append((x, y, float(u), float(v), jacobian))
    return out


def _kernel_transfer(
    nodes: list[tuple[float, float, float, float, NDArray[np.float64]]], size: int
) -> NDArray[np.complex128]:
    """Transfer (size, size) of the interpolation: of its one phase where the shift is constant."""
    shifts = np.array([[u - x, v - y] for x, y, u, v, _ in nodes])
    if np.ptp(shifts, axis=0).max() < _CONSTANT_SHIFT_PIX:
        phase = np.median(shifts, axis=0) % 1.0
        return transfer_at(size, phase[1])[:, None] * transfer_at(size, phase[0])
    mean = mean_transfer(size)
    return (mean[:, None] * mean).astype(complex)


def _carried(
    stamp: NDArray[np.float32], jacobian: NDArray[np.float64], blur: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """One stamp through the kernel's transfer and the local Jacobian."""
    n = stamp.shape[0]
    out = np.fft.ifft2(np.fft.fft2(stamp.astype(float)) * blur).real
    if np.abs(jacobian - np.eye(2)).max() > _IDENTITY_TOLERANCE:
        y, x = np.mgrid[:n, :n] - n // 2
        u = jacobian[0, 0] * x + jacobian[0, 1] * y + n // 2
        v = jacobian[1, 0] * x + jacobian[1, 1] * y + n // 2
        coefficients = spline_filter(out, order=5, mode="grid-constant")
        out = map_coordinates(coefficients, [v, u], order=5, mode="grid-constant", prefilter=False)
    return out / out.sum()
