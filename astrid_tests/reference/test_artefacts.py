"""Artefacts against truth: hits in one input are found, seeing differences are not."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.reference.artefacts import find_artefacts
from astrid_tests.calibration.sky import moffat

FWHM = (2.8, 3.2, 3.6, 4.2, 5.0)
PSFS = [moffat(width, 0, 0).astype(np.float32) for width in FWHM]


def _stack(seed: int, *, fwhm: tuple[float, ...] = FWHM, size: int = 200):
    """Stars seen under each FWHM with noise of 10: data, variance, usable."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(30, size - 30, (2, 25))
    flux = 10 ** rng.uniform(3, 6, 25)
    data, variance = [], []
    for width in fwhm:
        clean = np.zeros((size, size))
        for a, b, f in zip(x, y, flux, strict=True):
            i, j = round(a), round(b)
            clean[j - 25 : j + 26, i - 25 : i + 26] += f * moffat(width, a - i, b - j)
        v = 100 + clean / 2
        data.append((clean + rng.normal(0, np.sqrt(v))).astype(np.float32))
        variance.append(v.astype(np.float32))
    return data, variance, [np.ones((size, size), bool) for _ in fwhm]


def test_differences_of_seeing_are_no_artefacts() -> None:
    for seed in range(4):
        data, variance, usable = _stack(seed)
        found = find_artefacts(data, variance, usable, psfs=PSFS)
        assert sum(f.sum() for f in found) <= 30


@pytest.mark.parametrize("k", range(5))
def test_a_hit_in_one_input_is_blamed_on_it_alone(k: int) -> None:
    data, variance, usable = _stack(7)
    data[k] = data[k].copy()
    data[k][100, 60:75] += 300
    data[k][150, 150] += 400
    found = find_artefacts(data, variance, usable, psfs=PSFS)
    assert found[k][100, 60:75].mean() > 0.8
    assert found[k][150, 150]
    for other in range(5):
        if other != k:
            assert not found[other][100, 60:75].any()
            assert not found[other][150, 150]


def test_two_inputs_tell_an_excess_and_one_tells_nothing() -> None:
    data, variance, usable = _stack(3, fwhm=FWHM[:2])
    data[0][100, 100] += 500
    found = find_artefacts(data, variance, usable, psfs=PSFS[:2])
    assert found[0][100, 100]
    assert not found[1][100, 100]
    alone = find_artefacts(data[:1], variance[:1], usable[:1], psfs=PSFS[:1])
    assert not alone[0].any()


def test_unusable_pixels_neither_vote_nor_spread() -> None:
    data, variance, usable = _stack(5)
    data[1][50:60, 50:60] = 1e7
    usable[1][50:60, 50:60] = False
    found = find_artefacts(data, variance, usable, psfs=PSFS)
    assert sum(f[45:65, 45:65].sum() for f in found) == 0
