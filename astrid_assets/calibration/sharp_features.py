"""Features sharper than the PSF allows: the rest of the cosmic rays, also on resampled frames.

Whatever positive light lies on the sky, its image f under a Gaussian PSF of width s obeys
-f'' / f <= 1 / s^2 along every direction. What curves more strongly did not come through the
optics. The bound is taken from the measured PSF itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from astrid_assets.calibration import curvature
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import PSFModel

_EIGHT = np.ones((3, 3), bool)
_MAD_TO_SIGMA = 1.482602
_MARGIN = 8
_NEAR_UNUSABLE_PIX = 2
_MAX_SAMPLE = 500_000


@dataclass(frozen=True)
class SharpnessSettings:
    """When a curvature is too strong.

    smoothing_pix: sigma of the Gaussian in whose scale curvature is measured.
    ratio: what is allowed, in units of the strongest curvature over brightness of the PSF.
    seed_sigma, grow_sigma: excess over that, in noise, that starts a region, and extends it.
    pixel_sigma: every pixel of a region is itself so bright.
    grow_pix_resampled: on resampled frames, whose hits have wings, regions grow by so many pixels.
    """

    smoothing_pix: float = 0.8
    ratio: float = 1.15
    seed_sigma: float = 4.5
    grow_sigma: float = 1.5
    pixel_sigma: float = 2.0
    grow_pix_resampled: int = 1


DEFAULTS = SharpnessSettings()


def sharp_features(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    unusable: NDArray[np.bool_],
    hits: NDArray[np.bool_],
    psf: PSFModel,
    is_resampled: bool,
    settings: SharpnessSettings = DEFAULTS,
) -> NDArray[np.bool_]:
    """Return `hits` and where [y, x] the image curves more than any light through `psf` can.

    data, variance: sky-subtracted counts and their variance, finite; unusable pixels take no
    part; hits: cosmic rays already found, from which regions also grow; psf: the image's;
    is_resampled: the frame was resampled before it came to us.
    """
    usable = ~unusable
    if not usable.any():
        return np.zeros(data.shape, bool)
    light = np.where(usable, data, np.float32(0))
    taps = curvature.derivative_taps(settings.smoothing_pix)
    limit = max(_strongest(stamp, taps) for stamp in _over_field(psf))
    level, scale = _blank_scale(light, variance, usable, taps)
    bits = np.empty(data.shape, np.uint8)
    sigmas = (settings.seed_sigma, settings.grow_sigma, settings.pixel_sigma)
    ratio = settings.ratio

    def band(first: int, stop: int) -> None:
        curvature.classify(
            light, variance, taps, ratio * limit, ratio * level, scale, sigmas, first, stop, bits
        )

    over_rows(band, data.shape[0])
    found: NDArray[np.bool_] = curvature.regions(bits, hits, unusable, _NEAR_UNUSABLE_PIX)
    if is_resampled and settings.grow_pix_resampled > 0:
        found = ndimage.binary_dilation(found, _EIGHT, iterations=settings.grow_pix_resampled)
    return found & usable


def _over_field(psf: PSFModel) -> list[NDArray[np.float32]]:
    """Return the PSF at the centre, and where it varies also at corners and edges."""
    if psf.order == 0:
        return [psf.centre]
    ny, nx = psf.shape
    places = (0.0, 0.5, 1.0)
    return [psf.at(u * (nx - 1), v * (ny - 1)) for u in places for v in places]


def _strongest(psf: NDArray[np.float32], taps: NDArray[np.float32]) -> float:
    """Return the greatest curvature over brightness in the core of a star centred on a pixel."""
    padded = np.pad(psf, _MARGIN)
    bright, curved = curvature.curvature(padded, taps, np.arange(len(padded)))
    core = bright > 0.3 * bright.max()
    return float((curved[core] / bright[core]).max())


def _blank_scale(
    light: NDArray[np.float32],
    variance: NDArray[np.float32],
    usable: NDArray[np.bool_],
    taps: NDArray[np.float32],
) -> tuple[float, float]:
    """Return median and robust scatter of curvature over noise: of the sky, which is most of it."""
    step = max(1, light.size // _MAX_SAMPLE)
    rows = np.arange(0, len(light), step)
    _, curved = curvature.curvature(light, taps, rows)
    sample = (curved / np.sqrt(variance[rows]))[usable[rows]]
    if not sample.size:
        sample = np.zeros(1, np.float32)
    middle = float(np.median(sample))
    return middle, max(_MAD_TO_SIGMA * float(np.median(np.abs(sample - middle))), 1e-6)
