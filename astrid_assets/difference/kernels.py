"""The compact parts of ZOGY: its kernels on a small grid, in double precision.

Everything that depends on the PSFs, the two noise levels and the flux ratio alone stands here;
whole images are the business of `zogy`. Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27.

ZOGY is the whitened matched filter of N * P_r F_r - R * P_n. The same filter serves any other pair
of kernels under which the static sky cancels, such as one fitted from stars (Reiss & Lupton 2016,
DMTN-021), so a `Scheme` carries the pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_LEFT_OUT = 1e-5
_LEFT_OUT_FOOTPRINT = 2e-3


@dataclass(frozen=True)
class Scheme:
    """How two images are subtracted: N * `science` - R * `reference` shows no static sky.

    psf: P_n, a stamp of sum 1. All stamps are (n, n), n odd, centred, and may differ in size.
    flux_ratio: F_r / F_n, the sum of `science` over that of `reference`.
    """

    psf: NDArray[np.floating] = field(repr=False)
    science: NDArray[np.floating] = field(repr=False)
    reference: NDArray[np.floating] = field(repr=False)
    flux_ratio: float

    @classmethod
    def zogy(
        cls,
        psf_science: NDArray[np.floating],
        psf_reference: NDArray[np.floating],
        flux_ratio: float,
    ) -> Scheme:
        """Return ZOGY's own pair: P_r F_r and P_n."""
        return cls(psf_science, flux_ratio * psf_reference, psf_science, flux_ratio)

    @property
    def edge(self) -> int:
        """Edge of the largest stamp, pixels."""
        return max(len(stamp) for stamp in (self.psf, self.science, self.reference))


@dataclass(frozen=True)
class Kernels:
    """The kernels of one scheme, with F_n = 1 and F_r = `flux_ratio`.

    psf: P_D (eq. 14), float32 (n, n), sum 1.
    psf_score: P_D correlated with itself and scaled to 1 at its centre: the profile of a source
        on the score map, and the autocorrelation of the score's noise; float32 (n, n).
    science_squared, reference_squared: k_n^2 and k_r^2 (eqs. 26, 29), float32 stamps, n odd.
    footprint: k_n(-x) P_n(x) / F_S, float32 stamp: the share of each pixel in a source's flux.
    f_s: F_S (eq. 42). f_d: F_D (eq. 15).
    science_noise, reference_noise: std of S_n and of S_r in blank sky.
    mismatch: sum of |P_n - P_r| (0 for equal PSFs): how wrong a pixel of one image is, as a
        fraction, that was filled from the other one.
    """

    psf: NDArray[np.float32] = field(repr=False)
    psf_score: NDArray[np.float32] = field(repr=False)
    science_squared: NDArray[np.float32] = field(repr=False)
    reference_squared: NDArray[np.float32] = field(repr=False)
    footprint: NDArray[np.float32] = field(repr=False)
    f_s: float
    f_d: float
    science_noise: float
    reference_noise: float
    mismatch: float


def _on_grid(stamp: NDArray[np.floating], size: int) -> NDArray[np.complex128]:
    half = stamp.shape[0] // 2
    grid = np.zeros((size, size))
    grid[: stamp.shape[0], : stamp.shape[1]] = stamp
    return scipy.fft.rfft2(np.roll(grid, (-half, -half), (0, 1)))


def _centred(spectrum: NDArray[np.complex128], size: int, half: int) -> NDArray[np.float64]:
    kernel = np.fft.fftshift(scipy.fft.irfft2(spectrum, s=(size, size)))
    middle = size // 2
    cut = slice(middle - half, middle + half + 1)
    return kernel[cut, cut]


def _cropped(kernel: NDArray[np.float64], left_out: float) -> NDArray[np.float64]:
    """Return the smallest centred stamp that leaves out less than the share `left_out`."""
    middle = kernel.shape[0] // 2
    y, x = np.indices(kernel.shape)
    ring = np.maximum(abs(y - middle), abs(x - middle)).ravel()
    inside = np.cumsum(np.bincount(ring, weights=np.abs(kernel).ravel()))
    half = int(np.searchsorted(inside, (1 - left_out) * inside[-1]))
    half = min(max(half, 1), middle)
    cut = slice(middle - half, middle + half + 1)
    return kernel[cut, cut]


def kernels(scheme: Scheme, *, sky_sigma_science: float, sky_sigma_reference: float) -> Kernels:
    """Return the kernels of a scheme.

    sky_sigma_*: noise per pixel in blank sky, counts of the respective image.
    """
    edge = scheme.edge
    size = scipy.fft.next_fast_len(max(4 * edge, 64), real=True)
    size += size % 2
    p_n, v, u = (_on_grid(stamp, size) for stamp in (scheme.psf, scheme.science, scheme.reference))
    var_n, var_r, f_r = sky_sigma_science**2, sky_sigma_reference**2, scheme.flux_ratio
    den = var_n * np.abs(v) ** 2 + var_r * np.abs(u) ** 2
    den = np.maximum(den, 1e-14 * den.max())
    f_d = f_r / np.sqrt(var_n * f_r**2 + var_r)  # eq. 15
    p_d = v * p_n / (f_d * np.sqrt(den))  # eq. 14
    k_n = np.conj(p_n) * np.abs(v) ** 2 / den  # eq. 27
    k_r = np.conj(p_n) * u * np.conj(v) / den  # eq. 30
    wide = size // 2 - 1
    science = _centred(k_n, size, wide)
    reference = _centred(k_r, size, wide)
    share = science[::-1, ::-1] * _centred(p_n, size, wide)
    rho = _centred(np.abs(p_d) ** 2 + 0j, size, wide)
    f_s = float(share.sum())  # eq. 42, by Parseval
    weights = _cropped(share, _LEFT_OUT_FOOTPRINT)
    half = min(edge // 2, wide)
    cut = slice(wide - half, wide + half + 1)
    psf = _centred(p_d, size, half)
    return Kernels(
        psf=(psf / psf.sum()).astype(np.float32),
        psf_score=(rho[cut, cut] / rho[wide, wide]).astype(np.float32),
        science_squared=_cropped(science**2, _LEFT_OUT).astype(np.float32),
        reference_squared=_cropped(reference**2, _LEFT_OUT).astype(np.float32),
        footprint=(weights / weights.sum()).astype(np.float32),
        f_s=f_s,
        f_d=float(f_d),
        science_noise=float(sky_sigma_science * np.sqrt(np.sum(science**2))),
        reference_noise=float(sky_sigma_reference * np.sqrt(np.sum(reference**2))),
        mismatch=float(np.abs(_centred(u - v / f_r, size, wide)).sum()),
    )


def spectrum(stamp: NDArray[np.floating], *, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Return the real-FFT spectrum of a centred stamp on a grid of `shape`, its origin at [0, 0].

    A stamp wider than the grid wraps around.
    """
    ny, nx = shape
    offset_y = np.arange(stamp.shape[0]) - stamp.shape[0] // 2
    offset_x = np.arange(stamp.shape[1]) - stamp.shape[1] // 2
    rows = np.zeros((stamp.shape[0], nx))
    np.add.at(rows.T, offset_x % nx, stamp.T)
    transformed = scipy.fft.rfft(rows, axis=1)
    columns = np.zeros((ny, nx // 2 + 1), complex)
    np.add.at(columns, offset_y % ny, transformed)
    return np.asarray(scipy.fft.fft(columns, axis=0, overwrite_x=True))
