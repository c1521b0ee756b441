"""Choosing stars for a PSF: point-like, unsaturated, isolated, of one size that may drift."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrid_assets.imaging.sources import SourceTable, detect_sources
from astrid_resources.images.psf import polynomial_terms

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_GAUSSIAN_FWHM = 2.3548


@dataclass(frozen=True)
class StarSettings:
    """What may serve as a PSF star.

    detection_sigma: per pixel. min_snr: of the aperture flux. max_peak_saturation: peak over the
    saturation level.
    min_fwhm_pix: sharper than this is a cosmic ray. size_tolerance: of ln size around the local
    size of stars. neighbour_flux, neighbour_fwhm: a neighbour with at least this fraction of the
    star's flux within so many FWHM disqualifies it. max_stars: the brightest are kept.
    """

    detection_sigma: float = 3.0
    min_snr: float = 20.0
    max_peak_saturation: float = 0.8
    min_fwhm_pix: float = 1.3
    max_ellipticity: float = 0.5
    size_tolerance: float = 0.12
    neighbour_flux: float = 0.1
    neighbour_fwhm: float = 2.5
    max_stars: int = 300


@dataclass(frozen=True)
class StarSample:
    """Chosen stars and everything that was detected around them.

    sources: all detections. stars: indices of the chosen ones, brightest first. fwhm_pix: their
    typical size, from Gaussian-weighted moments.
    """

    sources: SourceTable
    stars: NDArray[np.intp] = field(repr=False)
    fwhm_pix: float


def choose_stars(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    unusable: Bools,
    saturation_adu: float,
    settings: StarSettings,
) -> StarSample:
    """Return stars of sky-subtracted `data` [y, x] for a PSF; none is a possible answer.

    saturation_adu: level above the sky at which pixels saturate.
    """
    sources = detect_sources(
        data,
        variance,
        unusable=unusable,
        threshold_sigma=settings.detection_sigma,
        is_filtered=False,
    )
    fwhm = 3.0
    good = np.zeros(len(sources), bool)
    size = np.full(len(sources), np.nan)
    for _ in range(3):
        size, roundness = moment_sizes(data, sources.x, sources.y, fwhm, unusable=unusable)
        good = _eligible(sources, size, roundness, fwhm, unusable, saturation_adu, settings)
        if not good.any():
            return StarSample(sources, np.empty(0, np.intp), fwhm)
        fwhm, settled = _common_size(size[good], sources.snr[good]), fwhm
        if abs(fwhm / settled - 1) < 0.02:
            break
    good &= _isolated(sources, fwhm, settings)
    if good.any():
        good[good] = _on_locus(
            sources.select(good), size[good], data.shape, fwhm, settings.size_tolerance
        )
    chosen = np.flatnonzero(good)
    chosen = chosen[np.argsort(-sources.flux[chosen], kind="stable")][: settings.max_stars]
    return StarSample(sources, chosen, fwhm)


def moment_sizes(
    data: NDArray[np.float32], x: Floats, y: Floats, fwhm_pix: float, *, unusable: Bools
) -> tuple[Floats, Floats]:
    """Return FWHM (pixels) and ellipticity from moments under a Gaussian window of `fwhm_pix`.

    The window is taken out again as if the source were Gaussian; NaN where moments are no size.
    """
    ny, nx = data.shape
    radius = int(np.ceil(1.5 * fwhm_pix))
    offset = np.arange(-radius, radius + 1)
    j = np.rint(y).astype(int)[:, None, None] + offset[:, None]
    i = np.rint(x).astype(int)[:, None, None] + offset[None]
    inside = (j >= 0) & (j < ny) & (i >= 0) & (i < nx)
    j, i = np.clip(j, 0, ny - 1), np.clip(i, 0, nx - 1)
    light = np.where(inside & ~unusable[j, i], data[j, i], 0).astype(float)
    window_variance = (1.2 * fwhm_pix / _GAUSSIAN_FWHM) ** 2
    cx, cy = x.copy(), y.copy()
    for _ in range(4):
        dx, dy = i - cx[:, None, None], j - cy[:, None, None]
        weighted = light * np.exp(-(dx**2 + dy**2) / (2 * window_variance))
        total = np.maximum(weighted.sum((1, 2)), 1e-9)
        cx = cx + np.clip(2 * (weighted * dx).sum((1, 2)) / total, -0.5, 0.5)
        cy = cy + np.clip(2 * (weighted * dy).sum((1, 2)) / total, -0.5, 0.5)
    xx, yy, xy = (
        (weighted * product).sum((1, 2)) / total for product in (dx * dx, dy * dy, dx * dy)
    )
    mean = (xx + yy) / 2
    inverse = 1 / np.maximum(mean, 1e-9) - 1 / window_variance
    with np.errstate(invalid="ignore"):
        size = _GAUSSIAN_FWHM / np.sqrt(np.where((inverse > 0) & (mean > 0), inverse, np.nan))
    return size, np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-9)


def _eligible(
    sources: SourceTable,
    size: Floats,
    roundness: Floats,
    fwhm: float,
    unusable: Bools,
    saturation_adu: float,
    settings: StarSettings,
) -> Bools:
    """Bright, unsaturated, clean at the core, not sharper than the sky allows, not at the edge."""
    ny, nx = unusable.shape
    core = max(1, int(np.ceil(fwhm / 2)))
    offset = np.arange(-core, core + 1)
    column = np.clip(np.rint(sources.x).astype(int), 0, nx - 1)[:, None, None] + offset
    row = np.clip(np.rint(sources.y).astype(int), 0, ny - 1)[:, None, None] + offset[:, None]
    is_off = (column < 0) | (column >= nx) | (row < 0) | (row >= ny)
    lost = unusable[np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)]
    near_bad = (is_off | lost).any((1, 2))
    return (
        (sources.snr > settings.min_snr)
        & (sources.peak < settings.max_peak_saturation * saturation_adu)
        & ~near_bad
        & np.isfinite(size)
        & (np.nan_to_num(size) > settings.min_fwhm_pix)
        & (roundness < settings.max_ellipticity)
    )


def _common_size(size: Floats, snr: Floats) -> float:
    """Mode of ln size: the window of 15 % that holds most weight, the smaller one when equal."""
    bright = np.argsort(-snr, kind="stable")[:80]
    order = bright[np.argsort(size[bright], kind="stable")]
    log_size, weight = np.log(size[order]), np.minimum(snr[order], 100.0)
    summed = np.concatenate([[0.0], np.cumsum(weight)])
    end = np.searchsorted(log_size, log_size + 0.15, side="right")
    held = summed[end] - summed[:-1]
    best = int(np.argmax(held))
    members = slice(best, end[best])
    return float(np.exp(np.average(log_size[members], weights=weight[members])))


def _isolated(sources: SourceTable, fwhm: float, settings: StarSettings) -> Bools:
    """No neighbour of consequence near."""
    tree = cKDTree(np.stack([sources.x, sources.y], 1))
    good = np.ones(len(sources), bool)
    for k, n in tree.query_pairs(settings.neighbour_fwhm * fwhm):
        if sources.flux[n] > settings.neighbour_flux * sources.flux[k]:
            good[k] = False
        if sources.flux[k] > settings.neighbour_flux * sources.flux[n]:
            good[n] = False
    return good


def _on_locus(
    stars: SourceTable, size: Floats, shape: tuple[int, ...], fwhm: float, tolerance: float
) -> Bools:
    """Within `tolerance` (and three errors) of the local size; the size may drift linearly."""
    log_size = np.log(size)
    error = 1.5 / np.maximum(stars.snr, 1.0)
    limit = tolerance + 3 * error
    u, v = 2 * stars.x / shape[1] - 1, 2 * stars.y / shape[0] - 1
    terms = polynomial_terms(u, v, order=1).T
    local = np.full(len(size), np.log(fwhm))
    good = np.abs(log_size - local) < limit
    for _ in range(5):
        if good.sum() < 12:
            break
        weight = 1 / (0.05 + error[good])
        fit = np.linalg.lstsq(terms[good] * weight[:, None], log_size[good] * weight, rcond=None)[0]
        local = terms @ fit
        good = np.abs(log_size - local) < limit
    return good
