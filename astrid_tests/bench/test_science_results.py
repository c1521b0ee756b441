"""Pooling, storing and writing down what the fields of the statistical benchmark said."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from astrid_assets.bench.science.cases import CASES
from astrid_assets.bench.science.measure import FieldResult, SkyMoments
from astrid_assets.bench.science.pooled import offset_delta, poisson_upper_limit, pool
from astrid_assets.bench.science.report import report
from astrid_assets.bench.science.store import Results

CASE = CASES[0].quick()


def field_result(seed, *, n=1500, n_false=0, flux_bias=0.0):
    """A field whose statistics are the theory's."""
    rng = np.random.default_rng(seed)
    snr = np.concatenate([rng.uniform(3.5, 6.5, n), rng.uniform(10, 50, n)])
    score = snr + rng.standard_normal(2 * n)
    pull = rng.standard_normal(2 * n)
    found = score > 5
    offset = rng.standard_normal((2, 2 * n))
    return FieldResult(
        case=CASE.name,
        seed=seed,
        sky=SkyMoments(100_000, 0.001 * seed, 1.0, 0.001 * seed, 6),
        snr=snr.tolist(),
        score=score.tolist(),
        flux_ratio=(1 + flux_bias + pull / snr).tolist(),
        flux_pull=pull.tolist(),
        is_found=found.tolist(),
        is_accepted=found.tolist(),
        offset_x=offset[0].tolist(),
        offset_y=offset[1].tolist(),
        curve_expected=ndtr(snr - 5).tolist(),
        curve_error=np.full(2 * n, 0.005).tolist(),
        n_false=n_false,
        false_area_mpix=1.0,
        noise_peaks_per_mpix=0.2,
        false_positions=[],
        numbers={"n_psf_stars": 100},
    )


@pytest.mark.parametrize("planted", [-0.2, 0.0, 0.3])
def test_the_offset_of_the_completeness_is_found(planted):
    rng = np.random.default_rng(8)
    snr = rng.uniform(3.5, 6.5, 6000)
    delta = offset_delta(snr, snr - planted + rng.standard_normal(6000) > 5)
    assert delta.error == pytest.approx(0.019, abs=0.003)
    assert abs(delta.value - planted) < 3 * delta.error


def test_no_event_allows_three():
    assert poisson_upper_limit(0) == pytest.approx(2.996, abs=0.001)


def test_fields_after_theory_show_its_figures():
    pooled = pool([field_result(seed, n_false=seed % 2) for seed in range(1, 5)])
    assert pooled.n_sources == 6000
    assert abs(pooled.delta.value) < 3 * pooled.delta.error
    assert abs(pooled.flux_bias.value) < 3 * pooled.flux_bias.error
    assert pooled.flux_bias.error == pytest.approx(1 / (32 * 6000**0.5), rel=0.1)
    assert abs(pooled.pull_std.value - 1) < 3 * pooled.pull_std.error
    assert abs(pooled.position.value - 1) < 3 * pooled.position.error
    assert all(b.excess < 0 for b in pooled.bins)
    assert pooled.excess == pytest.approx((2 - 0.8) / 4)
    assert pooled.excess_limit == pytest.approx((6.296 - 0.8) / 4, abs=0.01)
    assert pooled.sky_median.value == pytest.approx(0.0025)
    assert pooled.sky_median.error == pytest.approx(0.001291 / 2, rel=0.01)


def test_the_page_says_what_misses():
    good, bad = (pool([field_result(1, flux_bias=bias)]) for bias in (0.0, 0.05))
    page = report([(CASE, good), (replace(CASE, is_stress=True), bad)], command="x", failures=[])
    main, stress = page.split("## Stress fields")
    assert re.search(r"\*\*\+[45]\.", stress)
    assert not re.search(r"\*\*\+[45]\.", main)


def test_a_field_is_stored_once_for_each_setting(tmp_path):
    results = Results(tmp_path, identity="abc")
    result = field_result(3, n=20)
    assert not results.has(CASE, 3)
    results.write(CASE, result)
    assert results.read(CASE, 3) == result
    assert not results.has(replace(CASE, stars_per_mpix=1.0), 3)
    assert not Results(tmp_path, identity="abd").has(CASE, 3)
    results.write_failure(CASE, 4, "TooFewStarsError: 2 of 3")
    assert results.read(CASE, 4) == "TooFewStarsError: 2 of 3"
    assert not list(tmp_path.rglob("*.part"))
