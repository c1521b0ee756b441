"""The variance of each pixel: the sky's, measured where it is blank, plus the sources' photons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import ImageMeta


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
    if not (np.isfinite(gain_e_per_adu) and gain_e_per_adu > 0):
        raise ValueError(f"gain must be positive and finite, got {gain_e_per_adu}")
    out = np.empty(signal.shape, np.float32)
    limit = np.float32(settings.signal_sigma * 3)
    photons = np.float32(1 / gain_e_per_adu)

    def band(first: int, stop: int) -> None:
        _sky_and_photons(signal, sky_rms, unusable, limit, photons, first, stop, out)

    over_rows(band, signal.shape[0])
    return out


def expected_sky_variance(sky_level_adu: float, meta: ImageMeta) -> float:
    """Return sky / gain + (read noise / gain)^2, ADU^2: valid for counts never resampled."""
    gain = meta.gain_e_per_adu
    return max(sky_level_adu, 0.0) / gain + (meta.read_noise_e / gain) ** 2


@njit(cache=True, nogil=True)
def _sky_and_photons(signal, rms, unusable, limit, photons, first, stop, out):  # type: ignore[no-untyped-def]
    """Variance of rows first to stop; photons count where the 3 x 3 sum exceeds `limit` rms."""
    ny, nx = signal.shape
    zero = np.float32(0)
    rows, line = np.empty((3, nx), np.float32), np.empty(nx + 2, np.float32)
    for y in range(first, stop):
        for k in range(3):
            j = min(max(y + k - 1, 0), ny - 1)
            light, lost, row = signal[j], unusable[j], rows[k]
            for x in range(nx):
                row[x] = zero if lost[x] else light[x]
        low, middle, high, inner = rows[0], rows[1], rows[2], line[1:]
        for x in range(nx):
            inner[x] = low[x] + middle[x] + high[x]
        line[0], line[nx + 1] = line[1], line[nx]
        left, centre, right = line[:nx], line[1 : nx + 1], line[2:]
        noise, row = rms[y], out[y]
        for x in range(nx):
            is_source = left[x] + centre[x] + right[x] > limit * noise[x]
            own = max(middle[x], zero) * photons if is_source else zero
            row[x] = noise[x] * noise[x] + own
