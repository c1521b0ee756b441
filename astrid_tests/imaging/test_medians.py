"""The compiled median against numpy's, on any order, sign, scale and number of values."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.imaging.medians import empty_histogram, median


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 100, 101, 4095, 4096])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (20, 600), (0, 3), (1e-30, 0), (1e10, -5)])
def test_it_is_numpys_median_to_the_bit(n: int, scale: float, offset: float) -> None:
    values = (np.random.default_rng(n).normal(size=n) * scale + offset).astype(np.float32)
    scratch = empty_histogram()
    for some in (values, np.abs(values), -np.abs(values), np.round(values), np.sort(values)):
        assert median(some, scratch) == np.median(some)
        assert not scratch.any()


def test_zeros_of_both_signs_and_infinities_keep_their_order() -> None:
    values = np.array([np.inf, -0.0, 0.0, -np.inf, -0.0, 1.0, -2.0], np.float32)
    assert median(values, empty_histogram()) == 0
    assert median(values[:1], empty_histogram()) == np.inf
