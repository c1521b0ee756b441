"""PSF shapes against ellipses of known axes."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.calibration.shape import stamp_shape
from astrid_tests.calibration.sky import moffat


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 140.0])
def test_elongated_gaussian(angle: float) -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    t = np.radians(angle)
    u, v = x * np.cos(t) + y * np.sin(t), -x * np.sin(t) + y * np.cos(t)
    stamp = np.exp(-0.5 * ((u / 3.0) ** 2 + (v / 2.1) ** 2)).astype(np.float32)
    shape = stamp_shape(stamp)
    assert shape.ellipticity == pytest.approx(0.3, abs=0.005)
    assert (shape.angle_deg - angle + 90) % 180 - 90 == pytest.approx(0, abs=0.5)


def test_round_moffat_with_noise_is_round() -> None:
    rng = np.random.default_rng(2)
    stamp = moffat(4.0, 0, 0) + rng.normal(0, 1e-4, (51, 51))
    assert stamp_shape(stamp.astype(np.float32)).ellipticity < 0.02
