"""The champion in the package: whole, small, trained, evaluated, and quick enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from astrid_assets.detections.champion_files import SHIPPED_FOLDER
from astrid_assets.detections.cutouts import make_cutouts
from astrid_assets.detections.scoring import load_champion, score
from astrid_assets.training.card import CARD_FILE, model_card
from astrid_assets.training.ztf import TRIPLETS, evaluate_on_ztf


def test_it_is_whole_small_and_evaluated_on_nights_it_never_saw() -> None:
    champion = load_champion()
    record = champion.record
    assert sum(file.stat().st_size for file in SHIPPED_FOLDER.iterdir()) < 5_000_000
    assert record["n_parameters"] <= 500_000
    assert record["keras_onnx_largest_difference"] <= 1e-5
    folds = record["training"]["folds"]
    assert (
        sum(one["n_nights"] for one in folds.values())
        == (record["training"]["training_set"]["n_nights"])
    )
    evaluation = record["evaluation"]
    assert evaluation["n_sources"] >= 10_000
    assert evaluation["n_bogus"] >= 3_000
    assert evaluation["auc_pr"]["low"] > 0.98
    assert evaluation["false_positive_rate_at_1pct_fnr"]["value"] < 0.01
    assert evaluation["false_positive_rate_at_1pct_fnr"]["high"] < 0.015
    for which in ("", "_at_equal_classes"):
        assert evaluation[f"largest_reliability_error{which}"] < 0.08
    for baseline in ("logistic_regression", "boosted_trees"):
        assert evaluation["models"][baseline]["auc_pr_gain"]["low"] > 0
    assert evaluation["search"]["mpix"] >= 300
    assert 0 < champion.threshold < 1


def test_its_card_tells_what_its_record_tells() -> None:
    champion = load_champion()
    assert (SHIPPED_FOLDER / CARD_FILE).read_text() == model_card(champion.record)


def test_its_members_agree_where_it_is_sure() -> None:
    champion = load_champion()
    noise = np.random.default_rng(3).normal(size=(32, 63, 63, 3)).astype(np.float32)
    scores = score(champion, np.arcsinh(noise))
    assert scores.uncertainty.shape == (32,)
    assert scores.uncertainty.max() < 0.2


def test_a_point_source_is_accepted_and_a_dipole_and_a_spike_are_not() -> None:
    champion = load_champion()
    rng = np.random.default_rng(1)
    yy, xx = np.mgrid[:120, :120] - 60.0
    probabilities = {}
    for name in ("point", "dipole", "spike", "noise"):
        for k in range(8):
            fwhm = 2.5 + 0.4 * k
            sigma = fwhm / 2.3548
            psf = np.exp(-(xx**2 + yy**2) / 2 / sigma**2)
            unit = 15 / np.sqrt((psf**2).sum())
            star = 40 * unit * psf
            shape = {
                "point": unit * psf,
                "dipole": 0.06 * np.gradient(star, axis=1) * sigma,
                "spike": 15.0 * ((xx == 0) & (yy == 0)),
                "noise": 0 * psf,
            }[name]
            host = star if name == "dipole" else 0 * psf
            reference = host + 0.5 * rng.normal(size=psf.shape)
            science = host + shape + rng.normal(size=psf.shape)
            cutout = make_cutouts(
                science.astype(np.float32), reference.astype(np.float32),
                (science - reference).astype(np.float32), x=np.array([60.0]), y=np.array([60.0]),
                is_negative=np.array([False]), fwhm_pix=fwhm,
            )  # fmt: skip
            scores = score(champion, cutout)
            probabilities.setdefault(name, []).append(float(scores.probability[0]))
            if name == "point":
                assert scores.masks[0, 31, 31] > 0.5
    accepted = {
        name: np.mean(np.array(values) >= champion.threshold)
        for name, values in probabilities.items()
    }
    assert accepted["point"] >= 0.85
    assert max(accepted["dipole"], accepted["spike"], accepted["noise"]) == 0


def test_real_asteroids_are_told_from_real_artefacts(astrid_data: Path) -> None:
    if not (astrid_data / TRIPLETS).is_file():
        pytest.skip(f"{TRIPLETS} is not in ASTRID_DATA")
    result = evaluate_on_ztf(load_champion(), astrid_data)
    assert result["n_asteroids"] > 200
    assert result["auc_ours"]["value"] > result["auc_rb"]["value"]
    assert result["asteroids_accepted_at_80pct_bogus_rejected"] > 0.95
