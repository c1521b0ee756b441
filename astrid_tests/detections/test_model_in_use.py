"""Which model scores, and that nothing scored by another reading of it is taken over."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from astrid_assets.detections import model_in_use as room
from astrid_assets.detections.champion_files import ModelAlteredError, load_champion
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.detections.model_in_use import model_in_use
from astrid_resources.database import Database, Model


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'astrid.sqlite'}")
    made.upgrade()
    yield made
    made.dispose()


def _rows(database: Database) -> list[Model]:
    with database.read() as session:
        return list(session.scalars(sa.select(Model)))


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.123},
        {"trailed_threshold": 0.123},
        {"temperature": 2.5},
        {"offset": -0.5},
        {"cutouts": CutoutSettings(size_pix=65)},
        {"sha256": "0" * 64},
    ],
)
def test_another_reading_of_the_model_is_another_decision(change):
    champion = load_champion()
    assert replace(champion, **change).decision_sha256 != champion.decision_sha256


def test_the_shipped_champion_is_registered_once_with_what_it_was_trained_on(database):
    champion = load_champion()
    assert model_in_use(database) == model_in_use(database)
    (row,) = _rows(database)
    assert row.training_dataset == champion.record["training"]["training_set"]["sha256"]
    assert row.score_threshold == champion.threshold
    assert model_in_use(database).row_id == row.id


def test_a_release_with_another_threshold_says_so(database, monkeypatch):
    model_in_use(database)
    newer = replace(load_champion(), threshold=0.123, version="next")
    monkeypatch.setattr(room, "load_champion", lambda: newer)
    model_in_use(database)
    (row,) = _rows(database)
    assert (row.score_threshold, row.version) == (0.123, "next")


def test_a_promoted_model_that_is_not_at_hand_is_an_error(database):
    model_in_use(database)
    with database.session() as session:
        session.execute(sa.update(Model).values(model_path="sha256/ab", content_sha256="1" * 64))
    with pytest.raises(ModelAlteredError):
        model_in_use(database)
