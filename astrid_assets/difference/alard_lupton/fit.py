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
    stamp_fwhm: half-width of a star's stamp in FWHM of the less sharp image.
    flux_error: fraction of its peak by which a star is trusted no better, so that none rules.
    n_stars_by_order: stars needed before the kernel is fitted at all, varies linearly,
    quadratically. clip_sigma, n_rounds: stars that fit worse than the others are left out.
    """

    width_factors: tuple[float, ...] = (0.5, 1.0, 2.0)
    width_min_pix: float = 1.4
    degrees: tuple[int, ...] = (4, 2, 2)
    radius_widths: float = 3.0
    stamp_fwhm: float = 2.5
    flux_error: float = 0.003
    n_stars_by_order: tuple[int, ...] = (3, 20, 60)
    clip_sigma: float = 4.0
    n_rounds: int = 3


def fit_kernel(
    science: Image, aligned: Image, x: Floats, y: Floats, *, settings: KernelSettings | None = None
) -> KernelSolution:
    """Return the kernel that brings the sharper of two aligned images to the other.

    x, y: stars, pixels of the common grid. Raises TooFewKernelStarsError, and ValueError without
    a PSF on both images (they say which is sharper, and how wide the Gaussians should be).
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
    stars = star_stamps(target, sharp, x, y, kernels, reach=reach, flux_error=settings.flux_error)
    solution, used = _solved(stars, target.shape, settings)
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


def _solved(
    stars: StarStamps, shape: tuple[int, int], settings: KernelSettings
) -> tuple[Floats, StarStamps]:
    """Return the coefficients of the order that the data ask for, and the stars that made them."""
    best: tuple[Floats, StarStamps] | None = None
    for order, needed in enumerate(settings.n_stars_by_order):
        if len(stars.x) < needed:
            break
        made = _clipped(stars, shape, order, settings)
        if best is None:
            best = made
            continue
        solution, used = made
        lower = _least_squares(used, shape, order - 1)
        left, before = (_chi2(used, s, shape).sum() for s in (solution, lower))
        scale = max(1.0, left / (len(used.x) * used.n_pixels))
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
    stars: StarStamps, shape: tuple[int, int], order: int, settings: KernelSettings
) -> tuple[Floats, StarStamps]:
    """Fit, leave out the stars that fit worse than the rest, and again."""
    used = stars
    solution = _least_squares(used, shape, order)
    for _ in range(settings.n_rounds):
        per_pixel = _chi2(used, solution, shape) / used.n_pixels
        middle = np.median(per_pixel)
        spread = 1.4826 * np.median(np.abs(per_pixel - middle))
        keep = per_pixel <= middle + settings.clip_sigma * spread
        if keep.all() or keep.sum() < max(settings.n_stars_by_order[order], len(stars.x) / 2):
            break
        used = used.select(keep)
        solution = _least_squares(used, shape, order)
    return solution, used


def _least_squares(stars: StarStamps, shape: tuple[int, int], order: int) -> Floats:
    """Return the scale and the coefficients (shapes x terms) of the weighted least squares.

    A weak prior of unit width keeps combinations that no star determines from growing.
    """
    terms = terms_at(stars.x, stars.y, shape, order=order)
    n_shapes, n_terms = stars.gram.shape[1] - 1, len(terms)
    size = 1 + n_shapes * n_terms
    normal, right = np.empty((size, size)), np.empty(size)
    gram, product = stars.gram, stars.right
    normal[0, 0], right[0] = gram[:, 0, 0].sum(), product[:, 0].sum()
    cross = np.einsum("nk,tn->kt", gram[:, 0, 1:], terms).ravel()
    normal[0, 1:] = normal[1:, 0] = cross
    right[1:] = np.einsum("nk,tn->kt", product[:, 1:], terms).ravel()
    inner = np.einsum("nkl,tn,sn->ktls", gram[:, 1:, 1:], terms, terms, optimize=True)
    normal[1:, 1:] = inner.reshape(size - 1, size - 1)
    return np.asarray(np.linalg.solve(normal + np.eye(size), right), float)


def _local(stars: StarStamps, solution: Floats, shape: tuple[int, int]) -> Floats:
    """Return the coefficients of the basis at every star, (n, m)."""
    n_shapes = stars.gram.shape[1] - 1
    coefficients = solution[1:].reshape(n_shapes, -1)
    order = order_of(coefficients.shape[1])
    shapes = (coefficients @ terms_at(stars.x, stars.y, shape, order=order)).T
    return np.column_stack([np.full(len(stars.x), solution[0]), shapes])


def _chi2(stars: StarStamps, solution: Floats, shape: tuple[int, int]) -> Floats:
    """Return what the solution leaves of each star, squares over noise."""
    local = _local(stars, solution, shape)
    fitted = np.einsum("nk,nkl,nl->n", local, stars.gram, local)
    return np.maximum(stars.power - 2 * np.sum(local * stars.right, axis=1) + fitted, 0)


def _misfit(
    stars: StarStamps, solution: Floats, shape: tuple[int, int], *, kernel_power: float
) -> float:
    """Return the typical fraction of a bright star that is left, beyond noise.

    kernel_power: sum of the squared kernel, which the noise of the sharper image goes through.
    """
    expected = (stars.n_pixels - 1) * (stars.noise_target + kernel_power * stars.noise_sharp)
    left = np.maximum(_chi2(stars, solution, shape) - expected, 0)
    bright = np.argsort(-stars.power)[: max(3, len(stars.power) // 2)]
    return float(np.sqrt(np.median(left[bright] / stars.power[bright])))
