"""Finding sources on a sky-subtracted image: a table of them, and where they stand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields

import numpy as np
import sep
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.smoothing import gaussian_taps, grown, smoothed_rows
from astrid_assets.imaging.threads import over_blocks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
DEFAULT_FWHM_PIX = 3.0
_PIXSTACK = 3_000_000
_PIXSTACK_LEAST = 100_000
_SUBOBJECT_LIMIT = 8192
_SEP_LIMITS = threading.Lock()  # they belong to the process
_BRIGHT_SIGMA = 60.0
_LEAST_COVER = np.float32(0.3)


@dataclass(frozen=True)
class SourceTable:
    """Sources in order of (y, x), as arrays of one length.

    x, y: isophotal barycentres, 0-based pixels. flux: aperture counts of radius 1.5 FWHM, ADU;
    flux_error: its error. peak: brightest pixel, ADU. fwhm: twice the half-light radius, pixels.
    a, b, theta: isophotal rms axes (pixels) and angle of the major axis from x (radians).
    n_pix: pixels above the threshold. flags: sep's extraction flags (1: blended).
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux: Floats = field(repr=False)
    flux_error: Floats = field(repr=False)
    peak: Floats = field(repr=False)
    fwhm: Floats = field(repr=False)
    a: Floats = field(repr=False)
    b: Floats = field(repr=False)
    theta: Floats = field(repr=False)
    n_pix: NDArray[np.int64] = field(repr=False)
    flags: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def ellipticity(self) -> Floats:
        """1 - b/a."""
        return 1 - self.b / np.maximum(self.a, 1e-9)

    @property
    def snr(self) -> Floats:
        """Aperture flux over its error."""
        return self.flux / np.maximum(self.flux_error, 1e-30)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> SourceTable:
        """Return the rows that `keep` (mask or indices) names."""
        return SourceTable(*(getattr(self, f.name)[keep] for f in fields(self)))


def detect_sources(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    unusable: Bools,
    threshold_sigma: float = 5.0,
    fwhm_pix: float | None = None,
    min_pixels: int = 5,
    is_filtered: bool = True,
) -> SourceTable:
    """Return the sources of sky-subtracted `data` [y, x] above a threshold per filtered pixel.

    The matched filter is a Gaussian of `fwhm_pix` (3 px where unknown); without it (ten times as
    fast) the threshold is per raw pixel. Unusable pixels take no part. sep's cleaning is off: with
    a matched filter it drops a fifth of isolated stars above 20 sigma.
    """
    fwhm = fwhm_pix or DEFAULT_FWHM_PIX
    # sep demands it; rarely a copy
    pixels, variance = (np.require(a, np.float32, ["C", "W"]) for a in (data, variance))
    stack = max(_PIXSTACK, data.size // 3)
    if not is_filtered:
        stack = _PIXSTACK_LEAST + 2 * int(_n_above(pixels, variance, np.float32(threshold_sigma)))
    with _SEP_LIMITS:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(_SUBOBJECT_LIMIT)
        found = sep.extract(
            pixels, threshold_sigma, var=variance, mask=unusable, minarea=min_pixels,
            filter_kernel=gaussian_stamp(fwhm) if is_filtered else None, filter_type="matched",
            clean=False,
        )  # fmt: skip
    found = found[np.lexsort((found["x"], found["y"]))]
    x, y = found["x"], found["y"]
    flux, flux_error, _ = sep.sum_circle(
        pixels, x, y, 1.5 * fwhm, var=variance, mask=unusable, subpix=5
    )
    reach = np.full(len(x), max(3.0 * fwhm, 6.0))
    half, _ = sep.flux_radius(pixels, x, y, reach, 0.5, mask=unusable, subpix=5)
    return SourceTable(
        x, y, flux, flux_error, found["peak"].astype(float), 2 * half, found["a"], found["b"],
        found["theta"], found["npix"].astype(np.int64), found["flag"].astype(np.int64),
    )  # fmt: skip


def gaussian_stamp(fwhm_pix: float) -> NDArray[np.float32]:
    """Return a Gaussian of `fwhm_pix` with sum 1 on a small odd stamp."""
    sigma = fwhm_pix / 2.3548
    radius = max(1, round(2.5 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    stamp = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return (stamp / stamp.sum()).astype(np.float32)


def source_significance(
    data: NDArray[np.float32],
    rms: NDArray[np.float32] | float,
    *,
    unusable: Bools,
    fwhm_pix: float | None = None,
) -> NDArray[np.float32]:
    """Return sky-subtracted `data` [y, x] smoothed to `fwhm_pix`, in sigmas of smoothed noise.

    Unusable pixels take no part; 0 where less than 30 % of the kernel is usable.
    """
    sigma = (fwhm_pix or DEFAULT_FWHM_PIX) / 2.3548
    taps = gaussian_taps(sigma)
    factor = np.float32(np.sqrt(4 * np.pi) * sigma)
    is_whole = not unusable.any()
    noise = np.broadcast_to(np.asarray(rms, np.float32), data.shape)
    out = np.empty_like(data, order="C")
    reach = taps.size // 2
    n_rows = len(data)

    def block(first: int, stop: int) -> None:
        low, high = max(first - reach, 0), min(stop + reach, n_rows)
        own, lost = slice(first - low, stop - low), unusable[low:high]
        smooth = smoothed_rows(np.where(lost, np.float32(0), data[low:high]), taps, own)
        smooth /= noise[first:stop]
        smooth *= factor
        if not is_whole:
            cover = smoothed_rows((~lost).astype(np.float32), taps, own)
            smooth /= np.maximum(cover, _LEAST_COVER)
            smooth[cover < _LEAST_COVER] = 0
        out[first:stop] = smooth

    over_blocks(block, n_rows)
    return out


def source_mask(
    significance: NDArray[np.float32], *, threshold_sigma: float = 3.0, grow_pix: int = 5
) -> Bools:
    """Return where sources may stand, their surroundings included, from `source_significance`.

    Pixels beyond `threshold_sigma` are taken *on both sides*, so that what is left of pure noise
    keeps its median (its scatter falls to 0.995 at 3, 0.999 at 3.5 sigma); they grow by `grow_pix`,
    beyond 60 sigma by four times as much.
    """
    mask = grown(np.abs(significance) > threshold_sigma, grow_pix)
    bright = significance > _BRIGHT_SIGMA
    if bright.any():
        mask |= grown(bright, 4 * grow_pix)
    return mask


def count_peaks(significance: NDArray[np.float32], *, threshold_sigma: float) -> int:
    """Return the number of local maxima (of 3 x 3 pixels) above a threshold."""
    return int(_n_peaks(significance, threshold_sigma))


@njit(cache=True, nogil=True)
def _n_above(values, variance, limit):  # type: ignore[no-untyped-def]
    n = 0
    for y in range(values.shape[0]):
        row, square = values[y], variance[y]
        for x in range(row.size):
            n += row[x] > limit * np.sqrt(square[x])
    return n


@njit(cache=True, nogil=True)
def _n_peaks(values, limit):  # type: ignore[no-untyped-def]
    n = 0
    for y in range(1, values.shape[0] - 1):
        for x in range(1, values.shape[1] - 1):
            middle = values[y, x]
            if middle <= limit:
                continue
            is_peak = True
            for j in range(-1, 2):
                for i in range(-1, 2):
                    other = values[y + j, x + i]
                    if other > middle or (other == middle and (j < 0 or (j == 0 and i < 0))):
                        is_peak = False
            n += is_peak
    return n
