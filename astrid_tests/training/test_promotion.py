"""The proof that a promotion needs: better, worse, equal, by luck, and at the working point."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from astrid_assets.training.evaluate import Sample
from astrid_assets.training.promotion import (
    PromotionSettings,
    Scored,
    compare,
    threshold_of,
)

QUICK = PromotionSettings(n_bootstrap=200)
N_FIELDS, N_PER_FIELD = 30, 40


def _sample(rng: np.random.Generator, n_fields: int = N_FIELDS) -> tuple[Sample, np.ndarray]:
    """Samples in fields that are alike within, and the latent truth that models see dimly."""
    n = n_fields * N_PER_FIELD
    fields = np.repeat(np.arange(n_fields), N_PER_FIELD)
    is_real = rng.random(n) < 0.5
    offset = rng.normal(0, 0.5, n_fields)[fields]
    sample = Sample(
        is_real=is_real,
        snr=np.where(is_real, rng.uniform(5, 30, n), np.nan),
        sky_field=fields,
        fwhm_pix=np.full(n, 4.0),
        on_host=np.zeros(n, bool),
    )
    return sample, np.where(is_real, 2.0, -2.0) + offset


def _scored(latent: np.ndarray, rng: np.random.Generator, *, noise: float) -> Scored:
    probability = 1 / (1 + np.exp(-(latent + rng.normal(0, noise, len(latent)))))
    return Scored(probability, probability >= 0.9)


def test_a_better_model_is_promoted_and_the_worse_one_never():
    rng = np.random.default_rng(1)
    sample, latent = _sample(rng)
    good, bad = _scored(latent, rng, noise=0.7), _scored(latent, rng, noise=2.5)
    up = compare(bad, good, sample, onnx_difference=1e-7, settings=QUICK)
    assert up.is_better
    assert up.gain.low > 0
    assert up.challenger_false_negative_rate < up.champion_false_negative_rate
    down = compare(good, bad, sample, onnx_difference=1e-7, settings=QUICK)
    assert not down.is_better
    assert down.gain.value == pytest.approx(-up.gain.value)
    assert down.gain.high < 0
    assert json.loads(json.dumps(up.numbers(), allow_nan=False))["is_better"] is True


def test_a_tie_is_no_promotion():
    rng = np.random.default_rng(2)
    sample, latent = _sample(rng)
    same = _scored(latent, rng, noise=1.0)
    found = compare(same, same, sample, onnx_difference=0.0, settings=QUICK)
    assert (found.gain.value, found.gain.low, found.gain.high) == (0.0, 0.0, 0.0)
    assert found.false_negative_excess.value <= 0
    (reason,) = found.reasons
    assert "lower bound of the gain" in reason


def test_luck_promotes_about_as_seldom_as_declared():
    promoted = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        sample, latent = _sample(rng)
        one, other = (_scored(latent, rng, noise=1.5) for _ in range(2))
        promoted += compare(one, other, sample, onnx_difference=0.0, settings=QUICK).is_better
    assert promoted <= 4, "of 40 equal pairs 1 passes the bound by chance"


def test_a_gain_must_exceed_delta():
    rng = np.random.default_rng(3)
    sample, latent = _sample(rng)
    good, bad = _scored(latent, rng, noise=0.7), _scored(latent, rng, noise=2.5)
    gain = compare(bad, good, sample, onnx_difference=0.0, settings=QUICK).gain
    strict = replace(QUICK, delta=gain.low + 1e-6)
    assert not compare(bad, good, sample, onnx_difference=0.0, settings=strict).is_better
    with pytest.raises(ValueError, match="delta must be at least 0"):
        PromotionSettings(delta=-0.01)


def test_a_higher_auc_with_more_lost_at_the_working_point_is_refused():
    rng = np.random.default_rng(4)
    sample, latent = _sample(rng)
    champion = _scored(latent, rng, noise=2.0)
    challenger = _scored(latent, rng, noise=0.8)
    top = challenger.probability.copy()
    bogus = np.flatnonzero(~sample.is_real)[:: N_PER_FIELD // 2]
    top[bogus[:12]] = np.linspace(0.9999, 0.99999, 12)
    spoiled = Scored(top, top >= 0.9)
    strict_champion = replace(champion, is_accepted=champion.probability > 0.985)
    found = compare(strict_champion, spoiled, sample, onnx_difference=0.0, settings=QUICK)
    assert found.false_negative_excess.value > 0
    assert any("false-positive rate" in reason for reason in found.reasons)


def test_an_export_that_disagrees_is_refused():
    rng = np.random.default_rng(5)
    sample, latent = _sample(rng)
    good, bad = _scored(latent, rng, noise=0.7), _scored(latent, rng, noise=2.5)
    for difference in (2e-5, float("nan")):
        found = compare(bad, good, sample, onnx_difference=difference, settings=QUICK)
        (reason,) = found.reasons
        assert "Keras and ONNX differ" in reason


def test_few_fields_prove_nothing():
    rng = np.random.default_rng(6)
    sample, latent = _sample(rng, n_fields=9)
    good, bad = _scored(latent, rng, noise=0.7), _scored(latent, rng, noise=2.5)
    found = compare(bad, good, sample, onnx_difference=0.0, settings=QUICK)
    assert found.n_fields == 9
    assert any("9 test fields" in reason for reason in found.reasons)


def test_faint_sources_do_not_count_and_inputs_stay_as_they_were():
    rng = np.random.default_rng(7)
    sample, latent = _sample(rng)
    faint = sample.is_real & (np.arange(len(latent)) % 3 == 0)
    sample = replace(sample, snr=np.where(faint, 4.0, sample.snr))
    good = _scored(latent, rng, noise=0.7)
    blind = Scored(np.where(faint, 0.0, good.probability), good.is_accepted & ~faint)
    before = blind.probability.copy()
    found = compare(good, blind, sample, onnx_difference=0.0, settings=QUICK)
    assert found.gain.value == 0
    assert found.n_real == int((sample.is_real & ~faint).sum())
    np.testing.assert_array_equal(blind.probability, before)


def test_one_class_alone_is_no_test_set():
    rng = np.random.default_rng(8)
    sample, latent = _sample(rng)
    good = _scored(latent, rng, noise=0.7)
    bogus = replace(sample, is_real=np.zeros(len(latent), bool))
    with pytest.raises(ValueError, match="both classes"):
        compare(good, good, bogus, onnx_difference=0.0, settings=QUICK)


@pytest.mark.parametrize(
    ("rate_max", "n_reaching"), [(0.0, 0), (0.19, 0), (0.2, 2), (0.5, 5), (0.99, 7), (1.0, 10)]
)
def test_the_threshold_is_the_lowest_that_so_many_bogus_reach(rate_max, n_reaching):
    bogus = np.array([0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.1, 0.1, 0.1])
    threshold = threshold_of(bogus, np.ones(10), rate_max=rate_max)
    assert int((bogus >= threshold).sum()) == n_reaching
