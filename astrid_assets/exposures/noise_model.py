"""Gain and read noise from a variance plane, where a header leaves them out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from astrid_assets.exposures.rejection import Reason, RejectedFile

N_BINS = 20
N_PIXELS_MIN = 500


@dataclass(frozen=True)
class NoiseModel:
    """variance = data / gain + (read noise / gain)^2, in counts; read noise in electrons."""

    gain_e_per_adu: float
    read_noise_e: float


def noise_from_variance(
    data: NDArray[np.float32], variance: NDArray[np.float32], *, bad: NDArray[np.bool_] | None
) -> NoiseModel:
    """Fit the photon-noise line to variance against counts [y, x]; sky must still be in the counts.

    Medians in bins of equal logarithmic width of the variance, which unlike the counts has no
    noise of its own; bright pixels, which carry the slope, are heard. A negative intercept gives
    read noise 0.
    Raises RejectedFile (missing_value) where the variance does not grow with the counts.
    """
    good = np.isfinite(data) & np.isfinite(variance) & (variance > 0)
    if bad is not None:
        good &= ~bad
    if int(good.sum()) < N_PIXELS_MIN:
        raise _unknown(f"only {int(good.sum())} good pixels, {N_PIXELS_MIN} are needed")
    counts, noise = data[good].astype(float), variance[good].astype(float)
    edges = np.geomspace(noise.min(), noise.max() * (1 + 1e-9), N_BINS + 1)
    x, y = [], []
    for low, high in pairwise(edges):
        inside = (noise >= low) & (noise <= high)
        if inside.sum() >= 5:
            x.append(float(np.median(counts[inside])))
            y.append(float(np.median(noise[inside])))
    if len(x) < 3:
        raise _unknown("the variance spans too small a range")
    slope, intercept = np.polyfit(x, y, 1, w=1 / np.asarray(y))
    if not slope > 0:
        raise _unknown(f"the variance does not grow with the counts (slope {slope:.3g})")
    return NoiseModel(float(1 / slope), float(np.sqrt(max(intercept, 0.0)) / slope))


def _unknown(why: str) -> RejectedFile:
    return RejectedFile(
        f"gain and read noise cannot be fitted to the variance plane: {why}; state GAIN "
        "and RDNOISE",
        reason=Reason.MISSING_VALUE,
    )
