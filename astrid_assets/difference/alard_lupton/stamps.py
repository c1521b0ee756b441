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
class Equations:
    """Per star the normal equations of a part of its stamp, in units of the star's weight.

    gram (n, m, m), right (n, m), power (n,), with the unit kernel first of the m, then the shapes;
    in the core three more: the star itself and its slopes along x and y, which a wrong flux or
    place of this one star would leave.
    n_pixels: of the part. noise_target, noise_sharp: the images' own variances a pixel (n,).
    """

    gram: Floats = field(repr=False)
    right: Floats = field(repr=False)
    power: Floats = field(repr=False)
    noise_target: Floats = field(repr=False)
    noise_sharp: Floats = field(repr=False)
    n_pixels: int

    def select(self, keep: NDArray[np.bool_]) -> Equations:
        """Return the stars where `keep` is True."""
        changed = {name: value[keep] for name, value in vars(self).items() if name != "n_pixels"}
        return replace(self, **changed)


@dataclass(frozen=True)
class StarStamps:
    """Stars at (x, y), pixels: the equations of their whole stamps, and of their cores alone."""

    x: Floats
    y: Floats
    whole: Equations
    core: Equations

    def select(self, keep: NDArray[np.bool_]) -> StarStamps:
        """Return the stars where `keep` is True."""
        parts = (self.x[keep], self.y[keep], self.whole.select(keep), self.core.select(keep))
        return StarStamps(*parts)


def star_stamps(
    target: Image,
    sharp: Image,
    x: Floats,
    y: Floats,
    kernels: Floats,
    *,
    reach: int,
    core: int,
    flux_error: float,
) -> StarStamps:
    """Return the normal equations of every star whose stamps are whole and usable.

    reach, core: half-widths of stamp and core, pixels. flux_error: fraction of its peak by which a
    star is trusted no better.
    """
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
    ratio2 = (wanted.sum(axis=(1, 2)) / cut(sharp.data, reach).sum(axis=(1, 2), dtype=float)) ** 2
    noises = [
        [cut(image.variance, width).mean(axis=(1, 2), dtype=float) for image in (target, sharp)]
        for width in (reach, core)
    ]
    weight = 1 / (noises[0][0] + ratio2 * noises[0][1] + (flux_error * peak) ** 2)
    wanted -= wanted.mean(axis=(1, 2), keepdims=True)
    wanted *= np.sqrt(weight)[:, None, None]
    n, m = len(column), len(kernels)
    middle = slice(reach - core, reach + core + 1)
    whole = np.empty((n, m, m)), np.empty((n, m)), np.empty(n)
    inside_core = np.empty((n, m + 3, m + 3)), np.empty((n, m + 3)), np.empty(n)
    for i in range(n):
        columns = scipy.fft.irfft2(images[i] * spectra, s=shape)[:, inner, inner].reshape(m, -1)
        columns -= columns.mean(axis=1, keepdims=True)
        columns *= np.sqrt(weight[i])
        star = wanted[i]
        _fill(whole, i, columns, star.ravel())
        slope_y, slope_x = np.gradient(star)
        own = np.concatenate([columns.reshape(m, *star.shape), [star, slope_x, slope_y]])
        own = own[:, middle, middle].reshape(m + 3, -1)
        _fill(inside_core, i, own, own[m])
    whole_part, core_part = (
        Equations(*sums, noise[0] * weight, noise[1] * weight, (2 * width + 1) ** 2)
        for sums, noise, width in zip((whole, inside_core), noises, (reach, core), strict=True)
    )
    return StarStamps(column.astype(float), row.astype(float), whole_part, core_part)


def _fill(sums: tuple[Floats, Floats, Floats], i: int, columns: Floats, star: Floats) -> None:
    sums[0][i], sums[1][i], sums[2][i] = columns @ columns.T, columns @ star, star @ star
