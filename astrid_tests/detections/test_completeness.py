"""Counts in fixed bins: intervals, sums over exposures, where a half is reached, what is stored."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrid_assets.detections.completeness import (
    Axis,
    Bin,
    Counts,
    bins_of,
    counted,
    crossing,
    pooled,
    wilson_interval,
)
from astrid_assets.detections.pooled import pooled_completeness
from astrid_resources.products import Product
from astrid_tests.catalog.world import World


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals(k: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(k, n) == pytest.approx((low, high), abs=1e-4)


def drawn(rng: np.random.Generator, n: int = 400) -> tuple[np.ndarray, Counts]:
    """Sources whose true chance rises linearly from 0 at S/N 4 to 1 at 8."""
    snr = rng.uniform(4, 8, n)
    chance = (snr - 4) / 4
    is_found = rng.random(n) < chance
    is_passed = is_found & (rng.random(n) < 0.95)
    return snr, Counts(is_found, is_passed, is_passed, chance)


EDGES = (4.0, 5.0, 6.0, 7.0, None)


def test_bins_hold_every_source_once_and_add_up() -> None:
    rng = np.random.default_rng(0)
    exposures = []
    for _ in range(5):
        snr, counts = drawn(rng)
        exposures.append(counted(Axis.SNR, snr, EDGES, counts, where=snr > 4.5))
    total = pooled(exposures)
    assert [one.low for one in total] == [4, 5, 6, 7]
    assert {one.n_exposures for one in total} == {5}
    assert sum(one.n_injected for one in total) == pytest.approx(5 * 400 * 3.5 / 4, rel=0.03)
    for one in total:
        assert abs(one.found_deficit_sigma or 0) < 4
        assert one.n_accepted <= one.n_passed <= one.n_found
    assert bins_of(json.loads(json.dumps({"bins": [one.as_dict() for one in total]}))) == total
    assert pooled([]) == ()


def test_where_a_half_is_accepted() -> None:
    rng = np.random.default_rng(1)
    snr, counts = drawn(rng, 20_000)
    edges = tuple(np.arange(4, 8.1, 0.5))
    bins = counted(Axis.SNR, snr, edges, counts, where=snr > 0)
    assert crossing(bins, share=0.5) == pytest.approx(4 + 4 * 0.5 / 0.95, abs=0.1)
    assert crossing(bins[:2], share=0.5) is None
    assert crossing((), share=0.5) is None


def metrics(n_found: int, *, n: int = 100) -> dict[str, Any]:
    one = Bin(Axis.SNR, 4, 8, n, n_found, n_found, n_found - 5, 70.0, 15.0)
    half = [
        Bin(Axis.MAGNITUDE_INSTRUMENTAL, low, low + 0.5, 10, k, k, k, float(k), 1.0)
        for low, k in ((-10.0, 10), (-9.5, 8), (-9.0, 2))
    ]
    return {"judged": one.as_dict(), "bins": [one.as_dict(), *(b.as_dict() for b in half)]}


def test_a_tile_is_pooled_over_its_nights_without_what_failed(tmp_path: Path) -> None:
    world = World.new(tmp_path)
    nights = [date(2018, 8, day) for day in (3, 4, 5)]
    for name, night in zip("abc", nights, strict=True):
        world.expose(name, 10.0, -5.0, when=f"{night} 03:00:00", night=night, stop="no_reference")
    seen = world.observations
    world.add("injection_recovery", nights[0], "t", seen["a"], metrics=metrics(68))
    world.add(
        "injection_recovery", nights[1], "t", seen["b"], metrics=metrics(20), verdict="failed",
        reasons=("completeness: too few",),
    )  # fmt: skip
    (found,) = pooled_completeness(world.database)
    assert (found.tile, found.filter_band, found.n_exposures) == ("t", "i", 1)
    running = Product("injection_recovery", "new", seen["c"], metrics=metrics(74))
    (found,) = pooled_completeness(world.database, tile="t", made=[running])
    assert (found.n_exposures, found.n_nights, found.judged.n_injected) == (2, 2, 200)
    assert found.found_excess == pytest.approx((68 + 74 - 140) / 200)
    assert found.found_excess_error == pytest.approx(30**0.5 / 200)
    assert found.title == "tile t, filter i: 2 exposures of 2 nights"
    assert "Of 200 sources injected at S/N 4 to 8, 142 were found" in found.text
    assert found.half(Axis.MAGNITUDE_AB) is None
    assert found.half(Axis.MAGNITUDE_INSTRUMENTAL) == pytest.approx(-9.0, abs=0.01)
    assert pooled_completeness(world.database, tile="other") == ()
    again = Product("injection_recovery", "anew", seen["a"], metrics=metrics(60))
    (found,) = pooled_completeness(world.database, tile="t", made=[again])
    assert found.judged.n_found == 60
