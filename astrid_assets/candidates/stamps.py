"""What is measured on the stamps of candidates alone: their PSFs, shape, chi squared, shares."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrid_resources.images import PSFModel

Floats = NDArray[np.float64]
SIGMA_PER_FWHM = 1 / 2.354820045


def psf_stamps(psf: PSFModel, x: Floats, y: Floats, *, half: int) -> Floats:
    """Return the PSF at each position, centred there to sub-pixel accuracy, on `cut`'s stamps."""
    edge = psf.size
    if psf.order == 0:
        stamps = np.broadcast_to(psf.centre, (len(x), edge, edge))
    else:
        stamps = np.stack([psf.at(u, v) for u, v in zip(x, y, strict=True)])
    size = max(edge, 2 * half + 1) + 8
    spectrum = scipy.fft.rfft2(stamps.astype(float), s=(size, size))
    dx, dy = (x - np.rint(x))[:, None, None], (y - np.rint(y))[:, None, None]
    phase = scipy.fft.rfftfreq(size)[None, None] * dx + scipy.fft.fftfreq(size)[None, :, None] * dy
    moved = scipy.fft.irfft2(spectrum * np.exp(-2j * np.pi * phase), s=(size, size))
    window = (edge // 2 + np.arange(-half, half + 1)) % size
    return np.asarray(moved[:, window[:, None], window[None, :]])


def moments(
    data: Floats, dx: Floats, dy: Floats, *, sigma_pix: float
) -> tuple[Floats, Floats, Floats]:
    """Return (fwhm, ellipticity, theta) from Gaussian-weighted second moments of stamps.

    The weight of width `sigma_pix` is taken out again as for a Gaussian source; NaN where the
    moments are those of no source. theta: radians from x towards y.
    """
    weight = np.exp(-0.5 * (dx**2 + dy**2) / sigma_pix**2) * data
    total = weight.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        xx, yy, xy = (
            (weight * u * v).sum(axis=(1, 2)) / total for u, v in ((dx, dx), (dy, dy), (dx, dy))
        )
        determinant = xx * yy - xy**2
        inverse = np.array([yy, xx, -xy]) / determinant
        inverse[:2] -= 1 / sigma_pix**2
        determinant = inverse[0] * inverse[1] - inverse[2] ** 2
        xx, yy, xy = inverse[1] / determinant, inverse[0] / determinant, -inverse[2] / determinant
        middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        long, short = middle + half, middle - half
        good = (total > 0) & (determinant > 0) & (short > 0)
        fwhm = np.where(good, np.sqrt(np.sqrt(long * short)) / SIGMA_PER_FWHM, np.nan)
        ellipticity = np.where(good, 1 - np.sqrt(short / long), np.nan)
    return fwhm, ellipticity, np.where(good, 0.5 * np.arctan2(2 * xy, xx - yy), np.nan)
