"""A tiny real training: it learns, repeats itself, and its exports agree."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astrid_assets.detections.champion_files import record_sha256
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.detections.scoring import (
    Champion,
    ModelAlteredError,
    ModelMissingError,
    ModelUntrainedError,
    load_champion,
    score,
)
from astrid_assets.training import export, network
from astrid_assets.training.evaluate import area_under_roc
from astrid_assets.training.export import ExportDisagreesError, disagreement, write_champion
from astrid_assets.training.fit import Fitted, TooFewSamplesError, augment, fit
from astrid_assets.training.samples import TrainingSet
from astrid_tests.training.conftest import TINY_FIT, TINY_NETWORK
from astrid_tests.training.toy import toy_set

CALIBRATION = {
    "threshold": 0.5,
    "trailed_threshold": 0.5,
    "temperature": 1.5,
    "offset": -0.2,
    "prior_real": 0.5,
}


def _write(folder: Path, fitted: Fitted, samples: TrainingSet, **changes: object) -> Champion:
    arguments: dict = {
        "name": "unet",
        "version": "test",
        "check_cutouts": samples.cutouts[:40].astype(np.float32),
        "cutouts": CutoutSettings(),
        "calibration": CALIBRATION,
        "training": {"n_steps": fitted.n_steps},
        "evaluation": {"n_real": 10},
        "drift_reference": {},
    } | changes
    return write_champion(folder, fitted.model, **arguments)


@pytest.fixture(scope="module")
def champion_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_fit: Fitted, toy_samples: TrainingSet
) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    _write(folder, tiny_fit, toy_samples)
    return folder


@pytest.fixture
def copy(champion_folder: Path, tmp_path: Path) -> Path:
    for file in champion_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_training_learns_what_unseen_fields_show(tiny_fit: Fitted) -> None:
    unseen = toy_set(80, seed=99)
    logits, masks = network.predict(tiny_fit.model, unseen.cutouts.astype(np.float32))
    auc = area_under_roc(logits[:, 0].astype(float), unseen.is_real, np.ones(80))
    assert auc > 0.9
    assert tiny_fit.losses[-1] < 0.6 * tiny_fit.losses[0]
    assert masks.shape == (80, 63, 63)


def test_one_seed_gives_one_set_of_weights(toy_samples: TrainingSet) -> None:
    settings = replace(TINY_FIT, n_steps=6)
    hashes = {
        network.weights_sha256(
            fit(toy_samples, settings=settings, network_settings=TINY_NETWORK).model
        )
        for _ in range(2)
    }
    other = fit(toy_samples, settings=replace(settings, seed=8), network_settings=TINY_NETWORK)
    assert len(hashes) == 1
    assert network.weights_sha256(other.model) not in hashes


def test_too_few_samples_are_a_typed_failure(toy_samples: TrainingSet) -> None:
    few = toy_samples.select(np.arange(20))
    with pytest.raises(TooFewSamplesError) as caught:
        fit(few, settings=TINY_FIT, network_settings=TINY_NETWORK)
    assert caught.value.numbers == {"n_real": 10, "n_bogus": 10, "n_required": 20}


def test_the_shipped_architecture_is_small() -> None:
    assert network.count_parameters(network.build(network.NetworkSettings())) < 300_000


def test_keras_onnx_and_the_reloaded_file_agree(
    tiny_fit: Fitted, champion_folder: Path, toy_samples: TrainingSet
) -> None:
    cutouts = toy_samples.cutouts.astype(np.float32)
    champion = load_champion(champion_folder)
    assert disagreement(tiny_fit.model, champion.onnx, cutouts) <= 1e-5
    reloaded = network.load(champion_folder / "model.keras")
    assert network.weights_sha256(reloaded) == champion.weights_sha256
    with zipfile.ZipFile(champion_folder / "model.keras") as archive:
        text = archive.read("config.json").decode()
    assert "Lambda" not in text
    assert "pickle" not in text


def test_disagreement_stops_the_export(
    tmp_path: Path, tiny_fit: Fitted, toy_samples: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = network.build(TINY_NETWORK)
    network.set_weights(other, [w + 0.1 for w in network.get_weights(tiny_fit.model)])
    wrong = network.to_onnx(other)
    monkeypatch.setattr(export.network, "to_onnx", lambda model: wrong)
    with pytest.raises(ExportDisagreesError, match="differ by"):
        _write(tmp_path, tiny_fit, toy_samples)
    assert not (tmp_path / "champion.json").exists()


def test_scores_are_the_calibrated_keras_output(
    tiny_fit: Fitted, champion_folder: Path, toy_samples: TrainingSet
) -> None:
    cutouts = toy_samples.cutouts[:50].astype(np.float32)
    scores = score(load_champion(champion_folder), cutouts)
    logits, masks = network.predict(tiny_fit.model, cutouts)
    expected = 1 / (1 + np.exp(-(logits[:, 0].astype(float) / 1.5 - 0.2)))
    np.testing.assert_allclose(scores.probability, expected, atol=1e-5)
    np.testing.assert_allclose(scores.masks, masks, atol=1e-5)
    np.testing.assert_array_equal(scores.is_accepted, scores.probability >= 0.5)


def test_a_score_does_not_depend_on_its_company(
    champion_folder: Path, toy_samples: TrainingSet
) -> None:
    champion = load_champion(champion_folder)
    cutouts = toy_samples.cutouts[:45].astype(np.float32)
    together = score(champion, cutouts)
    backwards = score(champion, np.ascontiguousarray(cutouts[::-1]))
    alone = score(champion, cutouts[7:8])
    np.testing.assert_array_equal(together.probability, backwards.probability[::-1])
    assert alone.probability[0] == together.probability[7]
    np.testing.assert_array_equal(alone.masks[0], together.masks[7])
    nothing = score(champion, cutouts[:0])
    assert nothing.probability.shape == (0,)
    assert nothing.masks.shape == (0, 63, 63)


@pytest.mark.parametrize("bad", ["shape", "nan"])
def test_cutouts_that_are_none_are_refused(champion_folder: Path, bad: str) -> None:
    cutouts = np.zeros((2, 63, 63, 3) if bad == "nan" else (2, 61, 61, 3), np.float32)
    cutouts[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="cutouts must be"):
        score(load_champion(champion_folder), cutouts)


@pytest.mark.parametrize("name", ["champion.json", "model.onnx", "model.keras"])
def test_a_missing_file_is_an_error(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelMissingError, match=name):
        load_champion(copy)


@pytest.mark.parametrize("name", ["model.onnx", "model.keras"])
def test_an_altered_file_is_an_error(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelAlteredError, match="sha256"):
        load_champion(copy)


def test_an_altered_figure_is_an_error(copy: Path) -> None:
    record = json.loads((copy / "champion.json").read_text())
    record["threshold"] = 0.1
    (copy / "champion.json").write_text(json.dumps(record))
    with pytest.raises(ModelAlteredError, match="record_sha256"):
        load_champion(copy)
    (copy / "champion.json").write_text("{")
    with pytest.raises(ModelAlteredError, match="not JSON"):
        load_champion(copy)


@pytest.mark.parametrize("change", [("training", {"n_steps": 0}), ("evaluation", {})])
def test_an_untrained_model_is_never_used(copy: Path, change: tuple[str, dict]) -> None:
    record = json.loads((copy / "champion.json").read_text())
    record[change[0]] = change[1]
    record["record_sha256"] = record_sha256(record)
    (copy / "champion.json").write_text(json.dumps(record))
    with pytest.raises(ModelUntrainedError, match="never used"):
        load_champion(copy)


def test_augmentation_keeps_cutout_and_mask_together() -> None:
    rng = np.random.default_rng(5)
    images = np.zeros((64, 63, 63, 3), np.float32)
    masks = np.zeros((64, 63, 63), np.float32)
    images[:, 20, 35] = 3
    masks[:, 20, 35] = 1
    before = images.copy()
    out, out_masks = augment(images, masks, rng=rng, shift_max_pix=1, edge_share=0.0)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(out[..., 0] > 0, out_masks > 0)
    assert len(np.unique(np.argwhere(out_masks > 0)[:, 1:], axis=0)) > 30
