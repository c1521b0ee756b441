"""Saturation: which level counts, and how far a full well reaches."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astrid_assets.calibration.saturation import (
    SaturationLevelError,
    saturated_pixels,
    saturation_level,
)
from astrid_resources.images import ImageMeta, RawExposure


def _raw(*, subtracted: bool, level: float = 46251.0, sky: float | None = None, **cards: float):
    meta = ImageMeta(4.0, 10.0, level, sky_level_adu=sky)
    header = fits.Header(list(cards.items()))
    return RawExposure(
        np.zeros((4, 4)), WCS(naxis=2), meta, header=header, is_sky_subtracted=subtracted
    )


def test_detector_level_counts_where_the_sky_is_in() -> None:
    assert saturation_level(_raw(subtracted=False, ESATUR=35028.0)) == 46251.0


def test_sky_subtracted_frames_saturate_earlier() -> None:
    assert saturation_level(_raw(subtracted=True, ESATUR=35028.0)) == 35028.0
    assert saturation_level(_raw(subtracted=True, AVSKY=11207.0)) == 35044.0
    assert saturation_level(_raw(subtracted=True, sky=1000.0, AVSKY=11207.0)) == 45251.0
    assert saturation_level(_raw(subtracted=True)) == 46251.0
    assert saturation_level(_raw(subtracted=True, ESATUR=90000.0)) == 46251.0


@pytest.mark.parametrize("level", [0.0, -5.0, np.nan, np.inf])
def test_an_unusable_level_is_a_known_failure(level: float) -> None:
    with pytest.raises(SaturationLevelError):
        saturation_level(_raw(subtracted=False, level=level))


def test_cores_bleed_and_grow() -> None:
    data = np.zeros((40, 40), np.float32)
    data[20, 20] = 1000
    data[21:30, 20] = 900
    data[5, 5] = 950
    data[0, 0] = np.nan
    mask = saturated_pixels(data, level_adu=1000)
    assert mask[20:30, 20].all()
    assert mask[19, 19]
    assert not mask[5, 5]
    assert not mask[0, 0]
    assert mask.sum() == 12 * 3
    assert not saturated_pixels(data, level_adu=2000).any()
