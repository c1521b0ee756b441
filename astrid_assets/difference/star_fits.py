"""Bright isolated stars of one image: their peaks, and PSF fits of position and flux.

Used to align a pair and to weigh how far the PSF models can be trusted; not a photometry tool.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE

_ITERATIONS = 6
_MAX_STEP_PIX = 0.7


@dataclass(frozen=True)
class StarFits:
    """PSF fits at n positions; arrays of length n, float64.

    x, y: fitted positions, pixels. x_error, y_error: their standard errors from the noise.
    flux, flux_error: counts. residual: norm of the fit's residual beyond noise, over that of the
    star itself (small for a star, large for a galaxy or a blend). is_good: the fit converged on
    fully usable pixels.
    """

    x: NDArray[np.float64] = field(repr=False)
    y: NDArray[np.float64] = field(repr=False)
    x_error: NDArray[np.float64] = field(repr=False)
    y_error: NDArray[np.float64] = field(repr=False)
    flux: NDArray[np.float64] = field(repr=False)
    flux_error: NDArray[np.float64] = field(repr=False)
    residual: NDArray[np.float64] = field(repr=False)
    is_good: NDArray[np.bool_] = field(repr=False)


def find_peaks(
    image: Image, *, threshold_sigma: float, separation_pix: float, max_number: int
) -> NDArray[np.float64]:
    """Return positions (n, 2) as x, y of the brightest isolated peaks, brightest first.

    A peak exceeds `threshold_sigma` of its pixel noise, touches no unusable pixel within
    `separation_pix` / 2 and has no brighter peak within `separation_pix`.
    """
    bands: dict[int, NDArray[np.int64]] = {}

    def band(first: int, stop: int) -> None:
        limit = np.float32(threshold_sigma)
        bands[first] = _peaks(image.data, image.variance, limit, first, stop)

    over_rows(band, image.shape[0])
    found = np.concatenate([bands[first] for first in sorted(bands)])
    if found.shape[0] == 0:
        return np.zeros((0, 2))
    values = image.data[found[:, 0], found[:, 1]]
    found = found[np.argsort(-values, kind="stable")][: 12 * max_number]
    tree = cKDTree(found)
    has_brighter = np.zeros(len(found), bool)
    for i, j in tree.query_pairs(separation_pix):
        has_brighter[max(i, j)] = True
    found = found[~has_brighter]
    reach = max(int(separation_pix / 2), 1)
    ny, nx = image.shape
    kept = []
    for y, x in found:
        inside = reach <= y < ny - reach and reach <= x < nx - reach
        box = image.mask[y - reach : y + reach + 1, x - reach : x + reach + 1]
        if inside and not has_any(box, *UNUSABLE).any():
            kept.append((float(x), float(y)))
        if len(kept) == max_number:
            break
    return np.asarray(kept, float).reshape(-1, 2)


def fit_stars(image: Image, x: NDArray[np.float64], y: NDArray[np.float64]) -> StarFits:
    """Fit flux, position and a local level at each start position (x, y), 0-based pixels.

    The image's own PSF at each position is shifted in Fourier space; Gauss-Newton, weighted by the
    variance. Raises ValueError where the image has no PSF.
    """
    if image.psf is None:
        raise ValueError("fit_stars needs an image with a PSF")
    half = max(3, round(1.25 * image.psf.fwhm_pix))
    edge = image.psf.size
    x0, y0 = np.rint(x).astype(int), np.rint(y).astype(int)
    ny, nx = image.shape
    inside = (x0 >= half) & (y0 >= half) & (x0 < nx - half) & (y0 < ny - half)
    offsets = np.arange(-half, half + 1)
    rows = np.clip(y0, half, ny - 1 - half)[:, None, None] + offsets[None, :, None]
    columns = np.clip(x0, half, nx - 1 - half)[:, None, None] + offsets[None, None, :]
    data = image.data[rows, columns].astype(float)
    weight = 1 / np.maximum(image.variance[rows, columns].astype(float), 1e-12)
    usable = ~has_any(image.mask[rows, columns], *UNUSABLE)
    weight *= usable
    stamps = np.stack([image.psf.at(u, v) for u, v in zip(x, y, strict=True)]) if len(x) else None
    if stamps is None:
        n = np.zeros(0)
        return StarFits(n, n, n, n, n, n, n, np.zeros(0, bool))
    size = max(edge, 2 * half + 1) + 8
    spectra = scipy.fft.rfft2(stamps.astype(float), s=(size, size))
    wave_x = 2j * np.pi * scipy.fft.rfftfreq(size)[None, None, :]
    wave_y = 2j * np.pi * scipy.fft.fftfreq(size)[None, :, None]
    cut = (edge // 2 + offsets) % size
    dx, dy = x - x0, y - y0
    for iteration in range(_ITERATIONS):
        moved = spectra * np.exp(-wave_x * dx[:, None, None])
        moved *= np.exp(-wave_y * dy[:, None, None])
        model, slope_x, slope_y = (
            scipy.fft.irfft2(spectrum, s=(size, size))[:, cut[:, None], cut[None, :]]
            for spectrum in (moved, -wave_x * moved, -wave_y * moved)
        )
        if iteration == 0:
            flux = _amplitude(data, model, weight)
        scale = flux[:, None, None]
        design = np.stack([model, scale * slope_x, scale * slope_y, np.ones_like(model)], axis=-1)
        design = design.reshape(len(x), -1, 4)
        w = weight.reshape(len(x), -1)
        weighted = (design * w[..., None]).transpose(0, 2, 1)
        normal = weighted @ design
        right = (weighted @ data.reshape(len(x), -1, 1))[..., 0]
        solvable = np.linalg.cond(normal) < 1e14
        normal[~solvable] = np.eye(4)
        answer = np.linalg.solve(normal, right[..., None])[..., 0]
        flux = np.where(solvable, answer[:, 0], 0.0)
        if iteration < _ITERATIONS - 1:
            dx = dx + np.clip(answer[:, 1], -_MAX_STEP_PIX, _MAX_STEP_PIX) * solvable
            dy = dy + np.clip(answer[:, 2], -_MAX_STEP_PIX, _MAX_STEP_PIX) * solvable
    covariance = np.linalg.inv(normal)
    rest = data - flux[:, None, None] * model - answer[:, 3][:, None, None]
    noise = np.sum(usable / np.maximum(weight, 1e-30) * usable, axis=(1, 2))
    power = np.sum(usable * rest**2, axis=(1, 2))
    signal = flux**2 * np.sum(usable * model**2, axis=(1, 2))
    residual = np.sqrt(np.maximum(power - noise, 0) / np.maximum(signal, 1e-30))
    moved_far = np.hypot(x0 + dx - x, y0 + dy - y) > half
    settled = np.hypot(answer[:, 1], answer[:, 2]) < 0.05
    is_good = inside & solvable & (flux > 0) & ~moved_far & settled & usable.all(axis=(1, 2))
    errors = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0))
    return StarFits(
        x0 + dx, y0 + dy, errors[:, 1], errors[:, 2], flux, errors[:, 0], residual, is_good
    )


def _amplitude(
    data: NDArray[np.float64], model: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    level = np.median(data[:, 0], axis=1)[:, None, None]
    over = np.sum(weight * model**2, axis=(1, 2))
    return np.sum(weight * model * (data - level), axis=(1, 2)) / np.maximum(over, 1e-30)


@njit(cache=True, nogil=True)
def _peaks(data, variance, threshold, first, stop):  # type: ignore[no-untyped-def]
    """Return (n, 2) of (y, x) in rows [first, stop): maxima of 5 x 5 pixels over the threshold."""
    ny, nx = data.shape
    limit = threshold * threshold
    found = [(0, 0) for _ in range(0)]
    for y in range(max(first, 2), min(stop, ny - 2)):
        for x in range(2, nx - 2):
            value = data[y, x]
            if value <= 0 or value * value <= limit * variance[y, x]:
                continue
            is_peak = True
            for v in range(y - 2, y + 3):
                for u in range(x - 2, x + 3):
                    other = data[v, u]
                    if other > value or (other == value and (v < y or (v == y and u < x))):
                        is_peak = False
                        break
                if not is_peak:
                    break
            if is_peak:
                found.append((y, x))
    out = np.empty((len(found), 2), np.int64)
    for i in range(len(found)):
        out[i, 0] = found[i][0]
        out[i, 1] = found[i][1]
    return out
