"""What a detector adds to the sky: cosmic rays, bad columns, trails, saturation and bleeding."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SAMPLES_PER_PIX = 8
_COSMIC_RAY_E_PER_PIX = 900.0


def cosmic_rays(
    rng: np.random.Generator, shape: tuple[int, int], *, n: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return electrons deposited by `n` straight tracks and where they exceed 1 electron.

    Track lengths are exponential plus a third of point-like hits; the charge per pixel of path is
    log-normal around 900 electrons. Hits are sharper than any PSF.
    """
    ny, nx = shape
    charge = np.zeros(shape, np.float64)
    length = np.where(rng.random(n) < 0.35, rng.uniform(0.3, 1.5, n), rng.exponential(8.0, n) + 1)
    angle = rng.uniform(0, 2 * np.pi, n)
    x0, y0 = rng.uniform(0, nx, n), rng.uniform(0, ny, n)
    density = _COSMIC_RAY_E_PER_PIX * np.exp(0.7 * rng.standard_normal(n))
    steps = np.maximum(1, (length * _SAMPLES_PER_PIX).astype(int))
    track = np.repeat(np.arange(n), steps)
    along = (np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)) / _SAMPLES_PER_PIX
    x = np.floor(x0[track] + along * np.cos(angle[track])).astype(int)
    y = np.floor(y0[track] + along * np.sin(angle[track])).astype(int)
    ok = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    np.add.at(charge, (y[ok], x[ok]), density[track[ok]] / _SAMPLES_PER_PIX)
    return charge.astype(np.float32), charge > 1


def add_trails(
    rng: np.random.Generator, image: NDArray[np.float32], *, n: int, fwhm_pix: float, peak: float
) -> NDArray[np.bool_]:
    """Add `n` satellite trails of Gaussian section across `image`; return where they exceed 1 %."""
    ny, nx = image.shape
    touched = np.zeros(image.shape, bool)
    y, x = np.ogrid[:ny, :nx]
    for _ in range(n):
        angle = rng.uniform(0, np.pi)
        across = (x - rng.uniform(0.2, 0.8) * nx) * np.sin(angle)
        distance = across - (y - rng.uniform(0.2, 0.8) * ny) * np.cos(angle)
        section = np.exp(-4 * np.log(2) * (distance / fwhm_pix) ** 2).astype(np.float32)
        image += np.float32(peak) * section
        touched |= section > 0.01
    return touched


@njit(cache=True, nogil=True)
def bleed(image, full_well):  # type: ignore[no-untyped-def]
    """Clip float32 `image` at `full_well` in place; the excess runs up and down its column."""
    ny, nx = image.shape
    for x in range(nx):
        for step in (1, -1):
            excess = 0.0
            for k in range(ny):
                y = k if step == 1 else ny - 1 - k
                value = image[y, x]
                if value > full_well:
                    share = 0.5 if step == 1 else 1.0
                    moved = (value - full_well) * share
                    image[y, x] = value - moved
                    excess += moved
                elif excess > 0:
                    room = min(full_well - value, excess)
                    image[y, x] = value + room
                    excess -= room
