"""How an image is cut into tiles for ZOGY, and ZOGY's filters on the Fourier grid of a tile.

A tile fits the cache, so the whole of ZOGY passes over it before the next one is touched. Each
carries a halo on every side, which takes up what wraps around: the reach of ZOGY's kernels.
Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from astrid_assets.difference.kernels import Kernels, Scheme, kernels, spectrum
from astrid_assets.imaging.threads import n_cores, over_rows

_LONGEST = 640
_BEYOND_STAMP_PIX = 8


@dataclass(frozen=True)
class Span:
    """Pixels [first, stop) of an axis that one tile answers for."""

    first: int
    stop: int


@dataclass(frozen=True)
class Axis:
    """One axis cut into spans; each is read from `halo` pixels before it into `length` pixels."""

    spans: tuple[Span, ...]
    halo: int
    length: int


def cut_axis(n_pix: int, halo: int, *, longest: int | None = None) -> Axis:
    """Return the cheapest cut of an axis of `n_pix`, spans at most `longest` pixels long.

    A single span needs no halo before it: zeros beyond its end take up what wraps around.
    """
    least = 1 if longest is None else max(1, -(-n_pix // longest))
    if least == 1 and n_pix + halo <= _LONGEST:
        return Axis((Span(0, n_pix),), 0, fast_length(n_pix + halo))
    best = max(least, 2)
    counts = range(best, max(best, -(-n_pix // max(_LONGEST - 2 * halo, halo))) + 3)
    lengths = {n: fast_length(-(-n_pix // n) + 2 * halo) for n in counts}
    fitting = [n for n in counts if lengths[n] <= _LONGEST] or [counts[-1]]
    count = min(fitting, key=lambda n: n * lengths[n])
    edges = [n_pix * i // count for i in range(count + 1)]
    spans = tuple(Span(a, b) for a, b in pairwise(edges))
    return Axis(spans, halo, lengths[count])


def halo_pix(scheme: Scheme) -> int:
    """Return the reach of a scheme's kernels: half a stamp and what the division adds.

    With it a 3072 x 3072 pair agrees with the transform of the whole to 0.001 sigma everywhere.
    """
    return scheme.edge // 2 + _BEYOND_STAMP_PIX


def fast_length(length: int) -> int:
    """Return the next even length with factors 2, 3 and 5 alone."""
    while True:
        fast = int(scipy.fft.next_fast_len(length, real=True))
        if fast % 2 == 0:
            return fast
        length = fast + 1


@dataclass(frozen=True)
class Filters:
    """The filters of one scheme on tiles of `shape` (ty, tx).

    weights: complex64 (ty, 6, tx // 2 + 1), what N and R, in units of their sky noise, are
    multiplied by for S_n and S_r (eq. 12), D (eq. 13; the reference's with its sign) in units of
    its noise, and V(S) / F_S (eqs. 25-30), in the order n, r of each.
    kept: the share of a source's flux weight inside the image, by row and by column.
    """

    kernel: Kernels
    weights: NDArray[np.complex64] = field(repr=False)
    kept: tuple[NDArray[np.float32], NDArray[np.float32]] = field(repr=False)
    shape: tuple[int, int]
    sky_sigma_science: float
    sky_sigma_reference: float
    flux_ratio: float


def filters(
    scheme: Scheme,
    *,
    sky_sigma_science: float,
    sky_sigma_reference: float,
    shape: tuple[int, int],
    image_shape: tuple[int, int],
) -> Filters:
    """Return the filters of a scheme on tiles of `shape`."""
    sigma_n, sigma_r = sky_sigma_science, sky_sigma_reference
    with ThreadPoolExecutor(n_cores()) as pool:
        pending = pool.submit(
            kernels, scheme, sky_sigma_science=sigma_n, sky_sigma_reference=sigma_r
        )
        on_tile = partial(spectrum, shape=shape)
        p_n, v = pool.map(on_tile, (scheme.psf, scheme.science))
        u = p_n if scheme.reference is scheme.psf else on_tile(scheme.reference)
        kernel = pending.result()
        k_n, k_r = pool.map(on_tile, (kernel.science_squared, kernel.reference_squared))
    weights = np.empty((shape[0], 6, shape[1] // 2 + 1), np.complex64)
    parts = (p_n, v, u, k_n, k_r, sigma_n, sigma_r, kernel.f_s, weights)
    over_rows(lambda first, stop: _fill_weights(first, stop, *parts), shape[0])
    kept_y, kept_x = (
        _kept_inside(kernel.footprint.sum(axis=1 - axis, dtype=float), length)
        for axis, length in enumerate(image_shape)
    )
    kept = (kept_y, kept_x)
    return Filters(kernel, weights, kept, shape, sigma_n, sigma_r, scheme.flux_ratio)


def _kept_inside(footprint: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """Return the share of a one-dimensional footprint that lies inside, per position."""
    half = footprint.size // 2
    total = np.concatenate([[0.0], np.cumsum(footprint)])
    position = np.arange(length)
    first = np.clip(half - position, 0, 2 * half + 1)
    stop = np.clip(length - position + half, 0, 2 * half + 1)
    whole = (first == 0) & (stop == 2 * half + 1)
    return np.where(whole, 1.0, np.clip(total[stop] - total[first], 0, 1)).astype(np.float32)


@njit(cache=True, nogil=True)
def _fill_weights(  # type: ignore[no-untyped-def]
    first, stop, p_n, v, u, k_n, k_r, sigma_n, sigma_r, f_s, weights
):
    var_n, var_r = sigma_n**2, sigma_r**2
    tiny = 1e-30 * (var_n * abs(v[0, 0]) ** 2 + var_r * abs(u[0, 0]) ** 2)
    for y in range(first, stop):
        for x in range(p_n.shape[1]):
            a, b, c = p_n[y, x].conjugate(), v[y, x], u[y, x]
            power_b = b.real * b.real + b.imag * b.imag
            power_c = c.real * c.real + c.imag * c.imag
            inverse = 1 / (var_n * power_b + var_r * power_c + tiny)
            root = np.sqrt(inverse)
            weights[y, 0, x] = a * (sigma_n * power_b * inverse)
            weights[y, 1, x] = a * c * b.conjugate() * (sigma_r * inverse)
            weights[y, 2, x] = b * (sigma_n * root)
            weights[y, 3, x] = c * (-sigma_r * root)
            weights[y, 4, x] = k_n[y, x] * (var_n / f_s)
            weights[y, 5, x] = k_r[y, x] * (var_r / f_s)
