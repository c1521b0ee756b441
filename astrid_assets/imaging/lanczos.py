"""The Lanczos-3 kernel: weights, its transfer function, and sub-pixel shifts of PSF stamps.

Duchon (1979); weights of each axis are normalised to sum 1, so that a constant stays constant.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

A = 3
TAPS = 2 * A
PHASES = 2048


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Lanczos-3 kernel at offsets `x`, pixels; 0 beyond 3."""
    return np.where(np.abs(x) < A, np.sinc(x) * np.sinc(x / A), 0.0)


@lru_cache(maxsize=1)
def weight_table() -> NDArray[np.float32]:
    """Return the six weights for phases 0..1 in steps of 1/2048: float32 (2049, 6).

    Row i belongs to a position i/2048 right of tap 2; linear interpolation between rows is good
    to 1e-7.
    """
    phase = np.arange(PHASES + 1)[:, None] / PHASES
    taps = np.arange(TAPS)[None] - (A - 1)
    weights = lanczos(phase - taps)
    weights /= weights.sum(axis=1, keepdims=True)
    table = np.ascontiguousarray(weights, np.float32)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def transfer(size: int) -> NDArray[np.float64]:
    """Return the phase-averaged transfer of the kernel on the FFT frequencies of `size` pixels."""
    x = np.linspace(-A, A, 6001)
    kernel = lanczos(x)
    frequency = np.fft.fftfreq(size)
    value = np.trapezoid(kernel * np.cos(2 * np.pi * frequency[:, None] * x), x, axis=1)
    return np.asarray(value / np.trapezoid(kernel, x))


def fourier_shift(stamp: NDArray[np.floating], dx: float, dy: float) -> NDArray[np.float64]:
    """Return `stamp` [y, x] moved by (dx, dy) pixels by a phase ramp; 0 at its edge is assumed."""
    ny, nx = stamp.shape
    ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(ny)[:, None] * dy + np.fft.rfftfreq(nx) * dx))
    return np.fft.irfft2(np.fft.rfft2(stamp) * ramp, s=(ny, nx))
