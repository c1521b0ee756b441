"""A number is judged at its limit plus four of its own standard errors."""

from __future__ import annotations

from dataclasses import fields

import pytest

from astrid_assets.calibration.metrics import CalibrationMetrics
from astrid_assets.checks import check_result
from astrid_assets.difference.metrics import SubtractionMetrics
from astrid_assets.limits import LIMITS
from astrid_assets.quality import Judgement, Limit, judge

CATALOGUE_METRICS = {"astrometric_rms_arcsec"}
"""What is measured once there is a star catalogue: no verdict until then."""
SCATTER = Limit(
    "scatter", "difference_images", "std", "unit scatter", low=0.95, high=1.05,
    resampled_low=0.9, resampled_high=1.3, error_metric="std_error",
)  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "judgement"),
    [
        ({"std": 1.0}, Judgement.PASSED),
        ({"std": 1.06}, Judgement.FAILED),
        ({"std": 1.06, "std_error": 0.003}, Judgement.PASSED),
        ({"std": 1.07, "std_error": 0.003}, Judgement.FAILED),
        ({"std": 0.93, "std_error": 0.003}, Judgement.FAILED),
        ({"std": 1.12, "is_resampled": True}, Judgement.PASSED),
        ({"std": 1.4, "is_resampled": True}, Judgement.FAILED),
        ({"std": None}, Judgement.NO_VERDICT),
        ({}, Judgement.NO_VERDICT),
        ({"std": float("nan")}, Judgement.NO_VERDICT),
    ],
)
def test_verdicts(metrics, judgement):
    assert judge(SCATTER, metrics, label="a").judgement is judgement


def test_absolute_values_are_judged_where_declared():
    limit = Limit("median", "a", "m", "zero", high=0.1, is_magnitude=True)
    assert judge(limit, {"m": -0.2}, label="a").judgement is Judgement.FAILED
    assert judge(limit, {"m": -0.05}, label="a").judgement is Judgement.PASSED


def test_no_verdict_neither_passes_nor_hides():
    result = check_result([judge(SCATTER, {}, label="a")])
    assert result.passed
    assert result.metadata["n_no_verdict"].value == 1
    assert result.metadata["n_judged"].value == 0


def test_limits_are_declared_once():
    names = [(limit.asset, limit.name) for limit in LIMITS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("asset", "metrics"),
    [("calibrated_exposures", CalibrationMetrics), ("difference_images", SubtractionMetrics)],
)
def test_what_is_judged_is_measured(asset, metrics):
    """A limit on a metric that nobody writes could never fail."""
    written = {field.name for field in fields(metrics)} | CATALOGUE_METRICS
    judged = {
        name
        for limit in LIMITS
        if limit.asset == asset
        for name in (limit.metric, limit.error_metric)
        if name is not None
    }
    assert judged <= written
