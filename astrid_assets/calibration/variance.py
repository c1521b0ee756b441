"""The variance of each pixel: the sky's, measured where it is blank, plus the sources' photons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from astrid_resources.images import ImageMeta

_FOOTPRINT = 3


@dataclass(frozen=True)
class VarianceSettings:
    """When a pixel's own counts are signal, and when a delivered variance is believed.

    signal_sigma: counts add photon noise where their 3x3 mean stands so many of its own standard
        errors above the sky (adding it to every positive noise peak would bias faint fluxes).
    agreement_max: greatest relative difference of a delivered or computed blank-sky variance
        from the measured one.
    """

    signal_sigma: float = 3.0
    agreement_max: float = 0.10


DEFAULTS = VarianceSettings()


def pixel_variance(
    signal: NDArray[np.float32],
    sky_rms: NDArray[np.float32],
    *,
    gain_e_per_adu: float,
    unusable: NDArray[np.bool_],
    settings: VarianceSettings = DEFAULTS,
) -> NDArray[np.float32]:
    """Return sky_rms^2 + max(signal, 0) / gain [y, x], ADU^2; the sky's alone where unusable.

    signal: sky-subtracted counts; sky_rms: measured blank-sky scatter; both finite.
    """
    sky = sky_rms.astype(np.float32) ** 2
    if not (np.isfinite(gain_e_per_adu) and gain_e_per_adu > 0):
        raise ValueError(f"gain must be positive and finite, got {gain_e_per_adu}")
    usable_signal = np.where(unusable, np.float32(0), signal)
    mean = ndimage.uniform_filter(usable_signal, _FOOTPRINT, mode="nearest")
    is_source = mean > settings.signal_sigma * sky_rms / _FOOTPRINT
    photons = np.maximum(usable_signal, 0) / np.float32(gain_e_per_adu)
    return sky + np.where(is_source, photons, np.float32(0))


def expected_sky_variance(sky_level_adu: float, meta: ImageMeta) -> float:
    """Return sky / gain + (read noise / gain)^2, ADU^2: valid for counts never resampled."""
    gain = meta.gain_e_per_adu
    return max(sky_level_adu, 0.0) / gain + (meta.read_noise_e / gain) ** 2
