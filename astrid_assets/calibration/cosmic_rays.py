"""Cosmic rays in one exposure: Laplacian edge detection, with star-shaped peaks given back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrid_assets.calibration import laplacian
from astrid_assets.imaging.threads import over_rows


@dataclass(frozen=True)
class CosmicRaySettings:
    """L.A.Cosmic's limits (van Dokkum 2001, PASP 113, 1420) and those of the star test.

    threshold_sigma: Laplacian over noise at which a pixel is a hit.
    neighbour_fraction: the same, as a fraction, for its neighbours.
    contrast_min: least Laplacian over fine structure.
    star_ratio: a peak is a star where, along all four axes, its neighbours reach this fraction
        of what the PSF gives them.
    fwhm_min_pix, fwhm_max_pix: the FWHM used by the star test is held within these.
    """

    threshold_sigma: float = 5.0
    neighbour_fraction: float = 0.3
    contrast_min: float = 5.0
    star_ratio: float = 0.8
    fwhm_min_pix: float = 1.5
    fwhm_max_pix: float = 6.0


DEFAULTS = CosmicRaySettings()


def cosmic_rays(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    unusable: NDArray[np.bool_],
    fwhm_pix: float,
    settings: CosmicRaySettings = DEFAULTS,
) -> NDArray[np.bool_]:
    """Return where [y, x] a cosmic ray hit the exposure.

    data, variance: sky-subtracted counts and their variance, finite; unusable: bool [y, x],
    pixels to leave alone; fwhm_pix: FWHM of the stars, against which sharpness is judged.
    One pass of L.A.Cosmic with separable medians; its noise is the variance given.
    """
    seen = np.empty(data.shape, np.bool_)
    limit = settings.threshold_sigma

    def band(first: int, stop: int) -> None:
        laplacian.above_noise(data, variance, limit, first, stop, seen)

    over_rows(band, data.shape[0])
    y, x = np.divmod(np.flatnonzero(seen), data.shape[1])
    is_seed = np.empty(y.size, np.bool_)

    def part(first: int, stop: int) -> None:
        laplacian.seeds(
            y, x, data, variance, unusable, limit, settings.contrast_min, first, stop, is_seed
        )

    over_rows(part, y.size)
    state, found = laplacian.hits_around(
        y[is_seed], x[is_seed], data, variance, unusable, limit, settings.neighbour_fraction
    )
    fwhm = float(np.clip(fwhm_pix, settings.fwhm_min_pix, settings.fwhm_max_pix))
    falls = (2.0 ** (-4 / fwhm**2), 2.0 ** (-8 / fwhm**2))
    laplacian.take_back_stars(state, found, data, variance, unusable, falls, settings.star_ratio)
    hits: NDArray[np.bool_] = state.astype(np.bool_)
    return hits
