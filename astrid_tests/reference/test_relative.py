"""Shift and flux scale from common stars: right within their own errors, outliers left out."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.reference.relative import DEFAULTS, StarList, TooFewCommonStarsError, relate

WCS = Epoch(shape=(500, 500)).wcs()


def _pair(seed: int, n: int, *, shift=(0.3, -0.2), ratio=0.8, outliers=0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 500, (2, n))
    flux = 10 ** rng.uniform(4, 6, n)
    error, place = 0.005 * flux, np.full(n, 0.03)
    anchor = StarList(x, y, flux * (1 + rng.normal(0, 0.005, n)), error, place, WCS)
    measured = ratio * flux * (1 + rng.normal(0, 0.005, n))
    u = x + shift[0] + rng.normal(0, 0.03, n)
    v = y + shift[1] + rng.normal(0, 0.03, n)
    measured[:outliers] *= 2
    u[:outliers] += 1.5
    order = rng.permutation(n)
    stars = StarList(
        u[order], v[order], measured[order], ratio * error[order], place[order], WCS
    )  # fmt: skip
    return stars, anchor


@pytest.mark.parametrize(("n", "outliers"), [(4, 0), (10, 1), (200, 20)])
def test_truth_is_within_the_stated_errors(n: int, outliers: int) -> None:
    pulls = []
    for seed in range(60):
        stars, anchor = _pair(seed, n, outliers=outliers)
        found = relate(stars, anchor, pixel_scale_arcsec=0.262, settings=DEFAULTS)
        pulls.append(
            [
                (found.flux_ratio - 0.8) / found.flux_ratio_error,
                (found.shift_pix[0] - 0.3) / found.shift_error_pix,
                (found.shift_pix[1] + 0.2) / found.shift_error_pix,
            ]
        )
        assert found.is_shifted
    pulls = np.array(pulls)
    assert np.abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(60)
    assert pulls.std(axis=0).max() < 1.35


def test_an_insignificant_shift_is_not_applied() -> None:
    stars, anchor = _pair(1, 30, shift=(0.003, 0.0))
    found = relate(stars, anchor, pixel_scale_arcsec=0.262, settings=DEFAULTS)
    assert not found.is_shifted
    assert found.applied_shift_pix == (0.0, 0.0)


def test_too_few_stars_is_a_known_failure() -> None:
    stars, anchor = _pair(1, 2)
    with pytest.raises(TooFewCommonStarsError) as caught:
        relate(stars, anchor, pixel_scale_arcsec=0.262, settings=DEFAULTS)
    assert caught.value.numbers == {"n_found": 2, "n_required": 3}


@pytest.mark.parametrize("n", [20, 200, 2000])
def test_unrelated_stars_are_never_a_tie(n: int) -> None:
    """A WCS that is off meets other stars, in dense fields many of them."""
    for seed in range(20):
        stars, _ = _pair(seed, n)
        _, anchor = _pair(seed + 1000, n)
        with pytest.raises(TooFewCommonStarsError):
            relate(stars, anchor, pixel_scale_arcsec=0.262, settings=DEFAULTS)
