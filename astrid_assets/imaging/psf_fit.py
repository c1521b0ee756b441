"""The PSF of an image from its own stars: a drifting Moffat plus the stacked residual.

The steep part is modelled at each star's sub-pixel position, so that only the small residual is
ever interpolated; the residual stack is shrunk by its own signal-to-noise, annulus by annulus.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.kernel import FIRST_TAP, PHASES, weight_table
from astrid_assets.imaging.moffat_fit import (
    MoffatFit,
    Stamps,
    evaluate,
    fit_moffat,
    moffat,
    noise_weights,
)
from astrid_assets.imaging.stars import StarSample, StarSettings, choose_stars
from astrid_resources.images import KnownFailure, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE
from astrid_resources.images.psf import polynomial_terms

Floats = NDArray[np.float64]
_OUTLIER_ROUNDS = 6
_STAMP_ORDER = 3
_ERROR_RADIUS_FWHM = 1.25


class TooFewStarsError(KnownFailure):
    """Too few stars for a PSF; carries n_found and n_required."""


@dataclass(frozen=True)
class PSFSettings:
    """How a PSF is fitted.

    n_stars_min: below it the fit is refused. fit_radius_fwhm, stamp_radius_fwhm: radii in FWHM of
    what is fitted and of what is returned. max_chi2: reduced, with 2 % model floor, above which a
    star is an outlier. max_size_offset: in ln size, beyond which it is none.
    n_stars_linear, n_stars_quadratic: stars needed before the PSF may vary so over the field.
    """

    n_stars_min: int = 3
    fit_radius_fwhm: float = 2.5
    stamp_radius_fwhm: float = 5.0
    max_chi2: float = 3.0
    max_size_offset: float = 0.08
    n_stars_linear: int = 12
    n_stars_quadratic: int = 40
    stars: StarSettings = field(default_factory=StarSettings)


@dataclass(frozen=True)
class PSFFit:
    """A fitted PSF. star_x, star_y, star_flux: the stars used, pixels and ADU.

    fwhm_pix: at the centre of the image. residual: fractional error of the model, the norm of
    what it leaves of a star over the PSF's norm, noise taken out, its own noise put in.
    order: of the drift of the Moffat's shape over the field, 0 to 2 (stamps drift as a cubic).
    """

    psf: PSFModel
    fwhm_pix: float
    n_stars: int
    star_x: Floats = field(repr=False)
    star_y: Floats = field(repr=False)
    star_flux: Floats = field(repr=False)
    residual: float
    order: int


def fit_psf(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.uint32],
    *,
    saturation_adu: float,
    settings: PSFSettings | None = None,
) -> PSFFit:
    """Return the PSF of a sky-subtracted image [y, x]; its spatial order is chosen by the data.

    saturation_adu: level above the sky at which pixels saturate.
    Raises TooFewStarsError below `settings.n_stars_min` good stars.
    """
    settings = settings or PSFSettings()
    unusable = has_any(mask, *UNUSABLE)
    sample = choose_stars(
        data, variance, unusable=unusable, saturation_adu=saturation_adu, settings=settings.stars
    )
    _require(len(sample.stars), settings)
    stamps = _cut(data, variance, unusable, sample, settings)
    x, y = sample.sources.x[sample.stars], sample.sources.y[sample.stars]
    fit, keep = _robust_fit(stamps, x, y, sample.fwhm_pix, settings)
    stamps = stamps.select(keep)
    correction = _residual_stack(stamps, fit)
    psf = _model(fit, correction, settings, data.shape)
    return PSFFit(
        psf, psf.fwhm_pix, len(fit.x), fit.x, fit.y, fit.flux,
        _model_error(stamps, fit, correction, psf.fwhm_pix), fit.order,
    )  # fmt: skip


def _require(n_found: int, settings: PSFSettings) -> None:
    if n_found < settings.n_stars_min:
        raise TooFewStarsError(
            f"a PSF needs {settings.n_stars_min} isolated unsaturated stars above "
            f"{settings.stars.min_snr:g} sigma, found {n_found}; use a larger or deeper image",
            n_found=n_found, n_required=settings.n_stars_min,
        )  # fmt: skip


def _cut(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    unusable: NDArray[np.bool_],
    sample: StarSample,
    settings: PSFSettings,
) -> Stamps:
    """Stamps of the stars; pixels off the image, unusable or nearer to a neighbour are not used."""
    ny, nx = data.shape
    sources, stars = sample.sources, sample.stars
    radius = int(np.ceil(settings.fit_radius_fwhm * sample.fwhm_pix))
    x, y = sources.x[stars], sources.y[stars]
    x0, y0 = np.rint(x).astype(int) - radius, np.rint(y).astype(int) - radius
    grid = np.arange(2 * radius + 1)
    i = x0[:, None, None] + grid
    j = y0[:, None, None] + grid[:, None]
    inside = (i >= 0) & (i < nx) & (j >= 0) & (j < ny)
    ii, jj = np.clip(i, 0, nx - 1), np.clip(j, 0, ny - 1)
    usable = inside & ~unusable[jj, ii]
    for k, star in enumerate(stars):
        near = np.hypot(sources.x - x[k], sources.y - y[k]) < 2 * radius
        near[star] = False
        for n in np.flatnonzero(near):
            reach = sample.fwhm_pix * min(3.0, 1.0 + 0.3 * np.log(max(sources.snr[n], 1.0)))
            usable[k] &= np.hypot(i[k] - sources.x[n], j[k] - sources.y[n]) > reach
    return Stamps(
        data[jj, ii].astype(float), np.maximum(variance[jj, ii].astype(float), 1e-12), usable,
        x0, y0, 2 * x / max(nx - 1, 1) - 1, 2 * y / max(ny - 1, 1) - 1,
    )  # fmt: skip


def _robust_fit(
    stamps: Stamps, x: Floats, y: Floats, fwhm_pix: float, settings: PSFSettings
) -> tuple[MoffatFit, NDArray[np.bool_]]:
    """The fit after outliers are gone, and which stars remain; the lowest order that suffices."""
    keep = np.ones(len(x), bool)
    best: MoffatFit | None = None
    for order, required in ((0, 0), (1, settings.n_stars_linear), (2, settings.n_stars_quadratic)):
        if keep.sum() < required:
            break
        fit, kept = _without_outliers(stamps, x, y, fwhm_pix, order, keep, settings, best)
        if best is not None and not _is_better(stamps, x, y, fwhm_pix, fit, kept):
            break
        best, keep = fit, kept
        if order == 0 and kept.sum() >= settings.n_stars_linear:
            keep = np.ones(len(x), bool)
    if best is None or len(best.x) != keep.sum():
        order = 0 if best is None else best.order
        best, keep = _without_outliers(
            stamps, x, y, fwhm_pix, order, np.ones(len(x), bool), settings, best
        )
    return best, keep


def _without_outliers(
    stamps: Stamps,
    x: Floats,
    y: Floats,
    fwhm_pix: float,
    order: int,
    keep: NDArray[np.bool_],
    settings: PSFSettings,
    start: MoffatFit | None,
) -> tuple[MoffatFit, NDArray[np.bool_]]:
    """Fit, from `start` on, drop what is no star, and again, until nothing more is dropped."""
    keep = keep.copy()
    for rounds_left in range(_OUTLIER_ROUNDS, -1, -1):
        _require(int(keep.sum()), settings)
        fit = fit_moffat(
            stamps.select(keep), x=x[keep], y=y[keep], fwhm_pix=fwhm_pix, order=order, start=start
        )
        limit = max(settings.max_chi2, 3 * float(np.median(fit.chi2)))
        far = np.hypot(fit.x - x[keep], fit.y - y[keep]) > 0.5 * fwhm_pix
        allowed = np.maximum(settings.max_size_offset, 3.5 * fit.size_error)
        bad = (fit.chi2 > limit) | far | (np.abs(fit.size_offset) > allowed)
        if not (bad.any() and rounds_left):
            break
        worst = np.where(bad, fit.chi2 + (fit.size_offset / allowed) ** 2 + far, -np.inf)
        n_drop = max(1, int(np.ceil(bad.sum() / 2)))
        stays = np.ones(len(worst), bool)
        stays[np.argsort(-worst)[:n_drop]] = False
        keep[keep] = stays
        start = fit.select(stays)
    return fit, keep


def _is_better(
    stamps: Stamps,
    x: Floats,
    y: Floats,
    fwhm_pix: float,
    fit: MoffatFit,
    keep: NDArray[np.bool_],
) -> bool:
    """Whether one order less, on the same stars, is worse by more than chance (BIC)."""
    lower = fit_moffat(
        stamps.select(keep), x=x[keep], y=y[keep], fwhm_pix=fwhm_pix, order=fit.order - 1, start=fit
    )
    dof = stamps.usable[keep].sum((1, 2))
    gain = float(((lower.chi2 - fit.chi2) * dof).sum())
    scale = max(1.0, float((fit.chi2 * dof).sum() / dof.sum()))
    n_new = 3 * (fit.order + 1)
    return gain / scale > n_new * np.log(max(int(dof.sum()), 2))


def _residual_stack(stamps: Stamps, fit: MoffatFit) -> Floats:
    """What the Moffat leaves, per unit flux, stacked on the centre and shrunk by its noise."""
    model = evaluate(stamps, fit)
    flux = fit.flux[:, None, None]
    weight = noise_weights(stamps, flux * model) * flux**2
    residual = (stamps.data - fit.sky[:, None, None]) / flux - model
    residual = np.where(stamps.usable, residual, 0)
    radius = stamps.data.shape[-1] // 2
    total, norm = np.zeros(residual.shape[1:]), np.full(residual.shape[1:], 1e-30)
    shifted = np.empty_like(residual)
    for k in range(len(fit.x)):
        dx, dy = fit.x[k] - stamps.x0[k] - radius, fit.y[k] - stamps.y0[k] - radius
        shifted[k] = _shifted(residual[k], dx, dy)
    for _ in range(2):
        middle = total / norm
        off = (shifted - middle) ** 2 * weight
        kept = np.where((off < 16) | (norm < 1e-20), weight, 0)
        total, norm = (kept * shifted).sum(0), kept.sum(0) + 1e-30
    mean, noise = total / norm, 1 / norm
    return _shrunk(mean, np.minimum(noise, 1.0))


def _shifted(stamp: Floats, dx: float, dy: float) -> Floats:
    """The stamp read at +(dx, dy) by the six-tap kernel; 0 beyond its edge."""
    (column, across), (row, along) = (
        (int(np.floor(shift)), weight_table()[round((shift - np.floor(shift)) * PHASES)])
        for shift in (dx, dy)
    )
    return _read(stamp, column + FIRST_TAP, row + FIRST_TAP, across, along)


@njit(cache=True, nogil=True)
def _read(stamp, column, row, across, along):  # type: ignore[no-untyped-def]
    """Sums of six taps along x, then along y; tap m stands at + column + m and + row + m."""
    ny, nx = stamp.shape
    between, out = np.zeros((ny, nx)), np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            for m in range(across.size):
                i = x + column + m
                if 0 <= i < nx:
                    between[y, x] += across[m] * stamp[y, i]
    for m in range(along.size):
        for y in range(max(0, -row - m), min(ny, ny - row - m)):
            out[y] += along[m] * between[y + row + m]
    return out


def _shrunk(mean: Floats, noise: Floats) -> Floats:
    """`mean` times signal^2 / (signal^2 + noise^2) of its annulus; 0 in the corners."""
    radius = mean.shape[0] // 2
    j, i = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    r = np.hypot(i, j)
    out = np.zeros_like(mean)
    for inner in np.arange(0, radius, 1.5):
        ring = (r >= inner) & (r < min(inner + 1.5, radius))
        if ring.any():
            expected = noise[ring].mean()
            signal = max(0.0, float((mean[ring] ** 2).mean() - expected))
            out[ring] = mean[ring] * signal / max(signal + expected, 1e-30)
    return out


def _model(
    fit: MoffatFit, correction: Floats, settings: PSFSettings, shape: tuple[int, ...]
) -> PSFModel:
    """Stamps as polynomials of the position, each normalised."""
    ny, nx = shape
    grid = np.linspace(-1, 1, 7) if fit.order else np.zeros(1)
    v, u = (a.ravel() for a in np.meshgrid(grid, grid, indexing="ij"))
    shapes = fit.shapes(u, v)
    widest = float(np.exp(shapes[0].max())) * 2 * np.sqrt(2 ** (1 / fit.beta) - 1)
    radius = max(int(np.ceil(settings.stamp_radius_fwhm * widest)), correction.shape[0] // 2)
    offset = np.arange(-radius, radius + 1.0)
    stamps = moffat(offset[None, None, :], offset[None, :, None], shapes, fit.beta)
    inner = slice(radius - correction.shape[0] // 2, radius + correction.shape[0] // 2 + 1)
    stamps[:, inner, inner] += correction
    stamps /= stamps.sum((1, 2), keepdims=True)
    order = _STAMP_ORDER if fit.order else 0
    terms = polynomial_terms(u, v, order=order).T
    solution = np.linalg.lstsq(terms, stamps.reshape(len(stamps), -1), rcond=None)[0]
    size = 2 * radius + 1
    return PSFModel(
        np.ascontiguousarray(solution.reshape(-1, size, size), np.float32), order, (ny, nx)
    )


def _model_error(stamps: Stamps, fit: MoffatFit, correction: Floats, fwhm_pix: float) -> float:
    """Norm of the residuals within 1.25 FWHM over the norm of the PSF, noise taken out.

    The weighted median of the stars, plus the noise of the model itself.
    """
    model = evaluate(stamps, fit)
    radius = stamps.data.shape[-1] // 2
    flux = fit.flux[:, None, None]
    for k in range(len(fit.x)):
        dx, dy = fit.x[k] - stamps.x0[k] - radius, fit.y[k] - stamps.y0[k] - radius
        model[k] += _shifted(correction, -dx, -dy)
    left = (stamps.data - fit.sky[:, None, None] - flux * model) / flux
    offset = np.arange(-radius, radius + 1)
    core = np.hypot(offset, offset[:, None]) <= _ERROR_RADIUS_FWHM * fwhm_pix
    variance = stamps.variance / flux**2
    used = stamps.usable & core & (left**2 < 25 * (variance + (0.05 * model) ** 2))
    norm = np.maximum(np.where(used, model**2, 0).sum((1, 2)), 1e-30)
    excess = np.where(used, left**2 - variance, 0).sum((1, 2)) / norm
    spread = np.sqrt(np.where(used, 2 * variance**2, 0).sum((1, 2))) / norm
    weight = 1 / np.maximum(spread, np.median(spread) / 10)
    order = np.argsort(excess)
    middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    n = len(fit.x)
    typical = max(float(excess[order[min(middle, n - 1)]]), 0.0)
    snr2 = np.where(stamps.usable, model**2 / variance, 0).sum()
    return float(np.sqrt(typical * n / max(n - 1, 1) + 1 / snr2))
