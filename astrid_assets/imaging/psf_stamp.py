"""A PSF model placed at a sub-pixel position of its image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.kernel import fourier_shift
from astrid_resources.images import PSFModel

_PAD_PIX = 4


@dataclass(frozen=True)
class PlacedPSF:
    """profile: float64 [y, x], the part of the PSF on the image (sum 1 where all of it is).

    window: the (rows, columns) slices of the image it stands on; empty where it is off the image.
    """

    profile: NDArray[np.float64] = field(repr=False)
    window: tuple[slice, slice]


def place_psf(psf: PSFModel, x: float, y: float, *, radius_pix: int | None = None) -> PlacedPSF:
    """Return `psf` centred at pixel position (x, y), shifted by a Fourier phase ramp.

    radius_pix: cut the stamp to this half-width, without normalising it again.
    """
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    stamp = fourier_shift(np.pad(psf.at(x, y).astype(float), _PAD_PIX), x - column, y - row)
    half = psf.size // 2
    radius = half if radius_pix is None else min(radius_pix, half)
    crop = slice(half + _PAD_PIX - radius, half + _PAD_PIX + radius + 1)
    stamp = stamp[crop, crop]
    ny, nx = psf.shape
    rows = slice(max(0, row - radius), max(0, min(ny, row + radius + 1)))
    columns = slice(max(0, column - radius), max(0, min(nx, column + radius + 1)))
    part = stamp[
        max(0, rows.start - row + radius) : max(0, rows.stop - row + radius),
        max(0, columns.start - column + radius) : max(0, columns.stop - column + radius),
    ]
    return PlacedPSF(part, (rows, columns))
