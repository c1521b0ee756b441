"""Samples through the project's own stages on small fields, and the champion made of samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.detections.scoring import load_champion, score
from astrid_assets.training.build import ChampionSettings, build_champion
from astrid_assets.training.dataset import make_dataset, make_field, summary
from astrid_assets.training.degrade import broadened, misregistered, with_cosmic_rays
from astrid_assets.training.evaluate import EvaluationSettings
from astrid_assets.training.export import with_figures
from astrid_assets.training.features import FEATURES
from astrid_assets.training.field_samples import DatasetSettings
from astrid_assets.training.fields import FieldSettings
from astrid_assets.training.fit import TooFewSamplesError
from astrid_assets.training.labels import BOGUS_KINDS, REAL_KINDS
from astrid_assets.training.pairs import RawPair, make_raw_pair
from astrid_assets.training.samples import fold_of_night
from astrid_assets.training.truth import SourceSettings
from astrid_assets.training.warped import WarpSettings
from astrid_resources.images import Image, MaskPlane, has_any
from astrid_tests.training.conftest import TINY_FIT, TINY_NETWORK
from astrid_tests.training.toy import toy_set

SPEED = {"cutouts_per_s": 777.2, "batch": 256, "threads": 2, "cold_start_s": 0.5}
FIELDS = FieldSettings(
    n_nights=2, fields_per_night=1, sides_pix=(256,), stars_per_mpix=(1500.0, 1500.1),
    cosmic_rays_per_mpix=(100.0, 100.1), coadded_share=0.0, partial_share=0.0,
    sources=SourceSettings(per_mpix=(200.0, 200.1)),
)  # fmt: skip
SETTINGS = DatasetSettings(fields=FIELDS)


@pytest.fixture(scope="module")
def calibrated() -> tuple[RawPair, Image]:
    pair = make_raw_pair(1, replace(FIELDS, warps=WarpSettings(share=0.0)))
    return pair, calibrate(pair.science).image


def test_samples_come_from_the_stages_and_stand_where_sources_were_put(tmp_path: Path) -> None:
    seen: list[int] = []
    dataset = make_dataset(SETTINGS, store=tmp_path, report=lambda index, text: seen.append(index))
    samples = dataset.samples
    assert seen == [0, 1]
    assert samples.is_real.sum() >= 6
    assert np.isfinite(samples.cutouts).all()
    assert (np.isfinite(samples.snr) == samples.is_real).all()
    assert (np.abs(samples.significance) >= 4.9).all()
    assert samples.unpacked_masks()[samples.is_real, 29:34, 29:34].any(axis=(1, 2)).mean() > 0.8
    assert set(samples.kind[samples.is_real]) <= set(REAL_KINDS)
    assert set(samples.kind[~samples.is_real]) <= set(BOGUS_KINDS)
    measured = samples.features[:, FEATURES.index("significance")]
    np.testing.assert_allclose(measured, np.abs(samples.significance), rtol=1e-6)
    assert np.isfinite(samples.features[:, :2]).all()
    numbers = summary(samples)
    assert numbers["n_samples"] == len(samples) == sum(numbers["kinds"].values())
    assert 0 < numbers["n_sources"] <= numbers["n_real"]
    again = make_dataset(SETTINGS, store=tmp_path)
    assert again.samples.sha256 == samples.sha256
    larger = replace(SETTINGS, fields=replace(FIELDS, n_nights=3))
    stored = make_field(0, larger, tmp_path)
    assert stored.samples is not None
    assert (stored.samples.sky_field == 0).all()


def test_a_field_that_a_stage_refuses_is_counted_with_its_reason(tmp_path: Path) -> None:
    empty = replace(FIELDS, stars_per_mpix=(1.0, 1.01), galaxies_per_mpix=(1.0, 1.01), n_nights=1,
                    sources=SourceSettings(per_mpix=(1.0, 1.01)))  # fmt: skip
    result = make_field(0, replace(SETTINGS, fields=empty), tmp_path)
    assert result.samples is None
    assert result.skipped is not None
    assert result.skipped.endswith("Error")
    assert make_field(0, replace(SETTINGS, fields=empty), tmp_path) == result


def test_a_wrong_psf_keeps_its_flux(calibrated: tuple[RawPair, Image]) -> None:
    psf = calibrated[1].psf
    assert psf is not None
    wrong = broadened(psf, relative=0.3)
    assert wrong.centre.sum() == pytest.approx(1, abs=1e-4)
    assert 1.05 < wrong.fwhm_pix / psf.fwhm_pix < 1.3


def test_a_wrong_registration_moves_corners_and_not_the_centre(
    calibrated: tuple[RawPair, Image],
) -> None:
    image = calibrated[1]
    moved = misregistered(image, corner_pix=0.8)
    ny, nx = image.shape
    for x, y, expected in (((nx - 1) / 2, (ny - 1) / 2, 0.0), (0, 0, 0.8), (nx - 1, 0, 0.8)):
        back = image.wcs.all_world2pix(*moved.wcs.all_pix2world(x, y, 0), 0)
        assert np.hypot(back[0] - x, back[1] - y) == pytest.approx(expected, abs=0.08)


def test_cosmic_rays_put_back_are_as_delivered(calibrated: tuple[RawPair, Image]) -> None:
    pair, image = calibrated
    rng = np.random.default_rng(1)
    assert has_any(image.mask, MaskPlane.COSMIC_RAY).any()
    back = with_cosmic_rays(image, pair.science, share=1.0, rng=rng)
    assert not has_any(back.mask, MaskPlane.COSMIC_RAY).any()
    changed = back.data != image.data
    level = image.meta.sky_level_adu
    np.testing.assert_allclose(back.data[changed], pair.science.data[changed] - level, rtol=1e-4)
    assert back.data[changed].mean() > image.data[changed].mean()
    none = with_cosmic_rays(image, pair.science, share=0.0, rng=rng)
    np.testing.assert_array_equal(none.mask, image.mask)


def test_the_champion_is_built_from_samples_and_scores(tmp_path: Path) -> None:
    settings = ChampionSettings(
        network=TINY_NETWORK, fit=TINY_FIT, evaluation=EvaluationSettings(n_bootstrap=20)
    )
    samples = toy_set(240, seed=4)
    champion = build_champion(samples, tmp_path, settings, skipped={"TooFewStarsError": 1})
    assert load_champion(tmp_path) == champion
    record = champion.record
    assert record["training"]["training_set"]["sha256"] == samples.sha256
    assert record["training"]["skipped_fields"] == {"TooFewStarsError": 1}
    assert record["evaluation"]["n_fields"] == 6
    assert record["evaluation"]["auc_pr"]["value"] > 0.8
    assert record["keras_onnx_largest_difference"] <= 1e-5
    assert set(record["evaluation"]["models"]) == {
        "network",
        "logistic_regression",
        "boosted_trees",
    }
    assert {file.name for file in tmp_path.glob("*.png")} == {"worst_real.png", "worst_bogus.png"}
    with_more = with_figures(tmp_path, {"speed": SPEED})
    assert with_more.decision_sha256 == champion.decision_sha256
    assert with_more.record["evaluation"]["auc_pr"] == record["evaluation"]["auc_pr"]
    card = (tmp_path / "MODEL_CARD.md").read_text()
    for said in (champion.version, "777 cutouts per s", "| boosted trees |", "Reliability"):
        assert said in card
    scores = score(champion, samples.cutouts[:64].astype(np.float32))
    assert scores.probability[::2].mean() > scores.probability[1::2].mean()


def test_a_fold_without_both_classes_is_refused(tmp_path: Path) -> None:
    settings = ChampionSettings(network=TINY_NETWORK, fit=replace(TINY_FIT, n_steps=2))
    samples = toy_set(200, seed=4)
    lacking = samples.select(
        samples.is_real | [fold_of_night(night) != "calibration" for night in samples.night]
    )
    with pytest.raises(TooFewSamplesError, match="calibration fold"):
        build_champion(lacking, tmp_path, settings, skipped={})
