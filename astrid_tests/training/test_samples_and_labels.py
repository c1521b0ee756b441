"""What is real, what bogus, what neither; the split; the form on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.training.artefacts import Artefact, ArtefactSettings
from astrid_assets.training.field_samples import thinned
from astrid_assets.training.fields import FieldSettings, make_night
from astrid_assets.training.labels import (
    BOGUS_KINDS,
    LabelSettings,
    bogus_kinds,
    distance_to_truth,
    label_candidates,
    truth_masks,
)
from astrid_assets.training.pairs import Scene, make_raw_pair
from astrid_assets.training.samples import (
    FOLDS,
    concatenate,
    fold,
    fold_of_night,
    load_samples,
    save_samples,
)
from astrid_assets.training.truth import InjectedTruth, SourceSettings
from astrid_assets.training.warped import WarpSettings
from astrid_tests.training.toy import toy_set

SMALL = FieldSettings(
    sides_pix=(220,), n_nights=10, coadded_share=0.0, partial_share=0.0,
    sources=SourceSettings(per_mpix=(300, 300.1)),
)  # fmt: skip
NO_ARTEFACTS = ArtefactSettings(
    spike_share_of_fields=0, ghosts=0, compact_ghosts=0, satellites=0, flashes=0, columns=0,
    hot_pixels=0,
)  # fmt: skip


def _truth(
    x: list[float], y: list[float], *, length=0.0, angle=0.0, negative=False
) -> InjectedTruth:
    n = len(x)
    return InjectedTruth(
        x=np.array(x),
        y=np.array(y),
        flux_adu=np.full(n, 100.0),
        length_pix=np.broadcast_to(np.asarray(length, float), n).copy(),
        angle_rad=np.broadcast_to(np.asarray(angle, float), n).copy(),
        is_negative=np.broadcast_to(negative, n).copy(),
        on_host=np.zeros(n, bool),
        on_star=np.zeros(n, bool),
    )


def _label(x: list[float], y: list[float], truth: InjectedTruth, **changes: object) -> tuple:
    n = len(x)
    arguments: dict = {
        "is_negative": np.zeros(n, bool), "significance": np.full(n, 6.0), "fwhm_pix": 4.0,
        "settings": LabelSettings(),
    } | changes  # fmt: skip
    labels = label_candidates(np.array(x), np.array(y), truth=truth, **arguments)
    return labels.is_real.tolist(), labels.is_kept.tolist(), labels.source.tolist()


def test_distance_to_points_and_to_trails() -> None:
    truth = _truth([10, 10], [20, 20], length=[0, 8], angle=[0, np.pi / 2])
    distance = distance_to_truth(np.array([13.0, 10.0, 10.0]), np.array([24.0, 24.0, 26.0]), truth)
    np.testing.assert_allclose(distance, [[5, 3], [4, 0], [6, 2]], atol=1e-12)


def test_near_is_real_far_is_bogus_between_is_neither() -> None:
    truth = _truth([50.0], [50.0])
    real, kept, source = _label([51.0, 56.0, 80.0], [50.5, 50.0, 50.0], truth)
    assert real == [True, False, False]
    assert kept == [True, False, True]
    assert source == [0, -1, -1]


def test_the_wrong_sign_is_never_real() -> None:
    real, kept, _ = _label([50.0], [50.0], _truth([50.0], [50.0], negative=True))
    assert (real, kept) == ([False], [False])
    real, _, _ = _label(
        [50.0], [50.0], _truth([50.0], [50.0], negative=True), is_negative=np.array([True])
    )
    assert real == [True]


def test_a_point_has_one_candidate_a_trail_may_have_several() -> None:
    two = {"x": [49.5, 51.0], "y": [50.0, 50.0], "significance": np.array([6.0, 9.0])}
    real, kept, _ = _label(truth=_truth([50.0], [50.0]), **two)
    assert (real, kept) == ([False, True], [False, True])
    real, _, _ = _label(truth=_truth([50.0], [50.0], length=12.0), **two)
    assert real == [True, True]


def test_no_candidates_and_no_truth() -> None:
    assert _label([], [], _truth([50.0], [50.0])) == ([], [], [])
    assert _label([5.0], [5.0], _truth([], [])) == ([False], [True], [-1])


def test_masks_lie_where_the_source_is_in_the_cutout() -> None:
    arguments = {
        "snr": np.array([9.0]), "scale": 1.0, "fwhm_pix": 4.0, "cutouts": CutoutSettings(),
        "labels": LabelSettings(),
    }  # fmt: skip
    here, no = (np.array([50.0]), np.array([50.0])), np.array([False])
    mask = truth_masks(*here, no, _truth([55.0], [47.0]), **arguments)[0]
    yy, xx = np.nonzero(mask)
    assert (xx.mean(), yy.mean()) == (36.0, 28.0)
    assert mask.sum() == pytest.approx(np.pi * 2.4**2, abs=4)
    trail = truth_masks(*here, no, _truth([50.0], [50.0], length=20.0), **arguments)[0]
    assert trail.sum() == pytest.approx(np.pi * 2.4**2 + 20 * 4.8, rel=0.15)
    for hidden in (_truth([55.0], [47.0], negative=True), _truth([95.0], [50.0])):
        assert not truth_masks(*here, no, hidden, **arguments).any()
    arguments["snr"] = np.array([2.0])
    assert not truth_masks(*here, no, _truth([55.0], [47.0]), **arguments).any()


def test_a_view_full_of_bogus_gives_a_random_choice_of_them() -> None:
    samples = toy_set(60, seed=2)
    assert thinned(samples, 30, np.random.default_rng(1)) is samples
    assert thinned(samples, None, np.random.default_rng(1)) is samples
    few = thinned(samples, 12, np.random.default_rng(1))
    assert (int(few.is_real.sum()), int((~few.is_real).sum())) == (30, 12)
    assert few.sha256 == thinned(samples, 12, np.random.default_rng(1)).sha256
    assert few.sha256 != thinned(samples, 12, np.random.default_rng(2)).sha256
    assert (np.diff(few.source[few.is_real]) > 0).all()


def test_no_night_and_no_field_stands_on_both_sides_of_the_split() -> None:
    samples = toy_set(400, seed=1)
    parts = {name: fold(samples, name) for name in FOLDS}
    assert sum(len(part) for part in parts.values()) == len(samples)
    for unit in ("night", "sky_field"):
        seen = [set(getattr(part, unit).tolist()) for part in parts.values()]
        assert sum(map(len, seen)) == len(set.union(*seen))
    assert {fold_of_night(night) for night in range(10)} == set(FOLDS)
    with pytest.raises(ValueError, match="a fold is one of"):
        fold(samples, "validation")


def test_fields_are_a_function_of_seed_and_index_and_share_their_night() -> None:
    pair, again, other = (make_raw_pair(k, SMALL) for k in (3, 3, 2))
    np.testing.assert_array_equal(pair.science.data, again.science.data)
    np.testing.assert_array_equal(pair.references[0].data, again.references[0].data)
    assert pair.night == other.night == make_night(0, SMALL)
    assert pair.science.wcs.wcs.crval[0] != other.science.wcs.wcs.crval[0]
    changed = make_raw_pair(3, replace(SMALL, seed=5))
    assert changed.night != pair.night


@pytest.mark.parametrize("warp", ["none", "linear", "turned"])
def test_sources_stand_where_the_truth_says_also_after_warping(warp: str) -> None:
    sources = SourceSettings(
        per_mpix=(300, 300.1), snr=(300.0, 400.0), trail_share=0.0, negative_share=0.0,
        on_galaxy_share=0.0, near_star_share=0.0, variable_share=0.0,
    )  # fmt: skip
    settings = replace(
        SMALL, sources=sources, artefacts=NO_ARTEFACTS, stars_per_mpix=(1.0, 1.0001),
        galaxies_per_mpix=(1.0, 1.0001), cosmic_rays_per_mpix=(0.1, 0.11), bad_columns_max=0,
        fwhm_pix=(3.0, 3.01),
        warps=WarpSettings(share=float(warp != "none"), linear_share=float(warp == "linear")),
    )  # fmt: skip
    pair = make_raw_pair(1, settings)
    data = pair.science.data - np.nanmedian(pair.science.data)
    ny, nx = data.shape
    inside = (pair.truth.x > 20) & (pair.truth.x < nx - 20)
    inside &= (pair.truth.y > 20) & (pair.truth.y < ny - 20)
    offsets, ratios = [], []
    for k in np.flatnonzero(inside):
        x, y = pair.truth.x[k], pair.truth.y[k]
        x0, y0 = round(x), round(y)
        stamp = data[y0 - 6 : y0 + 7, x0 - 6 : x0 + 7]
        if not np.isfinite(stamp).all():
            continue
        j, i = np.mgrid[-6:7, -6:7]
        offsets.append([
            (stamp * i).sum() / stamp.sum() - (x - x0),
            (stamp * j).sum() / stamp.sum() - (y - y0),
        ])  # fmt: skip
        ratios.append(stamp.sum() / pair.truth.flux_adu[k])
    assert len(offsets) >= 3
    assert np.abs(np.median(offsets, axis=0)).max() < 0.1
    assert 0.8 < np.median(ratios) < 1.1
    assert pair.science.meta.is_resampled == (warp != "none")
    assert pair.science.is_sky_subtracted == (warp != "none")


def test_warped_noise_is_correlated_as_declared() -> None:
    empty = replace(
        SMALL, artefacts=NO_ARTEFACTS, stars_per_mpix=(1.0, 1.0001), bad_columns_max=0,
        galaxies_per_mpix=(1.0, 1.0001), cosmic_rays_per_mpix=(0.1, 0.11),
        sources=SourceSettings(per_mpix=(1, 1.01)),
    )  # fmt: skip
    neighbours = {}
    for share in (0.0, 1.0):
        warps = WarpSettings(share=share, linear_share=1.0, linear_shift_pix=(0.5, 0.5001))
        data = make_raw_pair(1, replace(empty, warps=warps)).science.data[20:-20, 20:-20]
        data = data - np.median(data)
        neighbours[share] = float(np.mean(data[:, 1:] * data[:, :-1]) / np.mean(data**2))
    assert neighbours[0.0] == pytest.approx(0, abs=0.05)
    assert neighbours[1.0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_artefacts_lie_where_their_codes_say(share: float) -> None:
    bright = replace(
        NO_ARTEFACTS, hot_pixels=200, hot_pixel_sigma=(200, 300), flashes=20,
        satellite_sigma=(50, 60),
    )  # fmt: skip
    settings = replace(
        SMALL, stars_per_mpix=(1.0, 1.0001), galaxies_per_mpix=(1.0, 1.0001), bad_columns_max=0,
        cosmic_rays_per_mpix=(0.1, 0.11), sources=SourceSettings(per_mpix=(1, 1.01)),
        artefacts=bright, warps=WarpSettings(share=share, linear_share=0.0),
    )  # fmt: skip
    pair = make_raw_pair(2, settings)
    data = pair.science.data
    noise = np.nanstd(data[pair.scene.artefacts == Artefact.NONE])
    seen = np.nan_to_num(data - np.nanmedian(data)) > 30 * noise
    assert seen.sum() >= 10
    near = np.zeros_like(seen)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near |= np.roll(pair.scene.artefacts > 0, (dy, dx), axis=(0, 1))
    assert near[seen].mean() > 0.95


def test_kinds_of_bogus_follow_what_truly_lies_there() -> None:
    codes = np.zeros((200, 200), np.uint8)
    codes[50, 60] = Artefact.COSMIC_RAY
    codes[:, 120] = Artefact.BAD_COLUMN
    scene = Scene(
        artefacts=codes, reference_artefacts=np.zeros_like(codes), x=np.array([30.0, 30.0, 80.0]),
        y=np.array([30.0, 150.0, 80.0]), flux_adu=np.array([900.0, 900.0, 10.0]),
        is_star=np.array([True, False, True]),
    )  # fmt: skip
    x = np.array([62.0, 121.0, 33.0, 33.0, 80.0, 2.0])
    y = np.array([51.0, 100.0, 31.0, 151.0, 80.0, 100.0])
    kinds = bogus_kinds(x, y, scene, fwhm_pix=4.0, flux_error=10.0, settings=LabelSettings())
    assert kinds.tolist() == ["cosmic_ray", "bad_column", "star", "galaxy", "noise", "edge"]
    assert set(kinds) <= set(BOGUS_KINDS)


def test_the_set_on_disk_is_the_set(tmp_path: Path) -> None:
    samples = toy_set(20, seed=2)
    save_samples(samples, tmp_path / "set.npz", record={"seed": 2})
    loaded, record = load_samples(tmp_path / "set.npz")
    assert loaded is not None
    assert loaded.sha256 == samples.sha256
    assert record == {"seed": 2}
    assert concatenate([loaded.select(np.arange(8)), loaded.select(np.arange(8, 20))]).sha256 == (
        samples.sha256
    )
    save_samples(None, tmp_path / "none.npz", record={"skipped": "X"})
    assert load_samples(tmp_path / "none.npz") == (None, {"skipped": "X"})
    changed = replace(loaded, is_real=~loaded.is_real)
    assert changed.sha256 != samples.sha256
    with pytest.raises(ValueError, match="must have length"):
        replace(loaded, night=loaded.night[:3])
    with pytest.raises(ValueError, match="at least one part"):
        concatenate([])
