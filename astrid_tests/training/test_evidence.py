"""Groups, baselines and the search: shares, intervals and counts against what was put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from astrid_assets.training import search as searching
from astrid_assets.training.baselines import BASELINES, compared
from astrid_assets.training.evaluate import EvaluationSettings, Sample, area_under_roc
from astrid_assets.training.field_samples import DatasetSettings
from astrid_assets.training.fields import FieldSettings
from astrid_assets.training.groups import Grouping
from astrid_assets.training.pictures import kinds_png, worst_png
from astrid_assets.training.search import SearchSettings, poisson_interval, search
from astrid_assets.training.truth import SourceSettings
from astrid_assets.training.ztf import seeing_pix
from astrid_tests.detections.fixed_model import fixed_champion
from astrid_tests.training.toy import toy_set


def test_shares_of_groups_and_their_intervals() -> None:
    rng = np.random.default_rng(1)
    fields = np.arange(4000) // 40
    value = rng.uniform(0, 2, 4000)
    accepted = rng.random(4000) < np.where(value < 1, 0.9, 0.5)
    of = Grouping(accepted, fields)
    low, high = of.binned(value, (0.0, 1.0, 2.0), np.ones(4000, bool))
    assert low["n"] + high["n"] == 4000
    for row, expected in ((low, 0.9), (high, 0.5)):
        assert row["low_95"] - 0.02 < expected < row["high_95"] + 0.02
        error = np.sqrt(expected * (1 - expected) / row["n"])
        assert row["high_95"] - row["low_95"] == pytest.approx(2 * 1.96 * error, rel=0.3)
    named = of.named(np.where(value < 1, "a", "b"), np.ones(4000, bool))
    assert named["a"]["n_accepted"] == low["n_accepted"]
    assert of.share(np.zeros(4000, bool)) == {"n": 0, "n_accepted": 0, "share_accepted": None}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_from_features_with_gaps(name: str) -> None:
    rng = np.random.default_rng(2)
    is_real = rng.random(1500) < 0.5
    features = rng.normal(size=(1500, 4)).astype(np.float32)
    features[:, 1] += 2 * is_real
    features[rng.random((1500, 4)) < 0.1] = np.nan
    scorer = BASELINES[name](features[:1000], is_real[:1000])
    area = area_under_roc(scorer(features[1000:]), is_real[1000:], np.ones(500))
    assert 0.8 < area < 0.95


def test_the_table_of_models_is_paired() -> None:
    rng = np.random.default_rng(3)
    is_real = np.arange(3000) % 2 == 0
    better = 3.0 * is_real + rng.normal(size=3000)
    logits = {"network": better, "worse": better + rng.normal(size=3000)}
    sample = Sample(
        is_real=is_real, snr=np.where(is_real, 9.0, np.nan), sky_field=np.arange(3000) // 60,
        fwhm_pix=np.full(3000, 3.0), on_host=np.zeros(3000, bool),
    )  # fmt: skip
    table = compared(
        logits, logits, known_is_real=is_real, sample=sample, first="network",
        settings=EvaluationSettings(n_bootstrap=50),
    )  # fmt: skip
    assert "auc_pr_gain" not in table["network"]
    assert table["worse"]["auc_pr_gain"]["low"] > 0
    assert table["network"]["log_loss"] < table["worse"]["log_loss"]


@pytest.mark.parametrize(
    ("n", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)]
)
def test_poisson_intervals_are_garwoods(n: int, low: float, high: float) -> None:
    assert poisson_interval(n) == pytest.approx((low, high), rel=1e-3)


def test_an_exposure_of_many_alerts_has_its_own_seeing() -> None:
    table = pd.DataFrame({
        "jd": [1.0] * 10 + [2.0] * 9 + [3.0] * 11,
        "fwhm": [4.0] * 9 + [1.2] + [9.0] * 9 + [2.0] * 11,
    })  # fmt: skip
    np.testing.assert_array_equal(seeing_pix(table), [4.0] * 19 + [2.0] * 11)


def test_pictures_are_the_same_bytes_again() -> None:
    samples = toy_set(24, seed=5)
    assert kinds_png(samples) == kinds_png(samples)
    sheet = worst_png(samples, np.linspace(0, 1, 24), is_real=True, snr_min=6.0)
    assert sheet.startswith(b"\x89PNG")
    assert sheet != worst_png(samples, np.linspace(0, 1, 24), is_real=False, snr_min=6.0)


def test_a_search_counts_what_model_and_rules_leave(tmp_path: Path) -> None:
    fields = FieldSettings(
        fields_per_night=1, sides_pix=(256,), stars_per_mpix=(1500.0, 1500.1), coadded_share=0.0,
        partial_share=0.0,
        sources=SourceSettings(per_mpix=(200.0, 200.1), trail_share=0.0, negative_share=0.0),
    )  # fmt: skip
    settings = SearchSettings(
        mpix=0.1, n_fields_max=6, dataset=DatasetSettings(views_per_field=1, fields=fields)
    )
    everything = search(fixed_champion(accepts=True), settings, store=tmp_path)
    stored = sorted(tmp_path.iterdir())
    nothing = search(fixed_champion(accepts=False), settings, store=tmp_path)
    assert sorted(tmp_path.iterdir()) == stored
    assert everything["mpix"] == nothing["mpix"] >= 0.1
    assert everything["n_false_positives"] == everything["n_after_rules"]
    assert nothing["n_false_positives"] == 0
    for row, other in zip(everything["loss"], nothing["loss"], strict=True):
        assert row["n_after_rules"] == other["n_after_rules"] <= row["n_found"]
        assert (row["lost_to_model"], other["lost_to_model"]) == (
            (0.0, 1.0) if row["n_after_rules"] else (None, None)
        )
    assert everything["n_sources"] >= 3
    shipped = searching.SearchSettings().dataset.fields
    assert shipped.seed != FieldSettings().seed
