"""One elliptical Moffat profile, drifting over the field, fitted to many stars at once.

Gauss-Newton with each star's flux, position and sky projected out, so that hundreds of stars cost
no more than small matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.threads import over_rows
from astrid_resources.images.psf import polynomial_terms

Floats = NDArray[np.float64]
MODEL_FLOOR = 0.02
_CLIP_SIGMA = 5.0
_FIRST_BETA = 3.0
_BETA_RANGE = (1.6, 8.0)
_SHEAR_STEP = 1e-4
_SETTLED = 1e-4


@dataclass(frozen=True)
class Stamps:
    """Cut-outs of n stars: data, variance and usable (n, s, s); corner x0, y0 of each (n,).

    u, v: normalised positions on [-1, 1].
    """

    data: Floats = field(repr=False)
    variance: Floats = field(repr=False)
    usable: NDArray[np.bool_] = field(repr=False)
    x0: NDArray[np.int64] = field(repr=False)
    y0: NDArray[np.int64] = field(repr=False)
    u: Floats = field(repr=False)
    v: Floats = field(repr=False)

    def select(self, keep: NDArray[np.bool_]) -> Stamps:
        """Return the stars where `keep` is True."""
        return Stamps(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class MoffatFit:
    """Coefficients of ln alpha, g1, g2 (rows) over polynomial terms of `order`; beta for all.

    flux, x, y, sky: per star. chi2: per star and degree of freedom, with a floor of 2 % of the
    model in the noise. size_offset, size_error: of each star's ln alpha from the fit.
    """

    coefficients: Floats = field(repr=False)
    beta: float
    order: int
    flux: Floats = field(repr=False)
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    sky: Floats = field(repr=False)
    chi2: Floats = field(repr=False)
    size_offset: Floats = field(repr=False)
    size_error: Floats = field(repr=False)

    def select(self, keep: NDArray[np.bool_]) -> MoffatFit:
        """Return the fit with only the stars where `keep` is True."""
        names = ("flux", "x", "y", "sky", "chi2", "size_offset", "size_error")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def shapes(self, u: Floats, v: Floats) -> Floats:
        """Return (ln alpha, g1, g2) rows at normalised positions."""
        return self.coefficients @ polynomial_terms(u, v, order=self.order)


def moffat(dx: Floats, dy: Floats, shape: Floats, beta: float) -> Floats:
    """Return a Moffat of flux 1 at offsets (..., s, s); shape rows (ln alpha, g1, g2), each (...).

    q = d^T exp(-G) d / alpha^2 with G = [[g1, g2], [g2, -g1]].
    """
    a, b, c = (row[..., None, None] for row in _quadratic(shape))
    q = a * dx * dx + 2 * b * dx * dy + c * dy * dy
    scale = np.exp(-2 * shape[0])[..., None, None]
    return (beta - 1) / np.pi * scale * np.exp(-beta * np.log1p(q))


def _quadratic(shape: Floats) -> Floats:
    """Coefficients (a, b, c) of q = a dx^2 + 2 b dx dy + c dy^2 for shape rows."""
    log_alpha, g1, g2 = shape
    g = np.hypot(g1, g2)
    cosh, ratio = np.cosh(g), np.where(g > 1e-12, np.sinh(g) / np.maximum(g, 1e-12), 1.0)
    return np.exp(-2 * log_alpha) * np.stack([cosh - ratio * g1, -ratio * g2, cosh + ratio * g1])


@njit(cache=True, nogil=True, fastmath=True)
def _products(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True, nogil=True)
def _sums_of_stars(  # type: ignore[no-untyped-def]
    data, variance, usable, flux, sky, x, y, coefficients, slopes1, slopes2, beta, clip2,
    first, stop, chi2, sums,
):  # fmt: skip
    """Normal matrices (n, 9, 9) and chi2 (n,) of stars first to stop, one pass over each stamp.

    Rows: slopes of the counts in flux, x, y, sky, ln alpha, g1, g2, beta, then what the model
    leaves, all over the noise. x, y: positions on the stamps; slopes1, slopes2: d(a, b, c) /
    d(g1, g2) per star; clip2: (counts over noise)^2 above which a pixel does not count.
    """
    size = data.shape[1]
    rows = np.empty((9, size * size))
    for k in range(first, stop):
        a, b, c = coefficients[0, k], coefficients[1, k], coefficients[2, k]
        peak = (beta - 1) / np.pi * np.sqrt(a * c - b * b)
        s, t, f = slopes1[:, k], slopes2[:, k], flux[k]
        total, n, m = 0.0, 0, 0
        for j in range(size):
            dy = j - y[k]
            for i in range(size):
                if not usable[k, j, i]:
                    continue
                dx = i - x[k]
                q = a * dx * dx + 2 * b * dx * dy + c * dy * dy
                log = np.log1p(q)
                value = peak * np.exp(-beta * log)
                left = data[k, j, i] - f * value - sky[k]
                weight = 1 / (variance[k, j, i] + (MODEL_FLOOR * f * value) ** 2)
                total += weight * left * left
                n += 1
                if weight * left * left > clip2:
                    continue
                root = np.sqrt(weight)
                scale = root * f
                fall = scale * value * beta / (1 + q)
                xx, xy, yy = dx * dx, 2 * dx * dy, dy * dy
                rows[0, m] = root * value
                rows[1, m] = fall * 2 * (a * dx + b * dy)
                rows[2, m] = fall * 2 * (b * dx + c * dy)
                rows[3, m] = root
                rows[4, m] = 2 * fall * q - 2 * scale * value
                rows[5, m] = -fall * (s[0] * xx + s[1] * xy + s[2] * yy)
                rows[6, m] = -fall * (t[0] * xx + t[1] * xy + t[2] * yy)
                rows[7, m] = scale * value * (1 / (beta - 1) - log)
                rows[8, m] = root * left
                m += 1
        chi2[k] = total / max(n - 4, 1)
        for one in range(9):
            for other in range(one + 1):
                sums[k, one, other] = _products(rows[one, :m], rows[other, :m])
                sums[k, other, one] = sums[k, one, other]


def fit_moffat(
    stamps: Stamps,
    *,
    x: Floats,
    y: Floats,
    fwhm_pix: float,
    order: int,
    start: MoffatFit | None = None,
    iterations: int = 12,
) -> MoffatFit:
    """Return the Moffat whose shape drifts with `order` over the field, best for all stars.

    x, y: first guesses of positions, pixels; the variances must be positive. start: an earlier fit
    to begin with, of any order; it has the same stars, or only its common shape is taken.
    """
    state = _first_state(x, y, fwhm_pix, order, start)
    is_known = start is not None and len(start.x) == len(x)
    if start is not None and is_known:
        state = replace(state, flux=start.flux, x=start.x, y=start.y, sky=start.sky)
    else:
        state = replace(state, flux=_first_fluxes(stamps, state))
    rough = 0 if is_known else 2 if start is not None else 4
    for iteration in range(iterations):
        before, state = state, _step(stamps, state, is_clipped=iteration >= rough)
        moved = np.abs(state.coefficients - before.coefficients).max()
        if iteration > rough and max(moved, abs(state.beta - before.beta)) < _SETTLED:
            break
    return state


def _first_state(
    x: Floats, y: Floats, fwhm_pix: float, order: int, start: MoffatFit | None
) -> MoffatFit:
    """A round Moffat of `fwhm_pix`, or the common shape of `start`; no fluxes yet."""
    n_terms = (order + 1) * (order + 2) // 2
    coefficients = np.zeros((3, n_terms))
    if start is None:
        beta = _FIRST_BETA
        coefficients[0, 0] = np.log(fwhm_pix / (2 * np.sqrt(2 ** (1 / beta) - 1)))
    else:
        beta = start.beta
        powers, known = _powers(order), _powers(start.order)
        for k, power in enumerate(powers):
            if power in known:
                coefficients[:, k] = start.coefficients[:, known.index(power)]
    none, unknown = np.zeros(len(x)), np.full(len(x), np.nan)
    return MoffatFit(
        coefficients, beta, order, none, x.astype(float), y.astype(float), none,
        unknown, unknown, unknown,
    )  # fmt: skip


def _powers(order: int) -> list[tuple[int, int]]:
    """Exponents of the terms of `polynomial_terms`, in their order."""
    return [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]


def evaluate(stamps: Stamps, fit: MoffatFit) -> Floats:
    """Return the unit-flux model of each star on its stamp, (n, s, s)."""
    dx, dy = _offsets(stamps, fit.x, fit.y)
    return moffat(dx, dy, fit.shapes(stamps.u, stamps.v), fit.beta)


def noise_weights(stamps: Stamps, model: Floats) -> Floats:
    """Return 1 / variance with the floor for an imperfect model, 0 where unusable."""
    return stamps.usable / (stamps.variance + (MODEL_FLOOR * model) ** 2)


def _offsets(stamps: Stamps, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    grid = np.arange(stamps.data.shape[-1])
    dx = stamps.x0[:, None, None] + grid - x[:, None, None]
    dy = stamps.y0[:, None, None] + grid[:, None] - y[:, None, None]
    return dx, dy


def _first_fluxes(stamps: Stamps, state: MoffatFit) -> Floats:
    model = evaluate(stamps, state)
    weight = stamps.usable / stamps.variance
    norm = np.maximum((weight * model**2).sum((1, 2)), 1e-30)
    return np.maximum((weight * model * stamps.data).sum((1, 2)) / norm, 1e-6)


def _step(stamps: Stamps, state: MoffatFit, *, is_clipped: bool) -> MoffatFit:
    """One Gauss-Newton step of the common shape, then of each star's own four numbers."""
    n = len(state.x)
    shape = state.shapes(stamps.u, stamps.v)
    slopes = [
        (_quadratic(shape + step) - _quadratic(shape - step)) / (2 * _SHEAR_STEP)
        for step in (np.array([[0], [_SHEAR_STEP], [0]]), np.array([[0], [0], [_SHEAR_STEP]]))
    ]
    inputs = (
        stamps.data, stamps.variance, stamps.usable, state.flux, state.sky,
        state.x - stamps.x0, state.y - stamps.y0, _quadratic(shape), slopes[0], slopes[1],
        state.beta, _CLIP_SIGMA**2 if is_clipped else np.inf,
    )  # fmt: skip
    chi2, sums = np.empty(n), np.empty((n, 9, 9))

    def part(first: int, stop: int) -> None:
        _sums_of_stars(*inputs, first, stop, chi2, sums)

    over_rows(part, n)
    inverse = np.linalg.pinv(sums[:, :4, :4], rcond=1e-12, hermitian=True)
    cross, own_r = sums[:, 4:8, :4], sums[:, :4, 8]
    normal = sums[:, 4:8, 4:8] - cross @ inverse @ cross.transpose(0, 2, 1)
    target = sums[:, 4:8, 8] - (cross @ inverse @ own_r[..., None])[..., 0]
    delta, beta_step = _common_step(normal, target, stamps, state.order)
    local = np.concatenate(
        [
            delta @ polynomial_terms(stamps.u, stamps.v, order=state.order),
            np.full((1, n), beta_step),
        ]
    )
    rest = own_r - (cross.transpose(0, 2, 1) @ local.T[..., None])[..., 0]
    step = (inverse @ rest[..., None])[..., 0]
    size_information = np.maximum(normal[:, 0, 0], 1e-12)
    return MoffatFit(
        state.coefficients + delta,
        float(np.clip(state.beta + beta_step, *_BETA_RANGE)),
        state.order,
        np.maximum(state.flux + step[:, 0], 1e-6),
        state.x + np.clip(step[:, 1], -0.5, 0.5),
        state.y + np.clip(step[:, 2], -0.5, 0.5),
        state.sky + step[:, 3],
        chi2,
        target[:, 0] / size_information,
        1 / np.sqrt(size_information),
    )


def _common_step(
    normal: Floats, target: Floats, stamps: Stamps, order: int
) -> tuple[Floats, float]:
    """Solve for the polynomial coefficients of the three shapes and for beta; steps are limited."""
    terms = polynomial_terms(stamps.u, stamps.v, order=order)
    n_terms = len(terms)
    size = 3 * n_terms + 1
    design = np.zeros((terms.shape[1], 4, size))
    for k in range(3):
        design[:, k, k * n_terms : (k + 1) * n_terms] = terms.T
    design[:, 3, -1] = 1
    left = (design.transpose(0, 2, 1) @ normal @ design).sum(0)
    right = np.einsum("nka,nk->a", design, target)
    left[np.diag_indices(size)] += 1e-3 * np.diag(left) / max(terms.shape[1], 1) + 1e-9
    left[-1, -1] += 1.0
    solution = np.linalg.solve(left, right)
    limited = np.clip(solution, -0.3, 0.3)
    return limited[:-1].reshape(3, n_terms), float(limited[-1])
