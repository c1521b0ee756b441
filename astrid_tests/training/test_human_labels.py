"""What people said joins the training set: by position, once, and on one side of the split."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.training.human_labels import labelled_samples
from astrid_assets.training.labelled import LabelledSettings, centre_masks, split_labels
from astrid_assets.training.samples import FOLDS, fold_of_night
from astrid_resources.database import Detection, Observation, ValidationEvent
from astrid_tests.catalog.world import Seen, World

RA, DEC = 150.0, 2.0
ARCSEC = 1 / 3600


@pytest.fixture
def world(tmp_path):
    made = World.new(tmp_path / "world")
    yield made
    made.database.dispose()


def _expose(world: World, night: date, *, name: str = "a") -> uuid.UUID:
    seen = (Seen(RA, DEC, 3000.0), Seen(RA + 4 * ARCSEC, DEC, -2000.0), Seen(RA, DEC + 5 * ARCSEC))
    return world.expose(
        name, RA, DEC, when=f"{night}T23:00:00", night=night, seen=seen,
        reference=world.reference(RA, DEC),
    )  # fmt: skip


def _label(world: World, name: str, rank: int, *, is_valid: bool, level: str = "high") -> None:
    with world.database.session() as session:
        found = session.scalars(
            sa.select(Detection)
            .join(Observation, Observation.id == Detection.observation_id)
            .where(Observation.observation_id == name)
            .order_by(Detection.pixel_y, Detection.pixel_x)
        ).all()[rank]
        session.add(
            ValidationEvent(
                detection_id=found.id, ra=found.ra, dec=found.dec, mjd_mid=found.mjd_mid,
                validator_id="ada", is_valid=is_valid, confidence_level=level,
            )
        )  # fmt: skip


def _night_of_the_cells_fold() -> date:
    """A night that falls into the fold of the sky at (RA, DEC)."""
    start = date(2020, 1, 1)
    for day in (start + timedelta(k) for k in range(20)):
        if split_labels(*(np.array([v]) for v in (RA, DEC, 58849.0)), [day]).is_kept[0]:
            return day
    raise AssertionError("no night of twenty falls into the fold")


def test_without_labels_nothing_joins(world):
    _expose(world, date(2020, 1, 1))
    found = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    assert found.samples is None
    assert found.counts["joined"] == 0


def test_labels_become_samples_of_what_the_pipeline_saw(world):
    night = _night_of_the_cells_fold()
    _expose(world, night)
    _label(world, "a", 0, is_valid=True)
    _label(world, "a", 1, is_valid=False)
    _label(world, "a", 2, is_valid=True, level="low")
    found = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    samples = found.samples
    assert found.counts == {"unsure": 1, "no_candidate": 0, "split": 0, "joined": 2}
    assert sorted(samples.is_real.tolist()) == [False, True]
    real, bogus = np.argmax(samples.is_real), np.argmin(samples.is_real)
    assert samples.cutouts.shape == (2, 63, 63, 3)
    assert np.isfinite(samples.cutouts).all()
    assert np.isfinite(samples.snr[real])
    assert np.isnan(samples.snr[bogus])
    assert samples.unpacked_masks()[real, 31, 31] == 1
    assert samples.unpacked_masks()[bogus].sum() == 0
    assert set(samples.kind) == {"human"}
    difference = samples.cutouts[real, :, :, 2].astype(float)
    assert np.unravel_index(np.argmax(np.abs(difference)), difference.shape) == (31, 31)
    again = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    assert again.samples.sha256 == samples.sha256


def test_the_last_word_counts(world):
    _expose(world, _night_of_the_cells_fold())
    _label(world, "a", 0, is_valid=True)
    _label(world, "a", 0, is_valid=False)
    (is_real,) = labelled_samples(
        world.database, world.store, cutouts=CutoutSettings()
    ).samples.is_real
    assert not is_real


def test_a_label_follows_the_sky_through_a_rerun_and_falls_where_nothing_is(world):
    night = _night_of_the_cells_fold()
    _expose(world, night)
    _label(world, "a", 0, is_valid=True)
    before = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    with world.database.session() as session:
        session.execute(sa.text("UPDATE candidates SET dec = dec + 0.2 / 3600"))
    moved = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    assert moved.counts == before.counts
    with world.database.session() as session:
        session.execute(sa.text("UPDATE candidates SET dec = dec + 3.0 / 3600"))
    gone = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    assert gone.samples is None
    assert gone.counts["no_candidate"] == 1


def test_a_night_of_another_fold_than_its_sky_does_not_join(world):
    night = _night_of_the_cells_fold()
    other = next(
        day
        for day in (night + timedelta(k) for k in range(10))
        if fold_of_night(day.toordinal()) != fold_of_night(night.toordinal())
    )
    _expose(world, other)
    _label(world, "a", 0, is_valid=True)
    found = labelled_samples(world.database, world.store, cutouts=CutoutSettings())
    assert found.samples is None
    assert found.counts["split"] == 1


def test_no_object_no_piece_of_sky_and_no_night_stands_on_two_sides():
    rng = np.random.default_rng(1)
    n_objects, n_visits = 300, 8
    ra = np.repeat(rng.uniform(0, 360, n_objects), n_visits)
    dec = np.repeat(np.degrees(np.arcsin(rng.uniform(-1, 1, n_objects))), n_visits)
    dec = np.clip(dec + rng.normal(0, 0.2, len(dec)) * ARCSEC, -90, 90)
    days = rng.integers(0, 400, len(ra))
    nights = [date(2021, 1, 1) + timedelta(int(day)) for day in days]
    split = split_labels(ra, dec, 59215.0 + days, nights)
    objects = np.repeat(np.arange(n_objects), n_visits)
    sides: dict[str, dict[str, set]] = {
        what: {name: set() for name in FOLDS} for what in ("object", "cell", "night")
    }
    for i in np.flatnonzero(split.is_kept):
        side = fold_of_night(int(split.night[i]))
        sides["object"][side].add(objects[i])
        sides["cell"][side].add(split.sky_field[i])
        sides["night"][side].add(split.night[i])
    for of_folds in sides.values():
        assert all(of_folds.values()), "every fold has its share"
        assert sum(map(len, of_folds.values())) == len(set().union(*of_folds.values()))
    assert 0.3 < split.is_kept.mean() < 0.5
    assert split.sky_field.min() >= 1_000_000, "no number of the synthetic sky"
    shuffled = rng.permutation(len(ra))
    again = split_labels(
        ra[shuffled], dec[shuffled], (59215.0 + days)[shuffled], [nights[i] for i in shuffled]
    )
    np.testing.assert_array_equal(again.is_kept, split.is_kept[shuffled])


def test_an_object_on_the_border_of_two_cells_is_one():
    settings = LabelledSettings()
    dec = 45.0 + np.linspace(-3, 3, 4001)
    cells = split_labels(
        np.full(4001, 10.0), dec, np.zeros(4001), [date(2020, 1, 1)] * 4001, settings=settings
    ).sky_field
    border = int(np.flatnonzero(np.diff(cells))[0])
    near = dec[border] + np.array([0.0, 5.4])[::-1] * ARCSEC
    apart = split_labels(
        np.full(2, 10.0), near, np.array([1.0, 2.0]), [date(2020, 1, 1)] * 2, settings=settings
    )
    low, high = dec[border], dec[border + 1]
    while high - low > 0.5 * ARCSEC:
        middle = (low + high) / 2
        own = split_labels(np.array([10.0]), np.array([middle]), np.zeros(1), [date(2020, 1, 1)])
        low, high = (middle, high) if own.sky_field[0] == cells[border] else (low, middle)
    one = split_labels(
        np.full(2, 10.0), np.array([low, high]), np.array([1.0, 2.0]), [date(2020, 1, 1)] * 2
    )
    assert one.source[0] == one.source[1]
    assert one.sky_field[0] == one.sky_field[1] == cells[border]
    assert apart.source[0] != apart.source[1]


def test_masks_are_a_disc_of_real_sources_whatever_the_seeing():
    settings = CutoutSettings()
    packed = centre_masks(
        np.array([True, True, False]), fwhm_pix=np.array([2.0, 6.0, 4.0]), cutouts=settings
    )
    masks = np.unpackbits(packed, axis=1, count=settings.size_pix**2).sum(axis=1)
    assert masks[0] == masks[1] == pytest.approx(np.pi * (0.6 * 4) ** 2, rel=0.2)
    assert masks[2] == 0
