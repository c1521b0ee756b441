"""Drift of a night's candidates: silent on nights like the training's, loud on others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from astrid_assets.detections.drift import drift, reference_quantiles
from astrid_assets.quality import Finding, Judgement

N_FIELDS, N_PER_FIELD = 40, 60


def _field(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """One field: its candidates share their seeing, and their shape has an offset of its own."""
    return {
        "significance": 5 + rng.exponential(1.0 + 0.2 * rng.random(), n),
        "fwhm_difference_pix": np.full(n, rng.uniform(2, 6)),
        "ellipticity": rng.beta(2, 5, n) + rng.normal(0, 0.02),
    }


def _scores(rng: np.random.Generator, n: int, share_real: float) -> np.ndarray:
    is_real = rng.random(n) < share_real
    return np.where(is_real, 1 - rng.exponential(0.05, n), rng.exponential(0.01, n)).clip(0, 1)


@pytest.fixture(scope="module")
def reference() -> dict:
    rng = np.random.default_rng(1)
    fields = [_field(rng, N_PER_FIELD) for _ in range(N_FIELDS)]
    features = {name: np.concatenate([field[name] for field in fields]) for name in fields[0]}
    made = reference_quantiles(
        features,
        _scores(rng, 800, 0.03),
        fields=np.repeat(np.arange(N_FIELDS), N_PER_FIELD),
        score_weights=np.ones(800),
    )
    return json.loads(json.dumps(made, allow_nan=False))


def _failed(findings: tuple[Finding, ...]) -> set[str]:
    return {f.label for f in findings if f.judgement is Judgement.FAILED}


def test_nights_like_the_training_raise_no_alarm(reference):
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        n = int(rng.integers(20, 300))
        findings = drift(reference, _field(rng, n), _scores(rng, n, rng.uniform(0, 0.2)))
        assert all(f.judgement is not Judgement.NO_VERDICT for f in findings)
        alarms += bool(_failed(findings))
    assert alarms <= 4


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("significance", lambda v: 5 + 4 * (v - 5), "distance of significance"),
        ("fwhm_difference_pix", lambda v: v + 8, "fwhm_difference_pix outside training"),
        ("ellipticity", lambda v: v + 0.3, "distance of ellipticity"),
    ],
)
def test_each_kind_of_change_is_seen(reference, name, change, expected):
    rng = np.random.default_rng(3)
    features = _field(rng, 150)
    findings = drift(reference, features | {name: change(features[name])}, _scores(rng, 60, 0.05))
    assert expected in _failed(findings)


def test_scores_of_another_kind_of_sky_are_seen_and_another_share_of_real_is_not(reference):
    rng = np.random.default_rng(4)
    features = _field(rng, 150)
    unsure = rng.uniform(0.1, 0.9, 150)
    assert "distance of scores" in _failed(drift(reference, features, unsure))
    assert not _failed(drift(reference, features, _scores(rng, 150, 0.25)))


def test_few_candidates_have_no_verdict(reference):
    rng = np.random.default_rng(5)
    features = {name: values + 100 for name, values in _field(rng, 19).items()}
    findings = drift(reference, features, np.full(19, 0.5))
    assert {f.judgement for f in findings} == {Judgement.NO_VERDICT}
    assert {f.value for f in findings} == {None}
    nothing = drift(reference, {name: np.zeros(0) for name in features}, np.zeros(0))
    assert len(nothing) == len(findings)


def test_unmeasured_values_are_left_out_and_unknown_features_too(reference):
    rng = np.random.default_rng(6)
    features = _field(rng, 100)
    with_gaps = {name: np.append(values, [np.nan] * 50) for name, values in features.items()}
    scores = _scores(rng, 50, 0.05)
    more = with_gaps | {"colour": np.full(150, 9.0)}
    assert drift(reference, more, scores) == drift(reference, features, scores)


def test_the_distance_is_that_of_kolmogorov_and_smirnov_within_the_spacing():
    rng = np.random.default_rng(7)
    for shift in (0.0, 0.3, 2.0, 20.0):
        known, seen = rng.normal(size=5000), rng.normal(shift, size=400)
        made = reference_quantiles(
            {"x": known}, np.zeros(0), fields=np.arange(5000) % 20, score_weights=np.zeros(0)
        )
        (found, _, scores) = drift(made, {"x": seen}, np.zeros(0))
        exact = ks_2samp(known, seen).statistic
        assert exact - 0.011 <= found.value <= exact + 1e-9
        assert scores.judgement is Judgement.NO_VERDICT


def test_a_feature_of_few_fields_is_judged_by_its_support_alone():
    rng = np.random.default_rng(8)
    made = reference_quantiles(
        {"x": rng.normal(size=900)}, np.zeros(0), fields=np.arange(900) % 9,
        score_weights=np.zeros(0),
    )  # fmt: skip
    distance, outside, _ = drift(made, {"x": rng.normal(9, 1, 50)}, np.zeros(0))
    assert distance.judgement is Judgement.NO_VERDICT
    assert outside.judgement is Judgement.FAILED
    assert outside.value == 1.0
