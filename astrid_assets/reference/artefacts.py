"""Artefacts in one input of a stack: found against a PSF-matched median, before stacking.

Clipping pixels by their own scatter would bias star cores; here the tolerance grows with the
local gradient and brightness, so that differences of seeing are never taken for artefacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

_EIGHT = np.ones((3, 3), bool)
_MAD_TO_SIGMA = 1.482602
_ROWS = 256
_DAMPING = 1e-5
_LEAST_WEIGHT = 0.3


@dataclass(frozen=True)
class ArtefactSettings:
    """When a pixel of one input differs from the others.

    seed_sigma, grow_sigma: excess over the tolerance, in noise, that starts a region and that
        extends it. gradient_pix: the tolerance holds so many pixels times the local gradient of
        the median image, brightness_fraction: and this fraction of its brightness.
    grow_pix: regions are grown by so many pixels.
    """

    seed_sigma: float = 5.0
    grow_sigma: float = 2.0
    gradient_pix: float = 0.5
    brightness_fraction: float = 0.15
    grow_pix: int = 1


DEFAULTS = ArtefactSettings()

FloatMap = NDArray[np.float32]
BoolMap = NDArray[np.bool_]


def find_artefacts(
    data: Sequence[FloatMap],
    variance: Sequence[FloatMap],
    usable: Sequence[BoolMap],
    *,
    psfs: Sequence[NDArray[np.float32]],
    settings: ArtefactSettings = DEFAULTS,
) -> list[BoolMap]:
    """Return, for each input, where [y, x] it disagrees with the others.

    data, variance: the inputs on one grid and in one flux unit; usable: where each has a
    measurement; psfs: the PSF stamp of each. With two inputs only an excess can be told, and it
    is blamed on the brighter one; with one, nothing is found.
    """
    if len(data) < 2:
        return [np.zeros(d.shape, bool) for d in data]
    widest = min(psfs, key=lambda psf: float(np.sum(psf.astype(float) ** 2)))
    kernels = [matching_kernel(psf, widest) for psf in psfs]
    matched, noises = [], []
    for image, v, ok, kernel in zip(data, variance, usable, kernels, strict=True):
        smooth, noise = _matched(image, v, ok, kernel)
        matched.append(smooth)
        noises.append(noise)
    middle, count = _median(matched, usable)
    tolerance = settings.gradient_pix * _gradient(middle)
    tolerance += settings.brightness_fraction * np.abs(middle)
    middle_variance = _median_variance(noises, usable)
    return [
        _disagreeing(
            image - middle, np.sqrt(noise**2 + middle_variance), tolerance, ok, count, settings
        )
        for image, noise, ok in zip(matched, noises, usable, strict=True)
    ]


def _disagreeing(
    excess: FloatMap,
    noise: FloatMap,
    tolerance: FloatMap,
    usable: BoolMap,
    count: NDArray[np.uint8],
    settings: ArtefactSettings,
) -> BoolMap:
    judged = usable & (count >= 2)
    if not judged.any():
        return np.zeros(excess.shape, bool)
    quiet = judged & (tolerance < noise)
    sample = (excess / noise)[quiet] if quiet.any() else np.zeros(1, np.float32)
    scale = max(1.0, _MAD_TO_SIGMA * float(np.median(np.abs(sample - np.median(sample)))))
    over = np.where(count == 2, excess, np.abs(excess)) - tolerance
    over = np.where(judged, over / (noise * np.float32(scale)), np.float32(0))
    seeds = over > settings.seed_sigma
    if not seeds.any():
        return np.zeros(excess.shape, bool)
    found: BoolMap = ndimage.binary_propagation(
        seeds, structure=_EIGHT, mask=over > settings.grow_sigma
    )
    if settings.grow_pix > 0:
        found = ndimage.binary_dilation(found, _EIGHT, iterations=settings.grow_pix)
    return found


def matching_kernel(psf: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernel (n, n), sum 1, that turns `psf` into the broader `target`.

    The ratio of their Fourier transforms, damped where `psf` has no power (Wiener).
    """
    if psf is target:
        return np.ones((1, 1), np.float32)
    size = max(psf.shape[0], target.shape[0])
    narrow, broad = (np.fft.fft2(np.fft.ifftshift(_padded(p, size))) for p in (psf, target))
    ratio = broad * narrow.conj() / (np.abs(narrow) ** 2 + _DAMPING)
    kernel = np.fft.fftshift(np.fft.ifft2(ratio).real)
    return (kernel / kernel.sum()).astype(np.float32)


def _padded(stamp: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    pad = (size - stamp.shape[0]) // 2
    return np.pad(stamp.astype(float), pad)


def _matched(
    data: FloatMap, variance: FloatMap, usable: BoolMap, kernel: NDArray[np.float32]
) -> tuple[FloatMap, FloatMap]:
    """Return `data` convolved with `kernel`, from usable pixels alone, and its white noise."""
    known = np.where(usable, data, np.float32(0))
    if kernel.size == 1:
        return known, np.sqrt(variance)
    weight = signal.oaconvolve(usable.astype(np.float32), kernel, mode="same")
    total = signal.oaconvolve(known, kernel, mode="same")
    power = signal.oaconvolve(np.where(usable, variance, np.float32(0)), kernel**2, mode="same")
    is_known = weight > _LEAST_WEIGHT
    safe = np.where(is_known, weight, np.float32(1))
    smooth = np.where(is_known, total / safe, np.float32(0)).astype(np.float32)
    noise = np.sqrt(np.maximum(power, 0)) / safe
    return smooth, np.where(is_known & (noise > 0), noise, np.sqrt(variance)).astype(np.float32)


def _median(
    images: Sequence[FloatMap], usable: Sequence[BoolMap]
) -> tuple[FloatMap, NDArray[np.uint8]]:
    """Return the median of the usable values (of two the lower; 0 for none) and their number."""
    shape = images[0].shape
    out = np.zeros(shape, np.float32)
    count = np.zeros(shape, np.uint8)
    for first in range(0, shape[0], _ROWS):
        rows = slice(first, first + _ROWS)
        stack = np.stack([np.where(ok[rows], image[rows], np.inf)
                          for image, ok in zip(images, usable, strict=True)])  # fmt: skip
        stack.sort(axis=0)
        n = np.sum([ok[rows] for ok in usable], axis=0)
        count[rows] = n
        high = np.where(n == 2, 0, n // 2)
        low = np.where(n == 2, 0, np.maximum(n - 1, 0) // 2)
        values = [np.take_along_axis(stack, k[None], axis=0)[0] for k in (low, high)]
        out[rows] = np.where(n > 0, (values[0] + values[1]) / 2, 0)
    return out, count


def _median_variance(noises: Sequence[FloatMap], usable: Sequence[BoolMap]) -> FloatMap:
    """Return the variance of the median of values with unequal normal noise (asymptotic).

    1 / (4 n f^2), f the mean density of the values at their centre.
    """
    precision = np.zeros(noises[0].shape, np.float32)
    count = np.zeros(noises[0].shape, np.float32)
    for noise, ok in zip(noises, usable, strict=True):
        precision += np.where(ok, 1 / noise, np.float32(0))
        count += ok
    return np.float32(np.pi / 2) * count / np.where(count > 0, precision, np.float32(1)) ** 2


def _gradient(image: FloatMap) -> FloatMap:
    """Return the steepest change to any neighbour along x and y, counts per pixel."""
    span: FloatMap = ndimage.maximum_filter(image, 3) - ndimage.minimum_filter(image, 3)
    return span / np.float32(2)
