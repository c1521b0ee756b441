"""When a night is taken up again: facts that change, rows swapped, content that returns."""

from __future__ import annotations

import dagster as dg
import pytest
import sqlalchemy as sa

from astrid_assets.exposures.assets import raw_exposures
from astrid_assets.exposures.survey import SurveyConfig
from astrid_assets.partitions import TILE, partition_key
from astrid_resources.database import Observation, ProductRow
from astrid_resources.io_managers import ProductsIOManager
from astrid_tests.graph import test_sensors
from astrid_tests.graph.test_sensors import World

world, frames = test_sensors.world, test_sensors.frames


def _observations(world: World) -> list[Observation]:
    with world.database.database.read() as session:
        return list(session.scalars(sa.select(Observation).order_by(Observation.mjd_mid)))


def _requested(world: World) -> list[str]:
    tick, _ = world.database_tick()
    return [] if isinstance(tick, dg.SkipReason) else [r.run_key for r in tick.run_requests]


def _take_up(world: World) -> None:
    """Run `raw_exposures` of the one night and tile."""
    row = _observations(world)[0]
    if not world.instance.has_dynamic_partition(TILE, row.tile):
        world.instance.add_dynamic_partitions(TILE, [row.tile])
    dg.materialize(
        [raw_exposures],
        instance=world.instance,
        partition_key=partition_key(row.night, row.tile),
        resources={
            "database": world.database,
            "products_io": ProductsIOManager(database=world.database, objects=world.store),
        },
    )


def _raw_ids(world: World) -> set[str]:
    query = sa.select(ProductRow.product_id).where(
        ProductRow.asset == "raw_exposures", ProductRow.is_current
    )
    with world.database.database.read() as session:
        return set(session.scalars(query))


def _state(world: World, **gains: float) -> None:
    """Let the sidecar state a gain by file name."""
    lines = [f"{name}.fits,{gain}" for name, gain in gains.items()]
    (world.drop / "sidecar.csv").write_text("\n".join(["file,gain_e_per_adu", *lines]) + "\n")
    world.ingest()


@pytest.fixture
def taken(world, frames):
    world.deliver(frames[0])
    world.deliver(frames[1])
    world.ingest()
    _take_up(world)
    return world


def test_what_is_taken_up_is_not_asked_for(taken):
    assert not _requested(taken)


def test_facts_declared_anew_are_another_input(taken, monkeypatch):
    before = _raw_ids(taken)
    declared = taken.surveys.load()
    changed = declared["synthetic"].model_dump(mode="json") | {"sky_subtracted": True}
    declared = {**declared, "synthetic": SurveyConfig.model_validate(changed)}
    monkeypatch.setattr(type(taken.surveys), "load", lambda self: declared)
    taken.ingest()
    assert all(row.is_sky_subtracted for row in _observations(taken))
    assert len(_requested(taken)) == 1
    _take_up(taken)
    assert not _raw_ids(taken) & before, "nothing made of the old facts is taken over"


def test_sidecar_rows_that_were_swapped_are_noticed(taken):
    _state(taken, frame_0=1.1, frame_1=1.2)
    _take_up(taken)
    assert not _requested(taken)
    _state(taken, frame_0=1.2, frame_1=1.1)
    assert len(_requested(taken)) == 1


def test_content_that_returns_is_a_new_request(world, frames):
    world.deliver(frames[0])
    keys = []
    for gain in (1.1, 1.2, 1.1):
        _state(world, frame_0=gain)
        (key,) = _requested(world)
        assert _requested(world) == [key], "asked again it is the same request"
        keys.append(key)
        _take_up(world)
    assert len(set(keys)) == 3
