"""How many peaks Gaussian noise alone has: what counts of false and negative peaks are held to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from astrid_assets.difference.kernels import spectrum
from astrid_resources.images import PSFModel

Floats = NDArray[np.float64]
_N_DRAWS = 20_000
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class NoisePeaks:
    """One-sided peaks per pixel of the score's Gaussian noise, with the simulation's error."""

    per_pixel: float
    error: float


def noise_peaks(
    psf: PSFModel | None,
    *,
    threshold_sigma: float,
    rng: np.random.Generator,
    n_draws: int = _N_DRAWS,
) -> NoisePeaks:
    """Return how often a pixel of the score's noise is a peak above `threshold_sigma`.

    psf: P_D; its autocorrelation rho is the score's. A peak is a pixel above its eight neighbours:
    Phi(-t) times the probability that eight normal variates of mean rho_i h and covariance
    rho_ij - rho_i rho_j stay below h, h drawn from the normal distribution above t.
    Raises ValueError without a PSF.
    """
    if psf is None:
        raise ValueError("the noise of a score follows from the difference's PSF, and it has none")
    stamp = psf.centre.astype(float)
    size = 2 * stamp.shape[0]
    power = np.abs(spectrum(stamp, shape=(size, size))) ** 2
    rho = scipy.fft.irfft2(power, s=(size, size))
    rho /= rho[0, 0]
    to_middle = np.array([rho[dy, dx] for dy, dx in _AROUND])
    between = np.array([[rho[b - dy, a - dx] for b, a in _AROUND] for dy, dx in _AROUND])
    values, vectors = np.linalg.eigh(between - np.outer(to_middle, to_middle))
    root = vectors * np.sqrt(np.maximum(values, 0))
    above = float(ndtr(-threshold_sigma))
    height = -ndtri(above * rng.uniform(size=n_draws))
    around = height[:, None] * to_middle + rng.standard_normal((n_draws, len(_AROUND))) @ root.T
    share = float(np.mean((around < height[:, None]).all(axis=1)))
    return NoisePeaks(above * share, above * float(np.sqrt(share * (1 - share) / n_draws)))
