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
    at_prior,
    load_champion,
    run_onnx,
    score,
)
from astrid_assets.training import export, members, network
from astrid_assets.training.augment import NONE, AugmentSettings, augment
from astrid_assets.training.evaluate import area_under_roc
from astrid_assets.training.export import ExportDisagreesError, disagreement, write_champion
from astrid_assets.training.fit import Fitted, TooFewSamplesError, batches, fit
from astrid_assets.training.samples import TrainingSet
from astrid_tests.training.conftest import TINY_FIT, TINY_NETWORK
from astrid_tests.training.toy import toy_set

CALIBRATION = {
    "threshold": 0.5,
    "trailed_threshold": 0.5,
    "temperature": 1.5,
    "offset": -0.2,
    "curvature": 0.3,
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
    settings = replace(TINY_FIT, n_steps=6, n_members=1)
    hashes = {
        network.weights_sha256(
            fit(toy_samples, settings=settings, network_settings=TINY_NETWORK).model
        )
        for _ in range(2)
    }
    other = fit(toy_samples, settings=replace(settings, seed=8), network_settings=TINY_NETWORK)
    assert len(hashes) == 1
    assert network.weights_sha256(other.model) not in hashes


def test_an_interrupted_fit_goes_on(
    tmp_path: Path, toy_samples: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(TINY_FIT, n_members=1, n_steps=4, average_last_steps=0)
    arguments = {"network_settings": TINY_NETWORK, "store": tmp_path}
    first = fit(toy_samples, settings=settings, **arguments)
    made = []
    monkeypatch.setattr(members, "fit_member", lambda index, *_: made.append(index))
    again = fit(toy_samples, settings=settings, **arguments)
    assert not made
    assert network.weights_sha256(again.model) == network.weights_sha256(first.model)
    assert (again.losses, again.cpu_seconds) == (first.losses, first.cpu_seconds)
    for other in (replace(settings, n_steps=5), replace(settings, n_members=2)):
        made.clear()
        with pytest.raises(AttributeError):
            fit(toy_samples, settings=other, **arguments)
        assert made == [other.n_members - 1]
    with pytest.raises(AttributeError):
        fit(toy_samples.select(np.arange(60)), settings=settings, **arguments)


def test_too_few_samples_are_a_typed_failure(toy_samples: TrainingSet) -> None:
    few = toy_samples.select(np.arange(20))
    with pytest.raises(TooFewSamplesError) as caught:
        fit(few, settings=TINY_FIT, network_settings=TINY_NETWORK)
    assert caught.value.numbers == {"n_real": 10, "n_bogus": 10, "n_required": 20}


def test_the_shipped_architecture_is_small() -> None:
    settings = network.NetworkSettings()
    members = [network.build(settings, has_mask=k == 0, name=f"m{k}") for k in range(3)]
    assert network.count_parameters(network.ensemble(members)) < 500_000


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


def _saved(fitted: Fitted, folder: Path) -> Path:
    network.save(fitted.model, folder / "copy.keras")
    return folder / "copy.keras"


def test_disagreement_stops_the_export(
    tmp_path: Path, tiny_fit: Fitted, toy_samples: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = network.load(_saved(tiny_fit, tmp_path))
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
    logit = logits[:, 0].astype(float)
    expected = 1 / (1 + np.exp(-(logit / 1.5 + 0.3 * np.logaddexp(0, logit) - 0.2)))
    np.testing.assert_allclose(scores.probability, expected, atol=1e-5)
    np.testing.assert_allclose(scores.masks, masks, atol=1e-5)
    members = run_onnx(load_champion(champion_folder).onnx, cutouts).members
    assert members.shape == (50, TINY_FIT.n_members)
    np.testing.assert_allclose(members.mean(axis=1), logits[:, 0], atol=1e-4)
    each = members.astype(float)
    of_each = 1 / (1 + np.exp(-(each / 1.5 + 0.3 * np.logaddexp(0, each) - 0.2)))
    np.testing.assert_allclose(scores.uncertainty, of_each.std(axis=1), atol=1e-5)
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


def test_members_differ_and_processes_fit_what_one_process_does(toy_samples: TrainingSet) -> None:
    settings = replace(TINY_FIT, n_steps=2, average_last_steps=0)
    arguments: dict = {"settings": settings, "network_settings": TINY_NETWORK}
    steps: list[int] = []
    apart = fit(toy_samples, workers=2, report=lambda step, loss: steps.append(step), **arguments)
    together = fit(toy_samples, **arguments)
    assert network.weights_sha256(apart.model) == network.weights_sha256(together.model)
    assert sorted(steps) == [1, 2, 3, 4]
    raw = run_onnx(network.to_onnx(together.model), toy_samples.cutouts[:20].astype(np.float32))
    assert np.abs(raw.members[:, 0] - raw.members[:, 1]).max() > 1e-3


def test_rare_kinds_are_drawn_more_often_than_they_come(toy_samples: TrainingSet) -> None:
    kind = toy_samples.kind.copy()
    bogus = np.flatnonzero(~toy_samples.is_real)
    kind[bogus] = "star"
    kind[bogus[:4]] = "ghost"
    samples = replace(toy_samples, kind=kind, is_trailed=kind == "ghost")
    settings = replace(TINY_FIT, n_steps=20, augment=NONE)
    drawn = [batch.is_trailed for batch in batches(samples, settings, rng=np.random.default_rng(1))]
    share = np.concatenate(drawn).mean() * 2
    assert share == pytest.approx(2 / (2 + np.sqrt(len(bogus) - 4)), abs=0.06)


def test_a_prior_shifts_the_log_odds() -> None:
    p = np.array([0.0, 0.1, 0.5, 1.0])
    np.testing.assert_allclose(at_prior(p, declared=0.5, prior_real=0.5), p)
    moved = at_prior(p, declared=0.5, prior_real=0.1)
    np.testing.assert_allclose(moved, [0, 0.1 * 0.1 / (0.1 * 0.1 + 0.9 * 0.9), 0.1, 1])
    np.testing.assert_allclose(at_prior(moved, declared=0.1, prior_real=0.5), p)
    with pytest.raises(ValueError, match="between 0 and 1"):
        at_prior(p, declared=0.5, prior_real=1.0)


def _spots(n: int) -> tuple[np.ndarray, np.ndarray]:
    yy, xx = np.mgrid[:63, :63] - 31.0
    images = np.zeros((n, 63, 63, 3), np.float32)
    spot = np.exp(-((xx - 6) ** 2 + (yy + 8) ** 2) / 6)
    images[:] = np.arcsinh(20 * spot)[..., None]
    return images, np.broadcast_to(spot > 0.5, (n, 63, 63)).astype(np.float32)


def _centres(planes: np.ndarray) -> np.ndarray:
    yy, xx = np.mgrid[:63, :63] - 31.0
    total = planes.sum(axis=(1, 2))
    return np.stack([(planes * yy).sum(axis=(1, 2)), (planes * xx).sum(axis=(1, 2))]) / total


def test_augmentation_moves_cutout_and_mask_together_and_changes_no_input() -> None:
    images, masks = _spots(64)
    before = images.copy()
    settings = AugmentSettings(noise_share=0, edge_share=0, gain=0)
    out, out_masks = augment(images, masks, rng=np.random.default_rng(5), settings=settings)
    np.testing.assert_array_equal(images, before)
    science, reference, difference = (_centres(np.sinh(out[..., k])) for k in range(3))
    np.testing.assert_allclose(science, difference, atol=1e-3)
    np.testing.assert_allclose(science, _centres(out_masks), atol=0.15)
    away = np.abs(reference - science).max()
    assert 0.3 < away <= settings.registration_pix + 0.05
    np.testing.assert_allclose(np.hypot(*science), 10, atol=1.8)
    assert len(np.unique(np.round(np.degrees(np.arctan2(*science)) / 20))) >= 8
    same, same_masks = augment(images, masks, rng=np.random.default_rng(5), settings=NONE)
    np.testing.assert_allclose(same, images, atol=1e-5)
    np.testing.assert_array_equal(same_masks, masks)


def test_added_noise_keeps_the_noise_at_one_and_unknown_pixels_unknown() -> None:
    rng = np.random.default_rng(2)
    images = np.arcsinh(rng.standard_normal((100, 63, 63, 3))).astype(np.float32)
    images[:, :10] = 0
    masks = np.zeros((100, 63, 63), np.float32)
    settings = replace(NONE, noise=1.0, noise_share=1.0)
    out, _ = augment(images, masks, rng=rng, settings=settings)
    level = np.sinh(out)
    lost = (out == 0).all(axis=3).any(axis=(1, 2))
    assert lost.all()
    assert level[:, 12:50, 12:50].std(axis=(0, 1, 2)) == pytest.approx([1, 1, 1], abs=0.02)
    changed = np.abs(out - images).max(axis=(0, 1, 2)) > 0.1
    assert changed[0]
    assert changed[2]
