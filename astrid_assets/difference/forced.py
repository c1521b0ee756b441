"""Forced measurements on a difference at given positions, and the interpolation they rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrid_resources.images import DifferenceImage, plane_bits
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
_LOBES = 5


@dataclass(frozen=True)
class ForcedFlux:
    """PSF fluxes at given positions; arrays of the positions' shape.

    flux, flux_error: science counts. score: score_corrected, sigmas.
    is_masked: an unusable pixel of either image within one pixel, or off the image; the numbers
        there are no measurement.
    """

    flux: Floats = field(repr=False)
    flux_error: Floats = field(repr=False)
    score: Floats = field(repr=False)
    is_masked: NDArray[np.bool_] = field(repr=False)


def forced_flux(difference: DifferenceImage, x: ArrayLike, y: ArrayLike) -> ForcedFlux:
    """Return the PSF flux at positions (x, y), 0-based pixels, whatever is seen there.

    At a true position the flux is unbiased; at a fitted peak it is biased by +1/s^2.
    """
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    ny, nx = difference.image.shape
    outside = ~((x >= -0.5) & (y >= -0.5) & (x < nx - 0.5) & (y < ny - 0.5))
    u = np.where(outside, 0.0, x)
    v = np.where(outside, 0.0, y)
    bits = np.uint32(plane_bits(*UNUSABLE))
    is_masked = outside.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            rows = np.clip(np.rint(v).astype(int) + dy, 0, ny - 1)
            columns = np.clip(np.rint(u).astype(int) + dx, 0, nx - 1)
            is_masked |= (difference.image.mask[rows, columns] & bits) != 0
    nearest = np.rint(v).astype(int), np.rint(u).astype(int)
    return ForcedFlux(
        interpolated(difference.psf_flux, u, v),
        difference.psf_flux_error[nearest].astype(float),
        interpolated(difference.score_corrected, u, v),
        is_masked,
    )


def interpolated(image: NDArray[np.floating], x: ArrayLike, y: ArrayLike) -> Floats:
    """Return a band-limited map at positions (x, y) of any shape, by Lanczos-5.

    Positions beyond the edge read the replicated edge.
    """
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    ny, nx = image.shape
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    taps = np.arange(1 - _LOBES, _LOBES + 1)
    weights_x, weights_y = (_lanczos(taps - f[..., None]) for f in (x - x0, y - y0))
    columns = np.clip(x0[..., None] + taps, 0, nx - 1)
    rows = np.clip(y0[..., None] + taps, 0, ny - 1)
    values = image[rows[..., :, None], columns[..., None, :]].astype(float)
    return np.asarray(np.einsum("...j,...ji,...i->...", weights_y, values, weights_x))


def _lanczos(t: Floats) -> Floats:
    weights = np.sinc(t) * np.sinc(t / _LOBES) * (np.abs(t) < _LOBES)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
