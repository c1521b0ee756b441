"""Fitting the matching kernel by least squares on stamps of the stars both images show.

What belongs here: normal equations over the field, clipping of stars, choice of the order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.alard_lupton.solution import KernelSolution, basis
from astrid_assets.difference.alard_lupton.stamps import StarStamps, star_stamps
from astrid_assets.difference.surfaces import order_of, terms_at
from astrid_resources.images import Image, KnownFailure

Floats = NDArray[np.float64]
_SIGMA_PER_FWHM = 1 / 2.3548


class TooFewKernelStarsError(KnownFailure):
    """Too few stars with clean stamps to fit a matching kernel."""


@dataclass(frozen=True)
class KernelSettings:
    """How the matching kernel is fitted.

    width_factors: widths of the Gaussians over that by which the PSFs differ (at least
    width_min_pix). degrees: of their polynomials. radius_widths: stamp radius in largest widths.
    stamp_fwhm, core_fwhm: half-width of a star's stamp, and of the core that the misfit counts, in
    FWHM of the less sharp image.
    scale_error: least fractional error of the flux ratio that the kernel's sum is held to.
    flux_error: fraction of its peak by which a star is trusted no better, so that none rules.
    n_stars_by_order: stars needed before the kernel is fitted at all, varies linearly,
    quadratically. clip_sigma, n_rounds: stars that fit worse than the others are left out.
    """

    width_factors: tuple[float, ...] = (0.5, 1.0, 2.0)
    width_min_pix: float = 1.4
    degrees: tuple[int, ...] = (4, 2, 2)
    radius_widths: float = 3.0
    stamp_fwhm: float = 2.5
    core_fwhm: float = 1.0
    scale_error: float = 0.003
    flux_error: float = 0.02
    n_stars_by_order: tuple[int, ...] = (3, 20, 60)
    clip_sigma: float = 4.0
    n_rounds: int = 3


def fit_kernel(
    science: Image,
    aligned: Image,
    x: Floats,
    y: Floats,
    *,
    flux_ratio: float,
    flux_ratio_error: float,
    settings: KernelSettings | None = None,
) -> KernelSolution:
    """Return the kernel that brings the sharper of two aligned images to the other.

    x, y: stars, pixels of the common grid. flux_ratio: F_r / F_n; the kernel's sum is held to it
    within its error, since stamps with a sky of their own say little of the wings.
    Raises TooFewKernelStarsError, and ValueError without a PSF on both images (they say which is
    sharper, and how wide the Gaussians should be).
    """
    settings = settings or KernelSettings()
    if science.psf is None or aligned.psf is None:
        raise ValueError("fit_kernel needs a PSF on both images")
    sizes = science.psf.fwhm_pix, aligned.psf.fwhm_pix
    is_reference = sizes[1] <= sizes[0]
    target, sharp = (science, aligned) if is_reference else (aligned, science)
    apart = np.sqrt(max(sizes[0] ** 2 - sizes[1] ** 2, sizes[1] ** 2 - sizes[0] ** 2))
    unit = max(apart * _SIGMA_PER_FWHM, settings.width_min_pix)
    widths = tuple(unit * factor for factor in settings.width_factors)
    half = int(np.ceil(settings.radius_widths * widths[-1]))
    reach = int(np.ceil(settings.stamp_fwhm * max(sizes)))
    one, shapes = basis(widths, settings.degrees, half_pix=half)
    kernels = np.concatenate([one[None], shapes])
    stars = star_stamps(
        target,
        sharp,
        x,
        y,
        kernels,
        reach=reach,
        core=int(np.ceil(settings.core_fwhm * max(sizes))),
        flux_error=settings.flux_error,
    )
    relative = max(flux_ratio_error / flux_ratio, settings.scale_error)
    expected = 1 / flux_ratio if is_reference else flux_ratio
    prior = _Prior(expected, 1 / (relative * expected) ** 2)
    solution, used = _solved(stars, target.shape, prior, settings)
    fitted = KernelSolution(
        convolved="reference" if is_reference else "science",
        widths_pix=widths,
        degrees=settings.degrees,
        half_pix=half,
        scale=float(solution[0]),
        coefficients=tuple(float(c) for c in solution[1:]),
        n_stars=len(used.x),
        misfit=0.0,
    )
    ny, nx = target.shape
    power = float(np.sum(fitted.at((nx - 1) / 2, (ny - 1) / 2, target.shape) ** 2))
    return replace(fitted, misfit=_misfit(used, solution, target.shape, kernel_power=power))


@dataclass(frozen=True)
class _Prior:
    """What is known of the kernel's sum before: its value and inverse variance."""

    scale: float
    weight: float


def _solved(
    stars: StarStamps, shape: tuple[int, int], prior: _Prior, settings: KernelSettings
) -> tuple[Floats, StarStamps]:
    """Return the coefficients of the order that the data ask for, and the stars that made them."""
    best: tuple[Floats, StarStamps] | None = None
    for order, needed in enumerate(settings.n_stars_by_order):
        if len(stars.x) < needed:
            break
        made = _clipped(stars, shape, order, prior, settings)
        if best is None:
            best = made
            continue
        solution, used = made
        lower = _least_squares(used, shape, order - 1, prior)
        left, before = (_chi2(used, s, shape).sum() for s in (solution, lower))
        scale = max(1.0, left / (len(used.x) * used.whole.n_pixels))
        if (before - left) / scale > (len(solution) - len(lower)) * np.log(len(used.x)):
            best = made
    if best is None:
        raise TooFewKernelStarsError(
            f"{len(stars.x)} stars have clean stamps, {settings.n_stars_by_order[0]} are needed to "
            "fit a matching kernel: subtract by ZOGY, or look at the masks of both images",
            n_found=len(stars.x),
            n_required=settings.n_stars_by_order[0],
        )
    return best


def _clipped(
    stars: StarStamps,
    shape: tuple[int, int],
    order: int,
    prior: _Prior,
    settings: KernelSettings,
) -> tuple[Floats, StarStamps]:
    """Fit, leave out the stars that fit worse than the rest, and again."""
    used = stars
    solution = _least_squares(used, shape, order, prior)
    for _ in range(settings.n_rounds):
        per_pixel = _chi2(used, solution, shape) / used.whole.n_pixels
        middle = np.median(per_pixel)
        spread = 1.4826 * np.median(np.abs(per_pixel - middle))
        keep = per_pixel <= middle + settings.clip_sigma * spread
        if keep.all() or keep.sum() < max(settings.n_stars_by_order[order], len(stars.x) / 2):
            break
        used = used.select(keep)
        solution = _least_squares(used, shape, order, prior)
    return solution, used


def _least_squares(stars: StarStamps, shape: tuple[int, int], order: int, prior: _Prior) -> Floats:
    """Return the scale and the coefficients (shapes x terms) of the weighted least squares.

    The scale has its prior; one of unit width keeps combinations of shapes that no star determines
    from growing.
    """
    terms = terms_at(stars.x, stars.y, shape, order=order)
    n_shapes, n_terms = stars.whole.gram.shape[1] - 1, len(terms)
    size = 1 + n_shapes * n_terms
    normal, right = np.empty((size, size)), np.empty(size)
    gram, product = stars.whole.gram, stars.whole.right
    normal[0, 0] = gram[:, 0, 0].sum() + prior.weight
    right[0] = product[:, 0].sum() + prior.weight * prior.scale
    cross = np.einsum("nk,tn->kt", gram[:, 0, 1:], terms).ravel()
    normal[0, 1:] = normal[1:, 0] = cross
    right[1:] = np.einsum("nk,tn->kt", product[:, 1:], terms).ravel()
    inner = np.einsum("nkl,tn,sn->ktls", gram[:, 1:, 1:], terms, terms, optimize=True)
    normal[1:, 1:] = inner.reshape(size - 1, size - 1)
    normal[1:, 1:] += np.eye(size - 1)
    return np.asarray(np.linalg.solve(normal, right), float)


def _local(stars: StarStamps, solution: Floats, shape: tuple[int, int]) -> Floats:
    """Return the coefficients of the basis at every star, (n, m)."""
    n_shapes = stars.whole.gram.shape[1] - 1
    coefficients = solution[1:].reshape(n_shapes, -1)
    order = order_of(coefficients.shape[1])
    shapes = (coefficients @ terms_at(stars.x, stars.y, shape, order=order)).T
    return np.column_stack([np.full(len(stars.x), solution[0]), shapes])


def _chi2(stars: StarStamps, solution: Floats, shape: tuple[int, int]) -> Floats:
    """Return what the solution leaves of each star, squares over noise."""
    local, whole = _local(stars, solution, shape), stars.whole
    fitted = np.einsum("nk,nkl,nl->n", local, whole.gram, local)
    return np.maximum(whole.power - 2 * np.sum(local * whole.right, axis=1) + fitted, 0)


def _misfit(
    stars: StarStamps, solution: Floats, shape: tuple[int, int], *, kernel_power: float
) -> float:
    """Return the typical fraction of a bright star's core that is left, beyond noise.

    What its own flux and place would explain does not count: that is not the kernel's doing, and
    the registration's noise stands for it. kernel_power: sum of the squared kernel, which the noise
    of the sharper image goes through.
    """
    local, core = _local(stars, solution, shape), stars.core
    m = local.shape[1]
    left = core.right - np.einsum("nk,nkl->nl", local, core.gram[:, :m])
    power = core.power - np.sum(local * (core.right[:, :m] + left[:, :m]), axis=1)
    own = np.linalg.solve(core.gram[:, m:, m:], left[:, m:, None])[..., 0]
    power -= np.sum(own * left[:, m:], axis=1)
    freedom = core.n_pixels - own.shape[1]
    power -= freedom * (core.noise_target + kernel_power * core.noise_sharp)
    bright = np.argsort(-core.power)[: max(3, len(core.power) // 2)]
    return float(np.sqrt(np.median(np.maximum(power, 0)[bright] / core.power[bright])))
