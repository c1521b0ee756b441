"""Filled pixels take their neighbours' values, and only where these are."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.calibration.filling import filled


def test_a_hole_in_a_slope_is_closed() -> None:
    y, x = np.mgrid[:40, :40]
    data = (3 * x + y).astype(np.float32)
    where = np.zeros(data.shape, bool)
    where[20, 15:25] = True
    hurt = np.where(where, np.float32(1e6), data)
    out, interpolated = filled(hurt, where=where, unusable=where)
    np.testing.assert_array_equal(interpolated, where)
    np.testing.assert_allclose(out[where], data[where], atol=1.5)
    np.testing.assert_array_equal(out[~where], data[~where])
    assert hurt[20, 20] == pytest.approx(1e6)


def test_the_middle_of_a_large_hole_is_zero_and_not_called_interpolated() -> None:
    where = np.zeros((60, 60), bool)
    where[10:50, 10:50] = True
    data = np.full((60, 60), 7.0, np.float32)
    out, interpolated = filled(data, where=where, unusable=where)
    assert out[30, 30] == 0
    assert not interpolated[30, 30]
    assert interpolated[10, 30]


def test_nothing_to_fill_changes_nothing() -> None:
    data = np.arange(100, dtype=np.float32).reshape(10, 10)
    none = np.zeros((10, 10), bool)
    out, interpolated = filled(data, where=none, unusable=none)
    np.testing.assert_array_equal(out, data)
    assert not interpolated.any()
