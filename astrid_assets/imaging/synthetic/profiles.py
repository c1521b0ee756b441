"""Surface-brightness profiles summed onto pixels by compiled loops.

Stars are Moffat profiles at pixel centres. Galaxies are Sersic profiles as sums of Gaussians, each
convolved with the same Moffat, which is itself a continuous sum of Gaussians: with
(1 + q)^-beta = 1/Gamma(beta) * integral t^(beta-1) exp(-t(1+q)) dt, ten nodes in ln t are good to
3e-5 of the peak, so that stars and galaxies see one PSF.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, gamma

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import gammaincinv

Floats = NDArray[np.float64]
_LOG_STEP = 0.6
MAX_RADIUS_PIX = 256.0


@lru_cache(maxsize=32)
def moffat_gaussians(beta: float) -> tuple[Floats, Floats]:
    """Return (fluxes, variances in alpha^2) of the Gaussians that make a Moffat of flux 1."""
    t = np.exp(np.arange(-7, 6) * _LOG_STEP)
    # A term t^(beta-1) exp(-t) exp(-t q) is a Gaussian of variance 1/(2t) and flux weight 1/t.
    flux = np.array([value**beta * exp(-value) / value for value in t]) * _LOG_STEP
    flux *= (beta - 1) / gamma(beta)
    return flux / flux.sum(), 1 / (2 * t)


@lru_cache(maxsize=32)
def sersic_gaussians(index: float) -> tuple[Floats, Floats]:
    """Return (fluxes, variances in R_e^2) of six Gaussians that follow a Sersic profile of flux 1.

    This sum *is* the synthetic galaxy; the profile it follows is the Sersic law from 0.05 to 5 R_e.
    """
    sigma = np.geomspace(0.04 if index > 2 else 0.2, 3.0 if index > 2 else 1.5, 6)
    r = np.geomspace(0.02, 6, 300)
    b = gammaincinv(2 * index, 0.5)
    target = np.exp(-b * (r ** (1 / index) - 1))
    design = np.exp(-(r[:, None] ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    flux = nnls(design * r[:, None], target * r)[0]
    keep = flux > 1e-6 * flux.sum()
    return flux[keep] / flux[keep].sum(), sigma[keep] ** 2


@njit(cache=True, nogil=True)
def add_moffats(image, x, y, flux, shape, beta, floor):  # type: ignore[no-untyped-def]
    """Add Moffat stars to float32 `image` out to where they fall below `floor` per pixel."""
    ny, nx = image.shape
    for k in range(x.size):
        alpha, cxx, cxy, cyy = shape[k, 0], shape[k, 1], shape[k, 2], shape[k, 3]
        peak = flux[k] * (beta - 1) / (np.pi * alpha * alpha)
        if abs(peak) <= floor:
            reach = 2.0 * alpha
        else:
            reach = alpha * np.sqrt((abs(peak) / floor) ** (1 / beta) - 1)
        det = cxx * cyy - cxy * cxy
        half_x = min(MAX_RADIUS_PIX, max(reach, 2 * alpha) * np.sqrt(cyy / det) + 1)
        half_y = min(MAX_RADIUS_PIX, max(reach, 2 * alpha) * np.sqrt(cxx / det) + 1)
        for j in range(max(0, int(y[k] - half_y)), min(ny, int(y[k] + half_y) + 2)):
            dy = (j - y[k]) / alpha
            for i in range(max(0, int(x[k] - half_x)), min(nx, int(x[k] + half_x) + 2)):
                dx = (i - x[k]) / alpha
                q = cxx * dx * dx + 2 * cxy * dx * dy + cyy * dy * dy
                image[j, i] += peak * np.exp(-beta * np.log1p(q))


@njit(cache=True, nogil=True)
def add_gaussians(image, x, y, flux, covariance, floor):  # type: ignore[no-untyped-def]
    """Add Gaussians of covariance rows (xx, xy, yy), pixels^2, to float32 `image`.

    Along a row exp(-(a + b i + c i^2)) follows from two products per pixel.
    """
    ny, nx = image.shape
    for k in range(x.size):
        xx, xy, yy = covariance[k, 0], covariance[k, 1], covariance[k, 2]
        det = xx * yy - xy * xy
        pxx, pxy, pyy = yy / det, -xy / det, xx / det
        peak = flux[k] / (2 * np.pi * np.sqrt(det))
        if abs(peak) <= floor:
            continue
        reach = min(6.0, np.sqrt(2 * np.log(abs(peak) / floor)) + 0.3)
        half_x = min(MAX_RADIUS_PIX, reach * np.sqrt(xx) + 1)
        half_y = min(MAX_RADIUS_PIX, reach * np.sqrt(yy) + 1)
        i0, i1 = max(0, int(x[k] - half_x)), min(nx, int(x[k] + half_x) + 2)
        for j in range(max(0, int(y[k] - half_y)), min(ny, int(y[k] + half_y) + 2)):
            dy, dx = j - y[k], i0 - x[k]
            value = peak * np.exp(-0.5 * (pxx * dx * dx + 2 * pxy * dx * dy + pyy * dy * dy))
            ratio = np.exp(-0.5 * (pxx * (2 * dx + 1) + 2 * pxy * dy))
            factor = np.exp(-pxx)
            for i in range(i0, i1):
                image[j, i] += value
                value *= ratio
                ratio *= factor
