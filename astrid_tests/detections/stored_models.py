"""Models of the registry for tests: the shipped champion under another name, stored and promoted.

Its network is the shipped one with another, equally true, producer name in the file, so that it is
a model of its own by its sha256.
"""

from __future__ import annotations

import json
from typing import Any

import onnx
import sqlalchemy as sa

from astrid_assets.detections.champion_files import (
    KERAS_FILE,
    ONNX_FILE,
    RECORD_FILE,
    SHIPPED_FOLDER,
    record_sha256,
    sha256_bytes,
)
from astrid_assets.detections.model_decisions import Decision, Outcome, record_decision
from astrid_assets.detections.model_facts import model_facts
from astrid_resources.database import Database, Model, upsert
from astrid_resources.identity import row_id
from astrid_resources.objects import ObjectStore
from astrid_resources.products import StoredObject


def store_model(
    database: Database,
    store: ObjectStore,
    name: str,
    *,
    network: bytes | None = None,
    **changes: Any,
) -> tuple[Model, dict[str, StoredObject]]:
    """Store and register a challenger; `changes` are of its record. Return its row and objects.

    network: another ONNX file than the shipped one.
    """
    proto = onnx.load(SHIPPED_FOLDER / ONNX_FILE)
    proto.producer_name = name
    files = {
        ONNX_FILE: network or proto.SerializeToString(),
        KERAS_FILE: (SHIPPED_FOLDER / KERAS_FILE).read_bytes(),
    }
    record = json.loads((SHIPPED_FOLDER / RECORD_FILE).read_text()) | {
        "version": name,
        "files": {key: sha256_bytes(content) for key, content in files.items()},
        **changes,
    }
    record["record_sha256"] = record_sha256(record)
    files[RECORD_FILE] = json.dumps(record).encode()
    objects = {key: store.put_bytes(content) for key, content in files.items()}
    sha256 = objects[ONNX_FILE].sha256
    identity = row_id("models", record["name"], sha256)
    row = {
        "id": identity,
        **model_facts(record, onnx_sha256=sha256),
        "model_path": objects[ONNX_FILE].key,
        "record_path": objects[RECORD_FILE].key,
        "keras_path": objects[KERAS_FILE].key,
    }
    with database.session() as session:
        upsert(session, Model, [row])
        return session.get_one(Model, identity), objects


def take_into_use(database: Database, model: Model, *, user: str = "test") -> None:
    """Promote a model without a proof: what stands around promotion is tested."""
    with database.lock("models") as session:
        decision = Decision(Outcome.PROMOTED, f"{model.version} for a test", user)
        record_decision(session, session.get_one(Model, model.id), decision)


def models(database: Database) -> dict[str, Model]:
    """Return every row of `models` by its version."""
    with database.read() as session:
        return {row.version: row for row in session.scalars(sa.select(Model))}
