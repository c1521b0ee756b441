"""Small images made by numpy alone: Moffat PSFs, white noise, point sources at sub-pixel places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def moffat(fwhm_pix, *, size=31, beta=3.5, dx=0.0, dy=0.0):
    """A normalised Moffat stamp, displaced by (dx, dy)."""
    y, x = np.indices((size, size)) - size // 2
    alpha2 = (fwhm_pix / 2) ** 2 / (2 ** (1 / beta) - 1)
    stamp = (1 + ((x - dx) ** 2 + (y - dy) ** 2) / alpha2) ** -beta
    return stamp / stamp.sum()


def add_point(image, psf_fwhm, x, y, flux):
    """Add a point source in place."""
    i, j = round(x), round(y)
    stamp = flux * moffat(psf_fwhm, dx=x - i, dy=y - j)
    half = stamp.shape[0] // 2
    image[j - half : j + half + 1, i - half : i + half + 1] += stamp


@dataclass
class NoisePair:
    """Two white-noise images with the arguments `zogy` wants."""

    science: np.ndarray
    reference: np.ndarray
    science_variance: np.ndarray
    reference_variance: np.ndarray
    psf_science: np.ndarray
    psf_reference: np.ndarray
    scalars: dict

    def arrays(self):
        return (
            self.science,
            self.reference,
            self.science_variance,
            self.reference_variance,
            self.psf_science,
            self.psf_reference,
        )


def noise_pair(seed, shape=(200, 200), *, fwhm=(3.2, 2.7), sigma=(10.0, 6.0), flux_ratio=1.0):
    """Pure noise in both images."""
    rng = np.random.default_rng(seed)
    images = [rng.normal(0, s, shape).astype(np.float32) for s in sigma]
    variances = [np.full(shape, s**2, np.float32) for s in sigma]
    scalars = {
        "sky_sigma_science": sigma[0],
        "sky_sigma_reference": sigma[1],
        "flux_ratio": flux_ratio,
    }
    return NoisePair(*images, *variances, moffat(fwhm[0]), moffat(fwhm[1]), scalars)
