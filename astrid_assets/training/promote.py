"""Challenger against champion on the stored test set, and what follows: promoted or refused.

The rule is a pure function of arrays in `promotion.py`; here models and set are read, and the
decision is written down. Who is in use is changed by `detections/model_decisions.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from astrid_assets.detections.champion_files import KERAS_FILE, Champion, ModelMissingError
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.detections.model_decisions import (
    ENTITY,
    Decision,
    Outcome,
    active_row,
    record_decision,
)
from astrid_assets.detections.model_in_use import active_model, champion_of, stored_bytes
from astrid_assets.detections.scoring import score
from astrid_assets.training import network
from astrid_assets.training.build import sample_of
from astrid_assets.training.export import disagreement
from astrid_assets.training.promotion import PromotionSettings, Scored, compare
from astrid_assets.training.samples import TrainingSet, fold, load_training_set
from astrid_resources.database import AuditEntry, Model
from astrid_resources.database.connection import Database
from astrid_resources.identity import plain_json, sha256_json
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.objects import ObjectStore

RULE_VERSION = "1"
_N_AGREEMENT = 256


class AlreadyInUse(NoWork):
    """The challenger is the champion."""


class ChampionChangedError(KnownFailure):
    """Another model came into use while the challenger was held against its predecessor."""


@dataclass(frozen=True)
class Considered:
    """What was decided on a challenger, and whether it had been decided before."""

    outcome: Outcome
    summary: str
    numbers: Mapping[str, Any]
    is_new: bool


def consider(
    database: Database,
    store: ObjectStore,
    challenger: Model,
    *,
    test_set_key: str,
    user: str,
    is_asked_by_person: bool = False,
    settings: PromotionSettings | None = None,
) -> Considered:
    """Hold a registered challenger against the model in use; promote it where it is better.

    test_set_key: object of the stored training set whose test fold both models are scored on.
    What was refused is refused again without a word. A model that a person went back from is
    promoted again only where a person asks for it.
    Raises AlreadyInUse, ChampionChangedError, and what reading models and set raises.
    """
    settings = settings or PromotionSettings()
    champion_row = active_model(database)
    if champion_row.id == challenger.id:
        raise AlreadyInUse(f"{challenger.name} {challenger.version} is in use already")
    question = sha256_json([RULE_VERSION, settings, champion_row.content_sha256, test_set_key])
    with database.read() as session:
        known = session.get_one(Model, challenger.id).decision or {}
        veto = None if is_asked_by_person else _rolled_back(session, challenger)
    is_asked_again = (known.get("question"), known.get("vetoed_by")) == (question, veto)
    if is_asked_again and known["outcome"] == Outcome.REFUSED.value:
        return Considered(Outcome.REFUSED, known["summary"], known, is_new=False)
    numbers: dict[str, Any] = {
        "question": question,
        "vetoed_by": veto,
        "champion_sha256": champion_row.content_sha256,
        "champion_version": champion_row.version,
        "test_set": test_set_key,
        "settings": plain_json(settings),
    }
    if veto is not None:
        reasons: tuple[str, ...] = (
            f"{veto} went back from it: `astrid models promote {challenger.version}` asks again",
        )
    else:
        evidence = _evidence(store, challenger, champion_row, test_set_key, settings)
        numbers, reasons = numbers | evidence, tuple(evidence["reasons"])
    outcome = Outcome.REFUSED if reasons else Outcome.PROMOTED
    summary = f"{challenger.name} {challenger.version} {outcome.value}"
    summary += f": {'; '.join(reasons)}" if reasons else _gain_in_words(numbers)
    decision = Decision(outcome, summary, user, numbers)
    with database.lock("models") as session:
        now = active_row(session)
        if now is None or now.id != champion_row.id:
            raise ChampionChangedError(
                f"{champion_row.version} is no longer in use: ask again, against the model that is"
            )
        record_decision(session, session.get_one(Model, challenger.id), decision)
    return Considered(outcome, summary, numbers, is_new=True)


def _evidence(
    store: ObjectStore,
    challenger_row: Model,
    champion_row: Model,
    test_set_key: str,
    settings: PromotionSettings,
) -> dict[str, Any]:
    """Return the numbers of the comparison, `reasons` among them: what stands against it."""
    champion = champion_of(champion_row, store)
    challenger = champion_of(challenger_row, store)
    with store.fetch(test_set_key) as path:
        samples, record = load_training_set(path)
    test = fold(samples, "test")
    unlike = _other_cutouts(record, champion, challenger)
    if unlike:
        return {"reasons": [unlike]}
    comparison = compare(
        _scored(champion, test),
        _scored(challenger, test),
        sample_of(test),
        onnx_difference=_onnx_difference(store, challenger_row, challenger, test),
        settings=settings,
    )
    return comparison.numbers() | {"test_fold_sha256": test.sha256}


def _other_cutouts(
    record: Mapping[str, Any], champion: Champion, challenger: Champion
) -> str | None:
    """Return why stored cutouts are not those a model would be given, None where they are."""
    made = CutoutSettings(**record["settings"]["cutouts"])
    for which, model in (("champion", champion), ("challenger", challenger)):
        if model.cutouts != made:
            return (
                f"the {which} reads cutouts of {asdict(model.cutouts)}, the test set holds "
                f"{asdict(made)}: both are compared on one set of cutouts only"
            )
    return None


def _scored(model: Champion, test: TrainingSet) -> Scored:
    scores = score(model, test.cutouts.astype(np.float32))
    return Scored(scores.probability, scores.is_accepted)


def _onnx_difference(
    store: ObjectStore, row: Model, challenger: Champion, test: TrainingSet
) -> float:
    """Return the largest difference of the stored `.keras` file and the stored ONNX file."""
    if row.keras_path is None:
        raise ModelMissingError(
            f"the row of {row.name} {row.version} names no {KERAS_FILE}: train it again",
            file=KERAS_FILE,
        )
    some: NDArray[np.float32] = test.cutouts[:: max(1, len(test) // _N_AGREEMENT)].astype(
        np.float32
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KERAS_FILE
        path.write_bytes(stored_bytes(store, row.keras_path, what=f"{KERAS_FILE} of {row.version}"))
        return disagreement(network.load(path), challenger.onnx, some)


def _rolled_back(session: Session, model: Model) -> str | None:
    """Return who went back from a model to another one last, None where nobody did."""
    entries = session.scalars(
        sa.select(AuditEntry)
        .where(
            AuditEntry.entity_type == ENTITY,
            AuditEntry.action == Outcome.ROLLED_BACK.value,
        )
        .order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc())
    )
    for entry in entries:
        before = (entry.old_values or {}).get("in_use") or {}
        if entry.entity_id == str(model.id):
            return None
        if before.get("id") == str(model.id):
            return entry.user_id or "somebody"
    return None


def _gain_in_words(numbers: Mapping[str, Any]) -> str:
    gain = numbers["gain"]
    return (
        f": AUCPR {numbers['champion_auc_pr']:.4f} to {numbers['challenger_auc_pr']:.4f} "
        f"(gain {gain['value']:+.4f}, {gain['low']:+.4f} to {gain['high']:+.4f})"
    )
