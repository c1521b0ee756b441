"""Blank-sky statistics of a score map, with their own sampling errors, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.threads import over_rows

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_SIGMA_PER_MAD = 1.482602
_MAX_SAMPLES = 1_000_000


@dataclass(frozen=True)
class BlankSkySettings:
    """What blank sky is and how far its score may be from a standard normal.

    source_sigma: significance of a reference peak of either sign that is kept away from. Noise
    alone reaches it: of pure noise of two equal images 3.5 leaves a scatter of 0.996 (3: 0.983)
    and, by both signs, a median of 0.001 (by the positive sign alone at 3: 0.023).
    distance_fwhm: that distance at source_sigma, in FWHM; it grows by one `distance_fwhm_per_dex`
    for every factor of ten in flux. n_independent_min: below it there is no verdict.
    verdict_standard_errors: a verdict falls at the limit plus so many standard errors.
    """

    source_sigma: float = 3.5
    distance_fwhm: float = 2.0
    distance_fwhm_per_dex: float = 1.0
    n_independent_min: int = 2000
    median_limit: float = 0.1
    std_range: tuple[float, float] = (0.95, 1.05)
    std_range_resampled: tuple[float, float] = (0.9, 1.3)
    verdict_standard_errors: float = 4.0


@dataclass(frozen=True)
class BlankSkyStatistics:
    """Median and robust std (from the MAD) of the score in blank sky, in sigmas.

    *_error: sampling errors, the pixels' correlation included. tail_fraction: two-sided fraction
    beyond 4 (a normal gives 6.3e-5). n_pixels, n_independent: size of the sample.
    Where there is no blank pixel the numbers are None.
    """

    median: float | None
    median_error: float | None
    std: float | None
    std_error: float | None
    tail_fraction: float | None
    n_pixels: int
    n_independent: int


def blank_sky_mask(
    reference_significance: FloatArray,
    unusable: BoolArray,
    *,
    fwhm_pix: float,
    settings: BlankSkySettings | None = None,
) -> BoolArray:
    """Return where the sky is blank, bool [y, x].

    reference_significance: matched-filter significance of the reference, sigmas. Its peaks of
    both signs are kept away from: without the positive ones alone, the reference's noise would be
    low in what is left, and the score's median above 0.
    unusable: True at every mask bit to keep away from, by `distance_fwhm`.
    Distances are measured on blocks of one FWHM, each as bad as its worst pixel.
    """
    settings = settings or BlankSkySettings()
    block = max(1, round(fwhm_pix))
    ny, nx = reference_significance.shape
    peak = _block_max(reference_significance, block)
    masked = _block_max(unusable.view(np.uint8), block) > 0
    reach = settings.distance_fwhm * fwhm_pix / block
    near = _grown(masked | (peak > settings.source_sigma), reach)
    step = settings.distance_fwhm_per_dex * fwhm_pix / block
    highest = float(peak.max(initial=0.0))
    dex = 1
    while settings.source_sigma * 10**dex < highest:
        near |= _grown(peak > settings.source_sigma * 10**dex, reach + dex * step)
        dex += 1
    return ~np.repeat(np.repeat(near, block, axis=0), block, axis=1)[:ny, :nx]


def blank_sky_statistics(
    score_corrected: FloatArray, blank: BoolArray, *, score_autocorrelation: NDArray[np.floating]
) -> BlankSkyStatistics:
    """Return median, robust std and tails of the score where `blank`.

    score_autocorrelation: (n, n) autocorrelation of the score's noise, 1 at its centre; sampling
    errors follow from its sums (of asin rho for the median, of rho^2 for the scatter).
    """
    n_pixels = int(np.count_nonzero(blank))
    rho = np.clip(np.asarray(score_autocorrelation, float), -1, 1)
    pixels_per_element = max(float(np.sum(rho**2)), 1.0)
    n_independent = int(n_pixels / pixels_per_element)
    if n_independent < 2:
        return BlankSkyStatistics(None, None, None, None, None, n_pixels, n_independent)
    step = max(1, n_pixels // _MAX_SAMPLES)
    values = np.empty(-(-n_pixels // step), np.float32)
    tail = _sample(score_corrected, blank, step, values) / n_pixels
    median = float(np.median(values))
    std = _SIGMA_PER_MAD * float(np.median(np.abs(values - np.float32(median))))
    median_error = std * float(np.sqrt(max(np.sum(np.arcsin(rho)), 1.0) / n_pixels))
    std_error = std * float(np.sqrt(1.36 / n_independent))
    return BlankSkyStatistics(median, median_error, std, std_error, tail, n_pixels, n_independent)


def blank_sky_verdict(
    statistics: BlankSkyStatistics,
    *,
    is_resampled: bool,
    settings: BlankSkySettings | None = None,
) -> tuple[bool | None, tuple[str, ...]]:
    """Return (passed, reasons); None where too little blank sky allows no verdict."""
    settings = settings or BlankSkySettings()
    if statistics.std is None or statistics.n_independent < settings.n_independent_min:
        found = f"{statistics.n_independent} independent elements"
        needed = f"{settings.n_independent_min} needed"
        return None, (f"no verdict on blank sky: {found}, {needed}",)
    reasons = []
    margin = settings.verdict_standard_errors * (statistics.median_error or 0.0)
    if abs(statistics.median or 0.0) > settings.median_limit + margin:
        reasons.append(
            f"score median in blank sky {statistics.median:+.3f}, "
            f"allowed ±{settings.median_limit} + {margin:.3f}"
        )
    low, high = settings.std_range_resampled if is_resampled else settings.std_range
    margin = settings.verdict_standard_errors * (statistics.std_error or 0.0)
    if not low - margin <= statistics.std <= high + margin:
        reasons.append(
            f"score std in blank sky {statistics.std:.3f}, "
            f"allowed {low} to {high} with {margin:.3f} beyond"
        )
    return not reasons, tuple(reasons)


@njit(cache=True, nogil=True)
def _sample(score, blank, step, values):  # type: ignore[no-untyped-def]
    """Fill `values` with every step-th blank pixel; return how many of all are beyond 4 sigma."""
    seen, n_beyond = 0, 0
    for y in range(score.shape[0]):
        for x in range(score.shape[1]):
            if not blank[y, x]:
                continue
            value = score[y, x]
            n_beyond += abs(value) > 4
            if seen % step == 0:
                values[seen // step] = value
            seen += 1
    return n_beyond


def _block_max(array: NDArray[Any], block: int) -> NDArray[Any]:
    """Return the greatest absolute value of each block of `block` pixels squared."""
    ny, nx = array.shape
    out = np.empty((-(-ny // block), -(-nx // block)), array.dtype)
    over_rows(lambda first, stop: _highest(array, block, first, stop, out), out.shape[0])
    return out


@njit(cache=True, nogil=True)
def _highest(array, block, first, stop, out):  # type: ignore[no-untyped-def]
    ny, nx = array.shape
    for j in range(first, stop):
        row = np.abs(array[j * block])
        for y in range(j * block + 1, min((j + 1) * block, ny)):
            for x in range(nx):
                row[x] = max(row[x], abs(array[y, x]))
        for i in range(out.shape[1]):
            value = row[i * block]
            for x in range(i * block + 1, min((i + 1) * block, nx)):
                value = max(value, row[x])
            out[j, i] = value


def _grown(mask: BoolArray, radius: float) -> BoolArray:
    """Return where a set pixel of `mask` lies within `radius` pixels."""
    out = np.zeros_like(mask)
    reach = np.arange(int(radius) + 1)
    _grow(mask, np.sqrt(np.maximum(radius**2 - reach**2, 0)).astype(np.int64), out)
    return out


@njit(cache=True, nogil=True)
def _grow(mask, half_width, out):  # type: ignore[no-untyped-def]
    ny, nx = mask.shape
    for y in range(ny):
        for x in range(nx):
            if not mask[y, x]:
                continue
            for dy in range(1 - half_width.size, half_width.size):
                v, half = y + dy, half_width[abs(dy)]
                if 0 <= v < ny:
                    out[v, max(x - half, 0) : min(x + half + 1, nx)] = True
