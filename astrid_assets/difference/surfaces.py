"""Smooth functions of the position fitted to scattered values, of an order the data ask for.

Registration, flux scale and sky level of a pair vary slowly over the field; each is a polynomial
here. Where the values do not show a variation beyond chance, it is a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrid_resources.images.psf import polynomial_terms

Floats = NDArray[np.float64]
_HUBER = 1.5
_FAR = 6.0
_NEAR_ROUNDS = 4
_SIGMA_PER_MAD = 1.4826
_ROUNDS = 8
_BISECTIONS = 14


@dataclass(frozen=True)
class Surface:
    """A polynomial of the position on an image of `shape` (ny, nx).

    coefficients: of `polynomial_terms` in positions normalised to [-1, 1], the constant first.
    """

    coefficients: tuple[float, ...]
    shape: tuple[int, int]

    @classmethod
    def constant(cls, value: float, *, shape: tuple[int, int]) -> Surface:
        """Return the surface that is `value` everywhere."""
        return cls((value,), shape)

    @property
    def order(self) -> int:
        """Polynomial order, 0 for a constant."""
        return order_of(len(self.coefficients))

    @property
    def middle(self) -> float:
        """The value at the centre of the field."""
        return self.coefficients[0]

    @property
    def powers(self) -> Floats:
        """Coefficients by power, [i, j] for x^i y^j in normalised positions."""
        n = self.order + 1
        out = np.zeros((n, n))
        places = [(i, j) for i in range(n) for j in range(n - i)]
        out[tuple(np.array(places).T)] = self.coefficients
        return out

    def __call__(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the values at pixel positions (x, y), 0-based, of any common shape."""
        terms = terms_at(np.asarray(x, float), np.asarray(y, float), self.shape, order=self.order)
        return np.tensordot(np.array(self.coefficients), terms, axes=1)

    def departure(self) -> float:
        """Return the largest distance from the middle's value on a grid over the field."""
        ny, nx = self.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9))
        return float(np.abs(self(x, y) - self.middle).max())


@dataclass(frozen=True)
class SurfaceFit:
    """Surfaces of one order fitted to the columns of `values`.

    errors: the surfaces' own standard errors, rms over the values' places. noise: these and what
        the values scatter beyond their errors. deviations: the values less the surfaces, (n, k).
    """

    surfaces: tuple[Surface, ...]
    errors: tuple[float, ...]
    noise: tuple[float, ...]
    deviations: Floats = field(repr=False)


def order_of(n_terms: int) -> int:
    """Return the order of a polynomial in x and y of `n_terms` coefficients."""
    order = round((np.sqrt(8 * n_terms + 1) - 3) / 2)
    if (order + 1) * (order + 2) // 2 != n_terms:
        raise ValueError(f"no polynomial in x and y has {n_terms} coefficients")
    return order


def terms_at(x: Floats, y: Floats, shape: tuple[int, int], *, order: int) -> Floats:
    """Return the polynomial terms at pixel positions on an image of `shape`, (n_terms, ...)."""
    ny, nx = shape
    u, v = 2 * x / max(nx - 1, 1) - 1, 2 * y / max(ny - 1, 1) - 1
    return polynomial_terms(u, v, order=order)


def fit_surfaces(
    x: Floats,
    y: Floats,
    values: Floats,
    errors: Floats,
    *,
    shape: tuple[int, int],
    n_needed: Sequence[int],
    error_floor: float,
    error_max: float = np.inf,
) -> SurfaceFit:
    """Return surfaces through `values` (n, k) at (x, y), one order for all k columns.

    errors: (n, k) standard errors. Order i is tried where there are `n_needed[i]` values, and
    kept where it lowers the robust misfit by more than chance (BIC) and is nowhere on the field
    less certain than `error_max`. error_floor: what is added to each error.
    Huber weights, in the end none beyond six sigma, and a robust scatter: outliers neither draw
    the surface nor raise its noise.
    """
    n, k = values.shape
    total = np.hypot(errors, error_floor)
    best = [_Column.fitted(values[:, i], total[:, i], x, y, shape, 0) for i in range(k)]
    for order in range(1, len(n_needed)):
        if n < n_needed[order]:
            break
        tried = [_Column.fitted(values[:, i], total[:, i], x, y, shape, order) for i in range(k)]
        pairs = list(zip(best, tried, strict=True))
        gain = sum(t.loss(b.deviation) - t.loss(t.deviation) for b, t in pairs)
        n_new = sum(t.n_terms - b.n_terms for b, t in pairs)
        gain *= 1 - tried[0].n_terms / n
        if gain > n_new * np.log(n) and max(t.worst_error(shape) for t in tried) <= error_max:
            best = tried
    return SurfaceFit(
        tuple(Surface(tuple(float(c) for c in b.coefficients), shape) for b in best),
        tuple(b.own_error for b in best),
        tuple(float(np.hypot(b.scatter, b.own_error)) for b in best),
        np.stack([b.deviation for b in best], axis=1),
    )


@dataclass(frozen=True)
class _Column:
    """One robust fit: coefficients, their covariance, and the total variance of each value."""

    coefficients: Floats
    covariance: Floats
    variance: Floats
    deviation: Floats
    scatter: float
    own_error: float
    order: int

    @property
    def n_terms(self) -> int:
        return len(self.coefficients)

    @classmethod
    def fitted(
        cls, values: Floats, error: Floats, x: Floats, y: Floats, shape: tuple[int, int], order: int
    ) -> _Column:
        design = terms_at(x, y, shape, order=order).T
        n, n_terms = design.shape
        freedom = np.sqrt((n - 1) / (n - n_terms)) if n_terms > 1 else 1.0
        coefficients = np.zeros(n_terms)
        coefficients[0] = np.median(values)
        for turn in range(_ROUNDS):
            deviation = values - design @ coefficients
            scatter = _scatter(np.abs(deviation) * freedom, error)
            variance = error**2 + scatter**2
            z = np.abs(deviation) / np.sqrt(variance)
            weight = np.minimum(1, _HUBER / np.maximum(z, 1e-9)) / variance
            if turn >= _NEAR_ROUNDS and (z < _FAR).sum() > 2 * n_terms:
                weight[z >= _FAR] = 0
            weighted = design * weight[:, None]
            covariance = np.asarray(np.linalg.pinv(weighted.T @ design), float)
            coefficients = covariance @ (weighted.T @ values)
        own = float(np.einsum("ni,ij,nj->n", design, covariance, design).mean())
        left = values - design @ coefficients
        return cls(coefficients, covariance, variance, left, scatter, float(np.sqrt(own)), order)

    def loss(self, deviation: Floats) -> float:
        """Twice Huber's loss of deviations under this fit's variances, the far ones cut off."""
        z = np.minimum(np.abs(deviation) / np.sqrt(self.variance), _FAR)
        return float(np.sum(np.where(z < _HUBER, z**2, 2 * _HUBER * z - _HUBER**2)))

    def worst_error(self, shape: tuple[int, int]) -> float:
        """Largest standard error of the surface on a grid over the field."""
        ny, nx = shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
        terms = terms_at(x.ravel(), y.ravel(), shape, order=self.order)
        return float(np.sqrt(np.einsum("ip,ij,jp->p", terms, self.covariance, terms).max()))


def _scatter(deviation: Floats, error: Floats) -> float:
    """Return the scatter beyond `error` that makes the robust std of the deviations 1."""
    low, high = 0.0, _SIGMA_PER_MAD * _median(deviation)
    if _SIGMA_PER_MAD * _median(deviation / error) <= 1:
        return 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        z = deviation / np.sqrt(error**2 + middle**2)
        low, high = (middle, high) if _SIGMA_PER_MAD * _median(z) > 1 else (low, middle)
    return low


def _median(values: Floats) -> float:
    """Return the median of a few hundred values: a tenth of the cost of numpy's general one."""
    ordered = np.sort(values)
    n = len(ordered)
    return 0.5 * float(ordered[(n - 1) // 2] + ordered[n // 2])
