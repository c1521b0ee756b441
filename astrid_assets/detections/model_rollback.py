"""The models that are known, and the return to one that was in use before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.detections.model_decisions import (
    Decision,
    Outcome,
    active_row,
    previous_id,
    record_decision,
)
from astrid_assets.detections.model_in_use import champion_of
from astrid_resources.database import Model
from astrid_resources.database.connection import Database
from astrid_resources.images import KnownFailure
from astrid_resources.objects import ObjectStore


class NoSuchModelError(KnownFailure):
    """No model, or more than one, is meant by what was given."""


class NeverInUseError(KnownFailure):
    """A model that was never promoted nor shipped: one cannot go back to it."""


@dataclass(frozen=True)
class ModelEntry:
    """A model as people list it; the last decision on it and since when it was in use last."""

    name: str
    version: str
    sha256: str
    is_in_use: bool
    auc_pr: float | None
    threshold: float | None
    outcome: str | None
    decided_utc: str | None
    deployed_utc: str | None
    summary: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON's own types."""
        return asdict(self)


def list_models(database: Database) -> tuple[ModelEntry, ...]:
    """Return every registered model, the one in use first, then by the last decision."""
    with database.read() as session:
        rows = session.scalars(sa.select(Model).order_by(Model.created_at, Model.id)).all()
    entries = [_entry(row) for row in rows]
    return tuple(
        sorted(entries, key=lambda e: (e.is_in_use, e.decided_utc or ""), reverse=True),
    )


def find_model(session: Session, named: str) -> Model:
    """Return the one model whose version is `named` or whose sha256 begins with it.

    Raises NoSuchModelError where none or several do.
    """
    if not named:
        raise NoSuchModelError("give a model's version or the beginning of its sha256")
    rows = session.scalars(
        sa.select(Model)
        .where(
            sa.or_(
                Model.version == named,
                Model.content_sha256.startswith(named.lower(), autoescape=True),
            )
        )
        .order_by(Model.version)
    ).all()
    if len(rows) != 1:
        known = session.scalars(sa.select(Model.version).order_by(Model.version)).all()
        raise NoSuchModelError(
            f"{named!r} means {len(rows)} models ({_listed([row.version for row in rows])}); known "
            f"are {_listed(known)}: `astrid models list`",
            n_found=len(rows),
        )
    return rows[0]


def rollback(
    database: Database, store: ObjectStore, *, user: str, to: str | None = None, reason: str = ""
) -> tuple[ModelEntry, ModelEntry]:
    """Take the model that was in use before (or `to`) into use again; return (now, before).

    to: a version, or the beginning of a sha256. The model is read and verified first. Raises
    NoSuchModelError, NeverInUseError, or what reading it raises: then nothing has changed.
    """
    with database.read() as session:
        target = _target(session, to)
    champion_of(target, store)
    with database.lock("models") as session:
        before, row = active_row(session), session.get_one(Model, target.id)
        if before is None or before.id == row.id:
            raise NoSuchModelError(f"{row.name} {row.version} is in use already")
        summary = f"back to {row.name} {row.version} from {before.version}"
        summary += f": {reason}" if reason else ""
        numbers = {"from_sha256": before.content_sha256, "reason": reason}
        record_decision(session, row, Decision(Outcome.ROLLED_BACK, summary, user, numbers))
        return _entry(row), _entry(before)


def _target(session: Session, to: str | None) -> Model:
    if to is not None:
        row = find_model(session, to)
        if row.deployment_date is None:
            raise NeverInUseError(
                f"{row.name} {row.version} was never in use, one cannot go back to it: "
                f"`astrid models promote {row.version}` weighs it against the model in use"
            )
        return row
    active = active_row(session)
    previous = None if active is None else previous_id(session, active)
    if active is None or previous is None:
        now = "no model" if active is None else f"{active.name} {active.version}"
        raise NoSuchModelError(
            f"{now} is in use and nothing was before it: name a model with --to "
            "(`astrid models list`)"
        )
    return session.get_one(Model, previous)


def _entry(row: Model) -> ModelEntry:
    decision = row.decision or {}
    return ModelEntry(
        name=row.name,
        version=row.version,
        sha256=row.content_sha256,
        is_in_use=row.is_active,
        auc_pr=row.auc_pr,
        threshold=row.score_threshold,
        outcome=decision.get("outcome"),
        decided_utc=None if row.decided_at is None else f"{row.decided_at:%Y-%m-%d %H:%M:%S}",
        deployed_utc=None
        if row.deployment_date is None
        else f"{row.deployment_date:%Y-%m-%d %H:%M:%S}",
        summary=decision.get("summary"),
    )


def _listed(versions: Sequence[str]) -> str:
    return ", ".join(versions) or "none"
