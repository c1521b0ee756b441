"""The figures against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.training import curves
from astrid_assets.training import evaluate as ev


def _gaussian(n: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_real = np.arange(n) % 2 == 0
    return rng.normal(size=n) + shift * is_real, is_real


def test_average_precision_and_roc_against_brute_force() -> None:
    rng = np.random.default_rng(1)
    score = rng.integers(0, 6, size=40).astype(float)
    is_real = rng.random(40) < 0.4
    weight = rng.uniform(0.5, 2, size=40)
    total, last_recall = 0.0, 0.0
    for cut in np.unique(score)[::-1]:
        chosen = score >= cut
        precision = weight[chosen & is_real].sum() / weight[chosen].sum()
        recall = weight[chosen & is_real].sum() / weight[is_real].sum()
        total += precision * (recall - last_recall)
        last_recall = recall
    assert curves.average_precision(score, is_real, weight) == pytest.approx(total)
    pairs = (score[is_real][:, None] > score[~is_real]) + 0.5 * (
        score[is_real][:, None] == score[~is_real]
    )
    w = weight[is_real][:, None] * weight[~is_real]
    assert curves.area_under_roc(score, is_real, weight) == pytest.approx(
        (pairs * w).sum() / w.sum()
    )


def test_perfect_and_random_scores() -> None:
    is_real = np.arange(1000) % 2 == 0
    weight = curves.prior_weights(is_real, 1 / 31)
    assert curves.average_precision(is_real.astype(float), is_real, weight) == pytest.approx(1)
    noise = np.random.default_rng(2).random(1000)
    assert curves.average_precision(noise, is_real, weight) == pytest.approx(1 / 31, abs=0.03)


def test_calibration_recovers_temperature_and_prior() -> None:
    score, is_real = _gaussian(40_000, 2.0, 3)
    exact = 2.0 * score - 2.0
    calibration = ev.calibrate(4 * exact + 3, is_real, prior_real=0.1)
    assert calibration.temperature == pytest.approx(4, rel=0.05)
    assert calibration.curvature == pytest.approx(0, abs=0.02)
    probability = calibration.probabilities(4 * exact + 3)
    weight = curves.prior_weights(is_real, 0.1)
    rows = curves.reliability(
        probability, is_real, weight, edges=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        fields=np.arange(len(score)),
    )  # fmt: skip
    assert max(abs(row["mean_probability"] - row["share_real"]) for row in rows) < 0.05
    assert curves.log_loss(probability, is_real, weight) < curves.log_loss(
        np.full(len(score), 0.1), is_real, weight
    )


def test_calibration_recovers_a_slope_that_changes() -> None:
    score, is_real = _gaussian(60_000, 2.0, 11)
    exact = 2.0 * score - 2.0
    bent = np.where(exact > 0, 3 * exact, exact)
    probability = ev.calibrate(bent, is_real, prior_real=1 / 31).probabilities(bent)
    at_prior = exact - np.log(30)
    middle = np.abs(at_prior) < 2
    found = np.log(probability / (1 - probability))
    assert np.abs(found - at_prior)[middle].mean() < 0.25
    straight = ev.Calibration(1.0, -2.0).probabilities(exact)
    np.testing.assert_allclose(straight, 1 / (1 + np.exp(2 - exact)))


def test_the_error_by_chance_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(12)
    errors, stated, largest = [], [], []
    for _ in range(200):
        logit = rng.normal(0, 1.2, 1200)
        is_real = rng.random(1200) < 1 / (1 + np.exp(-logit))
        weight = np.ones(1200)
        rows = curves.reliability(
            1 / (1 + np.exp(-logit)), is_real, weight, edges=(0.0, 0.3, 0.5, 0.7, 1.0),
            fields=np.arange(1200) // 8,
        )  # fmt: skip
        errors.append([row["mean_probability"] - row["share_real"] for row in rows])
        stated.append([row["standard_error"] for row in rows])
        largest.append(np.abs(errors[-1]).max())
    np.testing.assert_allclose(np.std(errors, axis=0), np.mean(stated, axis=0), rtol=0.2)
    chance = curves.largest_by_chance(list(np.mean(stated, axis=0)))
    assert chance == pytest.approx(np.median(largest), rel=0.15)
    assert curves.largest_by_chance([]) is None


def test_threshold_loses_at_most_the_declared_share() -> None:
    score = np.random.default_rng(4).permutation(1000) / 1000
    cut = curves.threshold_at(score, np.ones(1000), false_negative_rate=0.01)
    assert (score < cut).sum() == 10
    assert curves.threshold_at(score, np.ones(1000), false_negative_rate=0.0) == 0.0


def test_intervals_widen_when_fields_agree_within_themselves() -> None:
    rng = np.random.default_rng(5)
    fields = np.repeat(np.arange(20), 50)
    is_real = np.ones(1000, bool)
    accepted = rng.random(20)[fields] < 0.5

    def share(score: np.ndarray, real: np.ndarray, weight: np.ndarray) -> float:
        return curves.rate(score > 0.5, real, weight)

    arguments = (accepted.astype(float), is_real, np.ones(1000))
    low, high = curves.clustered_interval(share, *arguments, fields, n_bootstrap=300, rng=rng)
    single = curves.clustered_interval(share, *arguments, np.arange(1000), n_bootstrap=300, rng=rng)
    assert high - low > 4 * (single[1] - single[0])


def test_evaluation_is_plain_json_and_its_rates_are_right() -> None:
    score, is_real = _gaussian(4000, 4.0, 6)
    probability = ev.Calibration(1.0, 0.0).probabilities(4 * score - 8)
    sample = ev.Sample(
        is_real=is_real,
        snr=np.where(is_real, 8.0, np.nan),
        sky_field=np.arange(4000) // 100,
        fwhm_pix=np.full(4000, 3.5),
        on_host=np.arange(4000) % 4 < 2,
    )
    settings = ev.EvaluationSettings(prior_real=0.5, n_bootstrap=50)
    result = ev.evaluate(probability, sample, threshold=0.5, settings=settings)
    expected = 0.02275
    for figure in ("false_positive_rate", "false_negative_rate"):
        assert result[figure]["value"] == pytest.approx(expected, abs=4 * np.sqrt(expected / 2000))
        assert result[figure]["low"] <= result[figure]["value"] <= result[figure]["high"]
    assert result["auc_pr"]["value"] > 0.99
    assert result["false_positive_rate_at_1pct_fnr"]["value"] == pytest.approx(0.047, abs=0.02)
    for row in result["reliability"]:
        error = row["mean_probability"] - row["share_real"]
        assert row["error_low"] <= error <= row["error_high"]
    assert sum(row["n_real"] + row["n_bogus"] for row in result["reliability"]) == 4000


def test_reliability_at_equal_classes_is_that_of_the_shifted_probability() -> None:
    score, is_real = _gaussian(60_000, 2.0, 8)
    probability = ev.Calibration(1.0, np.log(0.05 / 0.95)).probabilities(2 * score - 2)
    sample = ev.Sample(
        is_real=is_real, snr=np.where(is_real, 8.0, np.nan), sky_field=np.arange(60_000) // 500,
        fwhm_pix=np.full(60_000, 3.5), on_host=np.zeros(60_000, bool),
    )  # fmt: skip
    settings = ev.EvaluationSettings(prior_real=0.05, n_bootstrap=10)
    result = ev.evaluate(probability, sample, threshold=0.5, settings=settings)
    assert result["largest_reliability_error_at_equal_classes"] < 0.03
    wrong = ev.Calibration(1.0, np.log(0.05 / 0.95)).probabilities(4 * score - 4)
    result = ev.evaluate(wrong, sample, threshold=0.5, settings=settings)
    assert result["largest_reliability_error_at_equal_classes"] > 0.08


def test_a_draw_with_more_bogus_is_no_other_prior() -> None:
    score, is_real = _gaussian(2000, 1.0, 9)
    weighted = curves.at_class_weights(curves.average_precision, 0.1)
    once = weighted(score, is_real, np.ones(2000))
    tripled = weighted(score, is_real, np.where(is_real, 1.0, 3.0))
    assert once == pytest.approx(tripled)
    assert np.isnan(weighted(score, is_real, is_real.astype(float)))


def test_a_paired_gain_is_surer_than_its_parts() -> None:
    rng = np.random.default_rng(10)
    fields = np.arange(6000) // 100
    hard = rng.normal(size=60)[fields]
    is_real = np.arange(6000) % 2 == 0
    better = is_real * 2.0 + hard + rng.normal(size=6000)
    worse = better + 0.5 * rng.normal(size=6000)
    statistic = curves.at_class_weights(curves.average_precision, 0.1)
    arguments: dict = {"n_bootstrap": 200, "rng": rng}
    gain = curves.paired_gain(statistic, better, worse, is_real, fields, **arguments)
    assert gain["low"] > 0
    low, high = curves.clustered_interval(
        statistic, better, is_real, np.ones(6000), fields, **arguments
    )
    assert gain["high"] - gain["low"] < 0.6 * (high - low)
    none = curves.paired_gain(statistic, better, better, is_real, fields, **arguments)
    assert none == {"value": 0, "low": 0, "high": 0}


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        curves.prior_weights(np.ones(5, bool), 0.5)
