"""What each sensor asks for: new tiles, duplicates, growing and bad files, today's night."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa

from astrid_assets.detections.sensors import champion_in_use
from astrid_assets.exposures.ingest import ingest_folder
from astrid_assets.exposures.sensors import delivered_files, new_observations
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import make_field
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.render import render
from astrid_assets.partitions import TILE
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Observation, utc_now

OLD_S = 1_500_000_000


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> list[Path]:
    """Three small synthetic frames: two of one night, one taken today."""
    folder = tmp_path_factory.mktemp("frames")
    field = make_field(np.random.default_rng(1), size_deg=0.01, n_stars=12, n_galaxies=0)
    today = datetime.now(UTC)
    mjd_today = (today - datetime(1858, 11, 17, tzinfo=UTC)).total_seconds() / 86400
    paths = []
    for number, mjd in enumerate((58334.20, 58334.23, mjd_today - 0.02)):
        epoch = Epoch(shape=(96, 96), mjd_mid_tai=mjd)
        exposure = render(field, epoch, np.random.default_rng(number))
        path = to_fits(exposure, folder / f"frame_{number}.fits")
        os.utime(path, (OLD_S, OLD_S))
        paths.append(path)
    return paths


class World:
    """An installation of its own in a temporary folder."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.drop = folder / "incoming" / "synthetic"
        self.drop.mkdir(parents=True)
        self.database = DatabaseResource(url=f"sqlite:///{folder / 'astrid.sqlite'}")
        self.database.database.upgrade()
        self.store = ObjectStoreResource(url=(folder / "objects").as_uri())
        self.surveys = SurveysResource(
            drop_folder=str(folder / "incoming"), survey_folder=str(folder / "surveys")
        )

    def deliver(self, path: Path, name: str | None = None, *, is_old: bool = True) -> Path:
        target = self.drop / (name or path.name)
        shutil.copyfile(path, target)
        moment = OLD_S if is_old else time.time()
        os.utime(target, (moment, moment))
        return target

    def ingest(self):
        report = ingest_folder(
            self.surveys.drop_path,
            store=self.store.store,
            database=self.database.database,
            surveys=self.surveys.load(),
        )
        self.settle()
        return report

    def settle(self) -> None:
        """Let the observations' last change lie before the quiet period."""
        with self.database.database.session() as session:
            session.execute(
                sa.update(Observation).values(updated_at=datetime(2020, 1, 1, tzinfo=UTC))
            )

    def folder_tick(self, cursor: str | None = None):
        return self._tick(delivered_files, cursor, {"surveys": self.surveys})

    def database_tick(self, cursor: str | None = None):
        return self._tick(new_observations, cursor, {"database": self.database})

    def _tick(self, sensor, cursor, resources):
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources=resources
        ) as context:
            return sensor(context), context


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path))
    with dg.instance_for_test() as instance:
        made = World(tmp_path, instance)
        yield made
        made.database.database.dispose()


def test_empty_folder_asks_for_nothing(world):
    tick, _ = world.folder_tick()
    assert isinstance(tick, dg.SkipReason)


def test_settled_file_starts_one_ingest(world, frames):
    world.deliver(frames[0])
    tick, _ = world.folder_tick()
    assert len(tick.run_requests) == 1
    again, context = world.folder_tick(tick.cursor)
    assert isinstance(again, dg.SkipReason), "the same folder is not ingested twice"
    world.deliver(frames[1])
    third, _ = world.folder_tick(context.cursor or tick.cursor)
    assert len(third.run_requests) == 1
    assert third.run_requests[0].run_key != tick.run_requests[0].run_key


def test_growing_file_waits(world, frames):
    world.deliver(frames[0], is_old=False)
    tick, _ = world.folder_tick()
    assert isinstance(tick, dg.SkipReason)
    assert "still being written" in tick.skip_message


def test_new_tile_is_added_in_the_tick_that_requests_its_run(world, frames):
    world.deliver(frames[0])
    world.deliver(frames[1])
    world.ingest()
    tick, _ = world.database_tick()
    assert len(tick.run_requests) == 1, "one night and tile, one run"
    keys = tick.run_requests[0].partition_key.keys_by_dimension
    assert keys["night"] == "2018-08-03"
    (added,) = tick.dynamic_partitions_requests
    assert list(added.partition_keys) == [keys["tile"]]
    world.instance.add_dynamic_partitions(TILE, [keys["tile"]])
    with world.database.database.session() as session:
        session.execute(sa.update(Observation).values(updated_at=datetime(2020, 1, 2, tzinfo=UTC)))
    again, _ = world.database_tick(tick.cursor)
    assert not again.dynamic_partitions_requests
    assert again.run_requests[0].run_key == tick.run_requests[0].run_key, (
        "the same content is the same request, which Dagster runs once"
    )


def test_exposures_that_just_came_wait_for_quiet(world, frames):
    world.deliver(frames[0])
    world.ingest()
    with world.database.database.session() as session:
        session.execute(sa.update(Observation).values(updated_at=utc_now()))
    tick, _ = world.database_tick()
    assert isinstance(tick, dg.SkipReason)
    assert "wait for quiet" in tick.skip_message


def test_duplicate_delivery_asks_for_nothing_new(world, frames):
    world.deliver(frames[0])
    world.ingest()
    first, _ = world.database_tick()
    world.deliver(frames[0], "renamed.fits")
    report = world.ingest()
    assert report.counts()["n_known"] == 1
    second, _ = world.database_tick()
    assert [r.run_key for r in second.run_requests] == [r.run_key for r in first.run_requests]


def test_bad_file_is_quarantined_and_its_night_goes_on(world, frames):
    world.deliver(frames[0])
    world.deliver(frames[1])
    (world.drop / "note.fits").write_text("this is no FITS file\n" * 200)
    os.utime(world.drop / "note.fits", (OLD_S, OLD_S))
    report = world.ingest()
    assert report.counts()["n_ingested"] == 2
    assert [entry.name for entry in report.quarantined] == ["synthetic/note.fits"]
    tick, _ = world.database_tick()
    assert len(tick.run_requests) == 1


def test_tonights_exposure_gets_a_run_that_dagster_accepts(world, frames):
    world.deliver(frames[2])
    world.ingest()
    tick, _ = world.database_tick()
    night = tick.run_requests[0].partition_key.keys_by_dimension["night"]
    from astrid_assets.partitions import NIGHT_TILE

    nights = NIGHT_TILE.get_partitions_def_for_dimension("night").get_partition_keys()
    assert night in nights


@pytest.mark.parametrize("night", [date(2009, 3, 1), datetime.now(UTC).date() + timedelta(2)])
def test_night_outside_the_calendar_holds_up_no_other(world, frames, night):
    world.deliver(frames[0])
    world.deliver(frames[2])
    world.ingest()
    with world.database.database.session() as session:
        session.execute(
            sa.update(Observation).where(Observation.night < date(2019, 1, 1)).values(night=night)
        )
    world.settle()
    tick, _ = world.database_tick()
    (request,) = tick.run_requests
    assert request.partition_key.keys_by_dimension["night"] != night.isoformat()


def test_the_model_in_use_is_told_once(world):
    tick, _ = world._tick(champion_in_use, None, {"database": world.database})
    (event,) = tick.asset_events
    assert event.asset_key == dg.AssetKey("champion_model")
    world.instance.report_runless_asset_event(event)
    again, _ = world._tick(champion_in_use, None, {"database": world.database})
    assert isinstance(again, dg.SkipReason)


def test_without_schema_the_sensor_says_what_to_do(tmp_path):
    with dg.instance_for_test() as instance:
        database = DatabaseResource(url=f"sqlite:///{tmp_path / 'empty.sqlite'}")
        with dg.build_sensor_context(
            instance=instance, resources={"database": database}
        ) as context:
            tick = new_observations(context)
    assert isinstance(tick, dg.SkipReason)
    assert "astrid upgrade" in tick.skip_message
