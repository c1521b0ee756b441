"""Where a detector was full: the level that counts for the delivered frame, and the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astrid_assets.calibration import curvature
from astrid_assets.imaging.smoothing import grown
from astrid_resources.images import KnownFailure, RawExposure

EFFECTIVE_LEVEL_CARD = "ESATUR"
SKY_CARDS = ("AVSKY", "SKYPEAK", "SKYBRITE")


class SaturationLevelError(KnownFailure):
    """The saturation level is not a usable number."""


@dataclass(frozen=True)
class SaturationSettings:
    """How far a full well reaches.

    bleed_fraction: pixels above this fraction of the level and touching a saturated one are
        taken for bleeding (trails and blooming lie a little below the level).
    grow_pix: the saturated region is grown by so many pixels, as charge leaks into neighbours.
    """

    bleed_fraction: float = 0.85
    grow_pix: int = 1


DEFAULTS = SaturationSettings()


def saturation_level(raw: RawExposure) -> float:
    """Return the level, in ADU of the delivered frame, at and above which a pixel is saturated.

    A frame delivered without its sky saturates at the detector's level minus that sky: the
    header's own effective level (ESATUR), else the level minus the sky that the exposure or its
    header declares, else the detector's level. Raises SaturationLevelError where it is not
    positive and finite.
    """
    level = float(raw.meta.saturation_adu)
    if raw.is_sky_subtracted:
        stated = _positive(raw.header, EFFECTIVE_LEVEL_CARD)
        sky = raw.meta.sky_level_adu
        if sky is None:
            sky = next((v for v in (_positive(raw.header, k) for k in SKY_CARDS) if v), 0.0)
        candidates = [stated] if stated is not None else [level - sky]
        level = min([level, *candidates])
    if not np.isfinite(level) or level <= 0:
        raise SaturationLevelError(
            f"the saturation level is {level:g} ADU after the sky was taken off; it must be "
            "positive and finite: declare `saturation` for this instrument",
            saturation_adu=level,
        )
    return level


def saturated_pixels(
    data: NDArray[np.float32],
    *,
    level_adu: float,
    settings: SaturationSettings = DEFAULTS,
) -> NDArray[np.bool_]:
    """Return where `data` [y, x] (ADU as delivered; NaN allowed) is saturated or bled into."""
    full = data >= level_adu
    if not full.any():
        return full
    near = data >= settings.bleed_fraction * level_adu
    nowhere = np.zeros(full.shape, np.bool_)
    bled: NDArray[np.bool_] = curvature.regions(near.view(np.uint8), full, nowhere, 0)
    return grown(bled, settings.grow_pix) if settings.grow_pix > 0 else bled


def _positive(header: fits.Header, key: str) -> float | None:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if np.isfinite(value) and value > 0 else None
