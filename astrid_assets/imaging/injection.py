"""Artificial point sources with honest noise, for completeness and for training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.psf_stamp import place_psf
from astrid_resources.images import Image, MaskPlane

Floats = NDArray[np.float64]
_TOUCHED_SIGMA = 0.05


def inject_sources(
    image: Image, *, x: Floats, y: Floats, flux_adu: Floats, rng: np.random.Generator
) -> Image:
    """Return `image` with point sources of its own PSF at sub-pixel positions (x, y).

    flux_adu: expected counts, positive. Each pixel gets Poisson counts in electrons and variance
    raised by expectation / gain; INJECTED is set where a source exceeds 5 % of the noise, and on
    its central pixel. Unusable pixels keep their planes.
    Raises ValueError without a PSF, or where a flux is not positive and finite.
    """
    if image.psf is None:
        raise ValueError("injection needs the image's PSF, and it has none; fit it first")
    x, y, flux = (np.atleast_1d(np.asarray(a, float)) for a in (x, y, flux_adu))
    if not (np.isfinite(flux).all() and (flux > 0).all()):
        raise ValueError(
            f"injected fluxes must be positive and finite, got {np.nanmin(flux)} to {flux.max()}"
        )
    gain = image.meta.gain_e_per_adu
    data, variance, mask = image.data.copy(), image.variance.copy(), image.mask.copy()
    for k in range(len(x)):
        placed = place_psf(image.psf, x[k], y[k])
        if not placed.profile.size:
            continue
        expected = flux[k] * np.maximum(placed.profile, 0)
        window = placed.window
        data[window] += (rng.poisson(expected * gain) / gain).astype(np.float32)
        variance[window] += (expected / gain).astype(np.float32)
        touched = expected > _TOUCHED_SIGMA * np.sqrt(image.variance[window])
        touched |= expected >= expected.max()
        mask[window] |= np.where(touched, np.uint32(MaskPlane.INJECTED.flag), np.uint32(0))
    return image.with_(data=data, variance=variance, mask=mask)
