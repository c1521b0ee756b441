"""Decisions on models hold on both databases and both stores: one in use, every step on record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from astrid_assets.detections.model_in_use import active_model, model_in_use
from astrid_assets.detections.model_rollback import NoSuchModelError, list_models, rollback
from astrid_resources.database import AuditEntry, Database, Model
from astrid_resources.integrity import verify
from astrid_resources.objects import ObjectStore
from astrid_tests.detections.stored_models import store_model, take_into_use


def _actions(database: Database) -> list[str]:
    with database.read() as session:
        found = session.scalars(sa.select(AuditEntry).order_by(AuditEntry.created_at))
        return [entry.action for entry in found]


def test_a_model_is_promoted_read_verified_and_gone_back_from(
    database: Database, store: ObjectStore
) -> None:
    shipped = active_model(database)
    challenger, objects = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    assert model_in_use(database, store).champion.sha256 == challenger.content_sha256
    found = verify(database, store)
    assert found.is_clean
    assert found.n_objects == len(objects)
    assert not found.orphans, "record, network and Keras file are all named"
    now, _ = rollback(database, store, user="ada")
    assert now.sha256 == shipped.content_sha256
    assert [entry.is_in_use for entry in list_models(database)] == [True, False]
    assert _actions(database) == ["shipped", "promoted", "rolled_back"]


def test_decisions_at_the_same_moment_leave_one_model_in_use(
    database: Database, local_store: ObjectStore
) -> None:
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda _: active_model(database).id, range(4)))
    assert len(set(first)) == 1
    assert _actions(database) == ["shipped"]
    challengers = [store_model(database, local_store, f"2-{k}")[0] for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: take_into_use(database, model), challengers))
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Model.is_active)) == 1
    assert _actions(database).count("promoted") == 4
    for _ in range(4):
        rollback(database, local_store, user="ada")
    assert model_in_use(database, local_store).row_id == first[0]
    with pytest.raises(NoSuchModelError):
        rollback(database, local_store, user="ada")
