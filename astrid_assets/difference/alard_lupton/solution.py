"""A matching kernel over the field: sums of Gaussians times polynomials, varying with position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.kernels import Scheme
from astrid_assets.difference.surfaces import order_of, terms_at

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KernelSolution:
    """A matching kernel as it was fitted; plain numbers, so that it can be stored and used again.

    convolved: the sharper image, which the kernel is applied to.
    widths_pix, degrees: of the Gaussians, and of the polynomial that multiplies each.
    half_pix: half-width of the kernel's stamp. scale: its sum, counts of the other image per count
        of the convolved one; the same everywhere (flux varies with `log_flux_ratio` alone).
    coefficients: of the basis functions of sum 0, one after another, each with its polynomial
        terms of the position. n_stars, misfit: stars used; typical fraction of a star that is left.
    """

    convolved: Literal["science", "reference"]
    widths_pix: tuple[float, ...]
    degrees: tuple[int, ...]
    half_pix: int
    scale: float
    coefficients: tuple[float, ...] = field(repr=False)
    n_stars: int
    misfit: float

    @property
    def n_shapes(self) -> int:
        """Number of basis functions of sum 0."""
        return sum((degree + 1) * (degree + 2) // 2 for degree in self.degrees)

    @property
    def order(self) -> int:
        """Polynomial order of the variation over the field."""
        return order_of(len(self.coefficients) // self.n_shapes)

    def at(self, x: float, y: float, shape: tuple[int, int]) -> Floats:
        """Return the kernel at pixel (x, y) of an image of `shape`: a stamp of odd edge."""
        terms = terms_at(np.asarray(x, float), np.asarray(y, float), shape, order=self.order)
        local = np.reshape(self.coefficients, (self.n_shapes, -1)) @ terms
        unit, shapes = basis(self.widths_pix, self.degrees, half_pix=self.half_pix)
        return np.asarray(self.scale * unit + np.tensordot(local, shapes, axes=1))

    def scheme(self, psf: NDArray[np.floating], kernel: Floats) -> Scheme:
        """Return the scheme of a science PSF (sum 1) and this solution's local `kernel`."""
        same = np.ones((1, 1))
        total = float(kernel.sum())
        if self.convolved == "reference":
            return Scheme(psf, same, kernel, 1 / total)
        return Scheme(psf, kernel, same, total)


def basis(
    widths_pix: tuple[float, ...], degrees: tuple[int, ...], *, half_pix: int
) -> tuple[Floats, Floats]:
    """Return the unit kernel (one pixel, sum 1) and the other shapes (m, n, n), each of sum 0.

    Shapes are x^i y^j exp(-r^2 / 2 s^2), i + j <= degree, of unit norm, less their sum times the
    unit kernel: whatever the coefficients, a kernel sums to its unit part (Alard 2000).
    """
    size = 2 * half_pix + 1
    y, x = np.mgrid[-half_pix : half_pix + 1, -half_pix : half_pix + 1]
    unit = np.zeros((size, size))
    unit[half_pix, half_pix] = 1
    shapes = []
    for width, degree in zip(widths_pix, degrees, strict=True):
        u, v = x / width, y / width
        gauss = np.exp(-(u**2 + v**2) / 2)
        for i in range(degree + 1):
            for j in range(degree + 1 - i):
                shape = u**i * v**j * gauss
                shape = shape / np.sqrt(np.sum(shape**2))
                shapes.append(shape - shape.sum() * unit)
    return unit, np.array(shapes)
