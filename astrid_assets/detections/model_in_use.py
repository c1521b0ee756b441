"""Which model scores: the active row of `models`; the shipped champion where none was promoted.

A model is read from the package or from the object store, by the hashes its row and its record
give, and from nowhere else. What takes a model into use stands in `model_decisions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from astrid_assets.detections.champion_files import (
    RECORD_FILE,
    Champion,
    ModelAlteredError,
    ModelMissingError,
    load_champion,
    read_champion,
)
from astrid_assets.detections.model_decisions import (
    Decision,
    Outcome,
    active_row,
    record_decision,
)
from astrid_assets.detections.model_facts import model_facts
from astrid_resources.database import Model
from astrid_resources.database.connection import Database
from astrid_resources.identity import row_id
from astrid_resources.objects import (
    CorruptObjectError,
    MissingObjectError,
    ObjectStore,
    is_object_key,
    object_key,
)

SHIPPED_PATH = "package:astrid_assets/detections/champion/model.onnx"
_WAY_OUT = (
    "take another model into use (`astrid models rollback`), or put the file back: `astrid verify` "
    "lists what is damaged"
)


@dataclass(frozen=True)
class ModelInUse:
    """The champion and its row in `models`."""

    row_id: UUID
    champion: Champion


def model_in_use(database: Database, store: ObjectStore) -> ModelInUse:
    """Return the model in use, every file verified; the shipped one is registered when needed.

    Raises ModelMissingError, ModelAlteredError or ModelUntrainedError: nothing is ever scored by
    a model that is not the one the database names.
    """
    row = active_model(database)
    return ModelInUse(row.id, champion_of(row, store))


def active_model(database: Database) -> Model:
    """Return the row of the model in use; the shipped champion is registered when needed.

    That is where no model is in use yet, and where another release ships another champion than
    the shipped one in use; a promoted model stays.
    """
    with database.read() as session:
        row = active_row(session)
    if row is not None and row.model_path != SHIPPED_PATH:
        return row
    shipped = load_champion()
    facts = model_facts(shipped.record, onnx_sha256=shipped.sha256)
    if row is None or not _tells(row, facts):
        return _register_shipped(database, shipped, facts)
    return row


def champion_of(row: Model, store: ObjectStore) -> Champion:
    """Return the model of a row of `models`, from the package or the store, every file verified.

    Raises ModelMissingError, ModelAlteredError or ModelUntrainedError.
    """
    where = f"{row.name} {row.version}"
    if row.model_path == SHIPPED_PATH:
        champion = load_champion()
        if champion.sha256 != row.content_sha256:
            raise ModelMissingError(
                f"{where} ({row.content_sha256[:12]}) was shipped with another release than this "
                f"one, which ships {champion.sha256[:12]}: install that release, or {_WAY_OUT}",
                expected=row.content_sha256, found=champion.sha256,
            )  # fmt: skip
    else:
        champion = _stored_champion(row, store, where=where)
    expected = (row.content_sha256, row.weights_sha256, row.score_threshold)
    found = (champion.sha256, champion.weights_sha256, champion.threshold)
    if found != expected:
        raise ModelAlteredError(
            f"the row of {where} tells of another model than its record (file, weights, "
            f"threshold): {expected} against {found}; {_WAY_OUT}",
            expected=expected, found=found,
        )  # fmt: skip
    return champion


def stored_bytes(store: ObjectStore, key: str, *, what: str) -> bytes:
    """Return a model file of the store, verified; ModelMissingError or ModelAlteredError."""
    try:
        return store.get_bytes(key)
    except MissingObjectError as error:
        raise ModelMissingError(
            f"{what} is not in the store ({key}): {_WAY_OUT}", file=key
        ) from error
    except CorruptObjectError as error:
        raise ModelAlteredError(
            f"{what} in the store is damaged ({key}): {_WAY_OUT}", file=key
        ) from error


def _stored_champion(row: Model, store: ObjectStore, *, where: str) -> Champion:
    record_key = row.record_path
    if record_key is None or not is_object_key(record_key):
        raise ModelMissingError(
            f"the row of {where} names no record in the store ({record_key}): {_WAY_OUT}",
            file=RECORD_FILE,
        )

    def read(name: str, sha256: str | None) -> bytes:
        what = f"{name} of {where}"
        if name == RECORD_FILE:
            return stored_bytes(store, record_key, what=what)
        key = "" if sha256 is None else f"sha256/{sha256[:2]}/{sha256}"
        if not is_object_key(key):
            raise ModelAlteredError(
                f"the record of {where} gives no sha256 of {name} but {sha256}: {_WAY_OUT}",
                file=name,
            )
        return stored_bytes(store, object_key(str(sha256)), what=what)

    return read_champion(read, where=f"the registry ({where})")


def _register_shipped(database: Database, shipped: Champion, facts: dict[str, Any]) -> Model:
    identity = row_id("models", shipped.name, shipped.sha256)

    def register(session: Session) -> Model:
        row = session.get(Model, identity)
        if row is not None and row.is_active and _tells(row, facts):
            return row
        if row is None:
            row = Model(id=identity, model_path=SHIPPED_PATH, is_active=False, **facts)
            session.add(row)
        row.model_path, row.record_path, row.keras_path = SHIPPED_PATH, None, None
        for key, value in facts.items():
            setattr(row, key, value)
        summary = f"{shipped.name} {shipped.version} comes with this release"
        record_decision(session, row, Decision(Outcome.SHIPPED, summary, user="package"))
        return row

    return database.transaction(register, lock="models")


def _tells(row: Model, facts: dict[str, Any]) -> bool:
    return all(getattr(row, key) == value for key, value in facts.items())
