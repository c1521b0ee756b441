"""Which model scores, by which decision, and that none is ever scored with that is not whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_assets.detections import model_in_use as room
from astrid_assets.detections.champion_files import (
    KERAS_FILE,
    ONNX_FILE,
    RECORD_FILE,
    ModelAlteredError,
    ModelMissingError,
    ModelUntrainedError,
    load_champion,
)
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.detections.model_in_use import active_model, model_in_use
from astrid_assets.detections.model_rollback import (
    NeverInUseError,
    NoSuchModelError,
    list_models,
    rollback,
)
from astrid_assets.detections.scoring import score
from astrid_resources.database import AuditEntry, Database, Model
from astrid_resources.objects import ObjectStore
from astrid_tests.detections.stored_models import models, store_model, take_into_use


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'astrid.sqlite'}")
    made.upgrade()
    yield made
    made.dispose()


@pytest.fixture
def store(tmp_path):
    return ObjectStore.from_url((tmp_path / "objects").as_uri())


def _audit(database: Database) -> list[AuditEntry]:
    with database.read() as session:
        return list(session.scalars(sa.select(AuditEntry).order_by(AuditEntry.created_at)))


def _path(tmp_path, key: str):
    return tmp_path / "objects" / key


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.123},
        {"trailed_threshold": 0.123},
        {"temperature": 2.5},
        {"offset": -0.5},
        {"curvature": 0.5},
        {"cutouts": CutoutSettings(size_pix=65)},
        {"sha256": "0" * 64},
    ],
)
def test_another_reading_of_the_model_is_another_decision(change):
    champion = load_champion()
    assert replace(champion, **change).decision_sha256 != champion.decision_sha256


def test_the_shipped_champion_is_registered_once_with_what_it_was_trained_on(database, store):
    champion = load_champion()
    assert model_in_use(database, store) == model_in_use(database, store)
    (row,) = models(database).values()
    assert row.training_dataset == champion.record["training"]["training_set"]["sha256"]
    assert row.score_threshold == champion.threshold
    assert row.auc_pr == champion.record["evaluation"]["auc_pr"]["value"]
    assert 0 < row.precision <= 1
    assert model_in_use(database, store).row_id == row.id
    (entry,) = _audit(database)
    assert (entry.action, entry.entity_id) == ("shipped", str(row.id))


def test_a_release_with_another_threshold_says_so(database, store, monkeypatch):
    model_in_use(database, store)
    shipped = load_champion()
    newer = replace(
        shipped, threshold=0.123, record={**shipped.record, "threshold": 0.123, "version": "next"}
    )
    monkeypatch.setattr(room, "load_champion", lambda: newer)
    model_in_use(database, store)
    (row,) = models(database).values()
    assert (row.score_threshold, row.version) == (0.123, "next")
    assert [entry.action for entry in _audit(database)] == ["shipped", "shipped"]


def test_a_promoted_model_is_read_from_the_store_and_scores(database, store):
    active_model(database)
    challenger, _ = store_model(database, store, "2-test", threshold=0.4)
    shipped = load_champion()
    assert model_in_use(database, store).champion.sha256 == shipped.sha256
    take_into_use(database, challenger)
    promoted = model_in_use(database, store)
    assert promoted.row_id == challenger.id
    assert promoted.champion.sha256 == challenger.content_sha256 != shipped.sha256
    assert promoted.champion.threshold == 0.4
    cutouts = np.random.default_rng(1).normal(size=(5, 63, 63, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        score(promoted.champion, cutouts).probability, score(shipped, cutouts).probability
    )
    assert [row.is_active for row in models(database).values()].count(True) == 1


@pytest.mark.parametrize("name", [RECORD_FILE, ONNX_FILE, KERAS_FILE])
def test_a_promoted_model_with_a_missing_file_is_an_error(database, store, tmp_path, name):
    challenger, objects = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    _path(tmp_path, objects[name].key).unlink()
    with pytest.raises(ModelMissingError, match=f"{name}.*astrid models rollback"):
        model_in_use(database, store)


@pytest.mark.parametrize("name", [RECORD_FILE, ONNX_FILE, KERAS_FILE])
def test_a_promoted_model_with_an_altered_file_is_an_error(database, store, tmp_path, name):
    challenger, objects = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    path = _path(tmp_path, objects[name].key)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(ModelAlteredError, match="astrid models rollback"):
        model_in_use(database, store)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"score_threshold": 0.01}, ModelAlteredError),
        ({"weights_sha256": "0" * 64}, ModelAlteredError),
        ({"content_sha256": "0" * 64}, ModelAlteredError),
        ({"record_path": None}, ModelMissingError),
        ({"record_path": "../../etc/passwd"}, ModelMissingError),
    ],
)
def test_a_row_that_tells_of_another_model_is_an_error(database, store, values, error):
    challenger, _ = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    with database.session() as session:
        session.execute(sa.update(Model).where(Model.id == challenger.id).values(**values))
    with pytest.raises(error):
        model_in_use(database, store)


@pytest.mark.parametrize(
    "change", [{"training": {"n_steps": 0}}, {"evaluation": {"n_real": 0}}, {"evaluation": {}}]
)
def test_an_untrained_model_is_never_used(database, store, change):
    challenger, _ = store_model(database, store, "2-test", **change)
    take_into_use(database, challenger)
    with pytest.raises(ModelUntrainedError, match="never used"):
        model_in_use(database, store)


def test_a_shipped_model_of_another_release_is_an_error_that_says_what_to_do(
    database, store, monkeypatch
):
    old = active_model(database)
    newer, _ = store_model(database, store, "2-next")
    take_into_use(database, newer)
    shipped = replace(load_champion(), sha256="f" * 64)
    monkeypatch.setattr(room, "load_champion", lambda: shipped)
    with pytest.raises(ModelMissingError, match="shipped with another release"):
        rollback(database, store, user="test", to=old.version)
    assert models(database)["2-next"].is_active, "a model that cannot be read comes not into use"


def test_rollback_goes_back_one_model_at_a_time_and_is_written_down(database, store):
    shipped = active_model(database)
    first, _ = store_model(database, store, "2-first")
    second, _ = store_model(database, store, "2-second")
    take_into_use(database, first)
    take_into_use(database, second)
    now, before = rollback(database, store, user="ada", reason="too many ghosts")
    assert (now.version, before.version) == ("2-first", "2-second")
    assert model_in_use(database, store).row_id == first.id
    now, _ = rollback(database, store, user="ada")
    assert now.version == shipped.version
    assert model_in_use(database, store).champion.sha256 == shipped.content_sha256
    with pytest.raises(NoSuchModelError, match="nothing was before it"):
        rollback(database, store, user="ada")
    entry = next(e for e in _audit(database) if e.action == "rolled_back")
    assert (entry.user_id, entry.entity_id) == ("ada", str(first.id))
    assert entry.old_values["in_use"]["content_sha256"] == second.content_sha256
    assert entry.new_values["in_use"]["content_sha256"] == first.content_sha256
    assert "too many ghosts" in entry.change_summary
    assert models(database)["2-first"].decision["outcome"] == "rolled_back"
    assert next(e.version for e in list_models(database)) == shipped.version


def test_rollback_takes_a_named_model_that_was_in_use(database, store):
    shipped = active_model(database)
    first, _ = store_model(database, store, "2-first")
    never, _ = store_model(database, store, "2-never")
    take_into_use(database, first)
    with pytest.raises(NeverInUseError, match="astrid models promote"):
        rollback(database, store, user="ada", to=never.content_sha256[:12])
    for unknown in ("", "no-such-model", "%"):
        with pytest.raises(NoSuchModelError):
            rollback(database, store, user="ada", to=unknown)
    with pytest.raises(NoSuchModelError, match="in use already"):
        rollback(database, store, user="ada", to="2-first")
    now, _ = rollback(database, store, user="ada", to=shipped.content_sha256[:12].upper())
    assert now.sha256 == shipped.content_sha256


def test_the_present_release_does_not_take_a_promoted_model_out_of_use(
    database, store, monkeypatch
):
    challenger, _ = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    newer = replace(load_champion(), sha256="e" * 64)
    monkeypatch.setattr(room, "load_champion", lambda: newer)
    assert model_in_use(database, store).row_id == challenger.id
