"""Grades: the worst rule decides, every reason has its value, unknowns do not count."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from astrid_assets.calibration.grading import RULES, Grade, GradingSettings, grade
from astrid_assets.calibration.metrics import CalibrationMetrics

_GOOD = CalibrationMetrics(
    **{
        **{f.name: 1.0 for f in fields(CalibrationMetrics)},
        "ellipticity": 0.02,
        "masked_fraction": 0.01,
        "psf_residual": 0.01,
        "sky_gradient_sigma": 0.3,
        "blank_median": 0.0,
        "blank_median_error": 0.01,
        "blank_std_error": 0.01,
        "flux_median_sigma": 0.0,
        "flux_median_error": 0.05,
    }
)


def test_a_good_exposure_is_an_a() -> None:
    assert grade(_GOOD).grade is Grade.A
    assert grade(_GOOD).reasons == ()
    assert grade(_GOOD).passed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seeing_arcsec": 2.0}, Grade.A),
        ({"seeing_arcsec": 2.5}, Grade.B),
        ({"seeing_arcsec": 5.0}, Grade.C),
        ({"seeing_arcsec": 50.0}, Grade.REJECTED),
        ({"seeing_arcsec": float("nan")}, Grade.REJECTED),
        ({"ellipticity": 0.3}, Grade.C),
        ({"masked_fraction": 0.9}, Grade.REJECTED),
        ({"blank_std": 1.08}, Grade.A),
        ({"blank_std": 1.12}, Grade.B),
        ({"blank_std": 0.5}, Grade.REJECTED),
        ({"blank_std": None, "blank_median": None, "variance_ratio": None}, Grade.A),
        ({"flux_median_sigma": -0.35}, Grade.A),
        ({"flux_median_sigma": -0.45}, Grade.B),
        ({"variance_ratio": 0.5}, Grade.C),
        ({"variance_ratio": 2.0}, Grade.C),
        ({"flux_scale_ratio": 0.955, "flux_scale_error": 0.004}, Grade.A),
        ({"flux_scale_ratio": 0.945, "flux_scale_error": 0.004}, Grade.B),
        ({"flux_scale_ratio": 1.1, "flux_scale_error": 0.004}, Grade.C),
        ({"flux_scale_ratio": None, "flux_scale_error": None}, Grade.A),
    ],
)
def test_limits(changes: dict, expected: Grade) -> None:
    verdict = grade(replace(_GOOD, **changes))
    assert verdict.grade is expected
    assert bool(verdict.reasons) is (expected is not Grade.A)


def test_the_worst_rule_decides_and_leads() -> None:
    verdict = grade(replace(_GOOD, seeing_arcsec=2.5, masked_fraction=0.9))
    assert verdict.grade is Grade.REJECTED
    assert "masked" in verdict.reasons[0]
    assert "seeing" in verdict.reasons[1]
    assert "0.9" in verdict.reasons[0]


def test_every_rule_has_limits_that_rise() -> None:
    names = {f.name for f in fields(GradingSettings)} - {"n_standard_errors"}
    assert {rule.name for rule in RULES} == names
    for name in names:
        low, middle, high = getattr(GradingSettings(), name)
        assert low < middle < high
