"""Compiled parts of `sharp_features`: curvature of an image, and regions grown from seeds."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

GROWS, SEEDS = 1, 2
_TRUNCATE = 4.0


def derivative_taps(sigma_pix: float) -> NDArray[np.float32]:
    """Return a Gaussian of sum 1 and its first and second derivatives, (3, n) weights."""
    radius = int(_TRUNCATE * sigma_pix + 0.5)
    x = np.arange(-radius, radius + 1)
    gauss = np.exp(-0.5 * (x / sigma_pix) ** 2)
    gauss /= gauss.sum()
    slopes = [-x / sigma_pix**2, (x**2 / sigma_pix**2 - 1) / sigma_pix**2]
    return np.stack([gauss, *(slope * gauss for slope in slopes)]).astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _row(data, taps, y, lines, bright, curved):  # type: ignore[no-untyped-def]
    """Smoothed row y, and minus the most negative eigenvalue of its Hessian.

    lines: buffer (3, nx + 2 radius). Edge pixels are repeated outwards.
    """
    ny, nx = data.shape
    radius = taps.shape[1] // 2
    for order in range(3):
        line = lines[order]
        inner = line[radius : radius + nx]
        inner[:] = 0
        for k in range(-radius, radius + 1):
            source, weight = data[min(max(y + k, 0), ny - 1)], taps[order, k + radius]
            for x in range(nx):
                inner[x] += weight * source[x]
        line[:radius] = inner[0]
        line[radius + nx :] = inner[nx - 1]
    v0, v1, v2 = lines[0], lines[1], lines[2]
    half = np.float32(0.5)
    size = 2 * radius + 1
    for x in range(nx):
        smooth = xx = yy = xy = np.float32(0)
        for k in range(size):
            smooth += taps[0, k] * v0[x + k]
            xx += taps[2, k] * v0[x + k]
            yy += taps[0, k] * v2[x + k]
            xy += taps[1, k] * v1[x + k]
        across = (xx - yy) * half
        bright[x] = smooth
        curved[x] = np.sqrt(across * across + xy * xy) - (xx + yy) * half


@njit(cache=True, nogil=True)
def curvature(data, taps, rows):  # type: ignore[no-untyped-def]
    """Smoothed brightness and curvature of some rows, two float32 (rows, nx)."""
    nx = data.shape[1]
    lines = np.empty((3, nx + taps.shape[1] - 1), np.float32)
    bright, curved = np.empty((rows.size, nx), np.float32), np.empty((rows.size, nx), np.float32)
    for k in range(rows.size):
        _row(data, taps, rows[k], lines, bright[k], curved[k])
    return bright, curved


@njit(cache=True, nogil=True)
def classify(data, variance, taps, limit, level, scale, sigmas, first, stop, out):  # type: ignore[no-untyped-def]
    """Bits into uint8 `out`: GROWS and SEEDS, where the curvature exceeds what is allowed.

    Allowed is limit * brightness + level * noise; the excess is counted in scale * noise. sigmas:
    of the excess for a seed and for growth, and of the pixel's own counts: a blank pixel
    beside a hit curves as well.
    """
    nx = data.shape[1]
    lines = np.empty((3, nx + taps.shape[1] - 1), np.float32)
    bright, curved = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for y in range(first, stop):
        _row(data, taps, y, lines, bright, curved)
        light, noise2, row = data[y], variance[y], out[y]
        for x in range(nx):
            noise = np.sqrt(noise2[x])
            excess = curved[x] - limit * max(bright[x], np.float32(0)) - level * noise
            bits = 0
            if light[x] > sigmas[2] * noise:
                if excess > sigmas[0] * scale * noise:
                    bits |= SEEDS
                if excess > sigmas[1] * scale * noise:
                    bits |= GROWS
            row[x] = bits


@njit(cache=True, nogil=True)
def regions(bits, hits, unusable, margin):  # type: ignore[no-untyped-def]
    """Where `hits` or seeds stand, and what grows from them (8-connected) over usable pixels.

    Seeds within `margin` pixels of an unusable one do not count.
    """
    ny, nx = bits.shape
    found = np.zeros((ny, nx), np.bool_)
    stack = np.empty((1024, 2), np.int32)
    n = 0
    for y0 in range(ny):
        for x0 in range(nx):
            if found[y0, x0] or not (hits[y0, x0] or bits[y0, x0] & SEEDS):
                continue
            if not hits[y0, x0]:
                box = unusable[
                    max(y0 - margin, 0) : y0 + margin + 1, max(x0 - margin, 0) : x0 + margin + 1
                ]
                if box.any():
                    continue
            found[y0, x0] = True
            stack[0, 0], stack[0, 1] = y0, x0
            n = 1
            while n:
                n -= 1
                yc, xc = stack[n, 0], stack[n, 1]
                for y in range(max(yc - 1, 0), min(yc + 2, ny)):
                    for x in range(max(xc - 1, 0), min(xc + 2, nx)):
                        grows = bits[y, x] & GROWS and not unusable[y, x]
                        if found[y, x] or not (hits[y, x] or grows):
                            continue
                        found[y, x] = True
                        if n == stack.shape[0]:
                            stack = np.concatenate((stack, np.empty_like(stack)))
                        stack[n, 0], stack[n, 1] = y, x
                        n += 1
    return found
