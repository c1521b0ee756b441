"""A small sky of Moffat stars and cosmic-ray tracks with its truth, for this room's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class HitField:
    """Counts (ADU, sky removed), the hit pixels' own counts, and the stars' pixel positions."""

    data: NDArray[np.float32]
    hits: NDArray[np.float64]
    star_x: NDArray[np.int_]
    star_y: NDArray[np.int_]
    sky_rms: float
    gain: float


def moffat(fwhm: float, dx: float, dy: float, *, n: int = 51, beta: float = 3.0) -> NDArray:
    """Return a pixel-integrated Moffat stamp (n, n) centred (dx, dy) off the middle pixel."""
    sub = (np.arange(5) - 2) / 5
    axis = (np.arange(n) - n // 2)[:, None] + sub
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
    rx, ry = (axis - dx).ravel() ** 2, (axis - dy).ravel() ** 2
    fine = (1 + (ry[:, None] + rx[None]) / alpha2) ** -beta
    stamp = fine.reshape(n, 5, n, 5).mean(axis=(1, 3))
    return stamp / stamp.sum()


def hit_field(
    seed: int, *, fwhm: float, size: int = 384, n_stars: int = 90, n_hits: int = 80
) -> HitField:
    """Return stars of 300 to 800,000 ADU and cosmic-ray tracks on a sky of 1000 ADU."""
    rng = np.random.default_rng(seed)
    gain, sky, read_noise = 2.0, 1000.0, 5.0
    clean = np.zeros((size, size))
    x, y = rng.uniform(30, size - 30, (2, n_stars))
    xi, yi = np.rint(x).astype(int), np.rint(y).astype(int)
    for k in range(n_stars):
        stamp = 10 ** rng.uniform(2.5, 5.9) * moffat(fwhm, x[k] - xi[k], y[k] - yi[k])
        clean[yi[k] - 25 : yi[k] + 26, xi[k] - 25 : xi[k] + 26] += stamp
    hits = np.zeros_like(clean)
    for _ in range(n_hits):
        steps = np.arange(0, min(rng.exponential(5) + 0.5, 40), 0.1)
        angle, (x0, y0) = rng.uniform(0, 2 * np.pi), rng.uniform(5, size - 5, 2)
        tx = np.rint(x0 + steps * np.cos(angle)).astype(int)
        ty = np.rint(y0 + steps * np.sin(angle)).astype(int)
        inside = (tx >= 0) & (ty >= 0) & (tx < size) & (ty < size)
        np.add.at(hits, (ty[inside], tx[inside]), (rng.exponential(1500) + 300) * 0.1)
    electrons = rng.poisson((clean + sky) * gain) + rng.normal(0, read_noise, clean.shape) + hits
    rms = float(np.sqrt(sky / gain + (read_noise / gain) ** 2))
    data = (electrons / gain - sky).astype(np.float32)
    return HitField(data, hits / gain, xi, yi, rms, gain)


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `mask` grown by one pixel."""
    return ndimage.binary_dilation(mask, np.ones((3, 3), bool))
