"""The stars' stamps, and what each says of the kernel: its own normal equations.

Each stamp has a sky of its own, taken out by its mean: the sky between the images is measured
where no star is (`levels.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrid_resources.images import Image, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StarStamps:
    """Per star the normal equations of its stamp: gram (n, m, m), right (n, m), power (n,).

    m: the unit kernel first, then the shapes. All in units of the star's weight.
    n_pixels: of a stamp. noise_target, noise_sharp: the two images' own variances a pixel (n,).
    """

    x: Floats
    y: Floats
    gram: Floats = field(repr=False)
    right: Floats = field(repr=False)
    power: Floats = field(repr=False)
    n_pixels: int
    noise_target: Floats = field(repr=False)
    noise_sharp: Floats = field(repr=False)

    def select(self, keep: NDArray[np.bool_]) -> StarStamps:
        """Return the stars where `keep` is True."""
        changed = {name: value[keep] for name, value in vars(self).items() if name != "n_pixels"}
        return replace(self, **changed)


def star_stamps(
    target: Image,
    sharp: Image,
    x: Floats,
    y: Floats,
    kernels: Floats,
    *,
    reach: int,
    flux_error: float,
) -> StarStamps:
    """Return the normal equations of every star whose stamps are whole and usable."""
    half = kernels.shape[-1] // 2
    wide = reach + half
    ny, nx = target.shape
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= wide) & (row >= wide) & (column < nx - wide) & (row < ny - wide)
    column, row = column[inside], row[inside]

    def cut(plane: NDArray[Any], reach: int) -> NDArray[Any]:
        offset = np.arange(-reach, reach + 1)
        return plane[row[:, None, None] + offset[:, None], column[:, None, None] + offset]

    clean = ~has_any(cut(target.mask, reach), *UNUSABLE).any(axis=(1, 2))
    clean &= ~has_any(cut(sharp.mask, wide), *UNUSABLE).any(axis=(1, 2))
    column, row = column[clean], row[clean]
    size = int(scipy.fft.next_fast_len(2 * wide + 1, real=True))
    shape = (size, size)
    spectra = scipy.fft.rfft2(kernels, s=shape)
    wanted = cut(target.data, reach).astype(float)
    images = scipy.fft.rfft2(cut(sharp.data, wide).astype(float), s=shape)
    inner = slice(2 * half, 2 * half + 2 * reach + 1)
    peak = wanted.max(axis=(1, 2), initial=0.0)
    noise = cut(target.variance, reach).mean(axis=(1, 2), dtype=float)
    ratio2 = (wanted.sum(axis=(1, 2)) / cut(sharp.data, reach).sum(axis=(1, 2), dtype=float)) ** 2
    noise_sharp = cut(sharp.variance, reach).mean(axis=(1, 2), dtype=float)
    weight = 1 / (noise + ratio2 * noise_sharp + (flux_error * peak) ** 2)
    wanted -= wanted.mean(axis=(1, 2), keepdims=True)
    n, m = len(column), len(kernels)
    gram, right = np.empty((n, m, m)), np.empty((n, m))
    for i in range(n):
        columns = scipy.fft.irfft2(images[i] * spectra, s=shape)[:, inner, inner].reshape(m, -1)
        columns -= columns.mean(axis=1, keepdims=True)
        gram[i] = columns @ columns.T
        right[i] = columns @ wanted[i].ravel()
    return StarStamps(
        column.astype(float),
        row.astype(float),
        gram * weight[:, None, None],
        right * weight[:, None],
        np.sum(wanted**2, axis=(1, 2)) * weight,
        wanted[0].size if n else 0,
        noise * weight,
        noise_sharp * weight,
    )
