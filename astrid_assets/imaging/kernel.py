"""The interpolation kernel for star images, its transfer function, and shifts of PSF stamps.

Six taps per axis, the support of Lanczos-3, chosen by least squares (kriging) for the spectrum of a
Moffat profile of FWHM 3 px, exact for constants and ramps. Measured on Moffat stars at the worst
phase: displacement below 0.001 px from FWHM 2.5 px on (Lanczos-3: 0.003 to 0.012), residual 0.3 %
of the peak at 3.5 px (0.65 %), 1.1 % at 2 px (1.6 %). Beside pixels that carry no measurement its
inner four taps alone serve, chosen in the same way.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import kv

TAPS = 6
FIRST_TAP = -2
INNER = slice(1, 5)
PHASES = 2048
DESIGN_FWHM_PIX = 3.0
_DESIGN_BETA = 3.5
_OFFSETS = np.arange(TAPS) + FIRST_TAP


def _star_power(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power spectrum of a Moffat profile at angular frequencies `k` > 0 per pixel."""
    beta = _DESIGN_BETA
    z = k * DESIGN_FWHM_PIX / (2 * np.sqrt(2 ** (1 / beta) - 1))
    power = (z ** (beta - 1) * kv(beta - 1, z)) ** 2
    return np.asarray(power)


@lru_cache(maxsize=2)
def weight_table(*, inner: bool = False) -> NDArray[np.float32]:
    """Return the six weights for phases 0..1 in steps of 1/2048: float32 (2049, 6).

    Row i belongs to a position i/2048 right of tap 2; tap n stands at n - 2. inner: only the four
    taps nearest to the position have a weight.
    """
    offsets = _OFFSETS[INNER] if inner else _OFFSETS
    phase = np.arange(PHASES + 1) / PHASES
    node, weight = np.polynomial.legendre.leggauss(48)
    k = (node + 1) * np.pi / 2
    power = weight * _star_power(k)
    normal = np.cos(k * (offsets[:, None] - offsets)[..., None]) @ power
    target = np.cos(k * (offsets[:, None] - phase)[..., None]) @ power
    exact = np.stack([np.ones(len(offsets)), offsets])
    system = np.block([[normal, exact.T], [exact, np.zeros((2, 2))]])
    wanted = np.concatenate([target, np.ones((1, phase.size)), phase[None]])
    table = np.zeros((phase.size, TAPS), np.float32)
    table[:, INNER if inner else slice(None)] = np.linalg.solve(system, wanted)[: len(offsets)].T
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def mean_transfer(size: int) -> NDArray[np.float64]:
    """Return the phase-averaged transfer of the kernel on the FFT frequencies of `size` pixels."""
    rows = weight_table()[:: PHASES // 64][:-1].astype(float)
    phase = np.arange(64) / 64
    angle = 2 * np.pi * np.fft.fftfreq(size)[:, None, None] * (_OFFSETS - phase[:, None])
    return np.asarray((rows * np.cos(angle)).sum(axis=2).mean(axis=1))


def transfer_at(size: int, phase: float) -> NDArray[np.complex128]:
    """Return the transfer at one `phase` in [0, 1), the shift itself taken out."""
    row = weight_table()[round(phase * PHASES)].astype(float)
    angle = 2 * np.pi * np.fft.fftfreq(size)[:, None] * (_OFFSETS - phase)
    return np.asarray((row * np.exp(1j * angle)).sum(axis=1))


def fourier_shift(stamp: NDArray[np.floating], dx: float, dy: float) -> NDArray[np.float64]:
    """Return `stamp` [y, x] moved by (dx, dy) pixels by a phase ramp; 0 at its edge is assumed."""
    ny, nx = stamp.shape
    ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(ny)[:, None] * dy + np.fft.rfftfreq(nx) * dx))
    return np.fft.irfft2(np.fft.rfft2(stamp) * ramp, s=(ny, nx))
