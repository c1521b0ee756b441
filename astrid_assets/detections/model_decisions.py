"""Decisions on which model is in use, written down: the row in `models` and the audit log.

The one place that changes `is_active`. What is decided, and on which evidence, is others' work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import AuditEntry, Model, utc_now
from astrid_resources.identity import plain_json

ENTITY = "models"


class Outcome(StrEnum):
    """What was decided on a model."""

    SHIPPED = "shipped"
    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"

    @property
    def is_use(self) -> bool:
        """Whether the model comes into use by it."""
        return self is not Outcome.REFUSED


@dataclass(frozen=True)
class Decision:
    """A decision on one model: its outcome, in words, with its numbers, and who took it."""

    outcome: Outcome
    summary: str
    user: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def record_decision(session: Session, model: Model, decision: Decision) -> None:
    """Write a decision into the model's row and the audit log; take it into use where it says so.

    The session must hold the lock `models`: there is never more than one model in use.
    """
    before = active_row(session)
    now = utc_now()
    model.decided_at = now
    model.decision = plain_json(
        {"outcome": decision.outcome, "summary": decision.summary, **decision.numbers}
    )
    if decision.outcome.is_use:
        for row in session.scalars(sa.select(Model).where(Model.is_active, Model.id != model.id)):
            row.is_active = False
        model.is_active, model.deployment_date = True, now
    after = model if decision.outcome.is_use else before
    session.add(
        AuditEntry(
            entity_type=ENTITY,
            entity_id=str(model.id),
            action=decision.outcome.value,
            user_id=decision.user,
            old_values={"in_use": _named(before)},
            new_values={"in_use": _named(after), "decision": model.decision},
            change_summary=decision.summary,
        )
    )


def active_row(session: Session) -> Model | None:
    """Return the row of the model in use, None before the first."""
    return session.scalars(sa.select(Model).where(Model.is_active)).one_or_none()


def previous_id(session: Session, model: Model) -> UUID | None:
    """Return the id of what was in use when `model` first replaced another, by the audit log.

    A return to `model` does not count: two rollbacks in a row go back two models.
    """
    came = session.scalars(
        sa.select(AuditEntry)
        .where(
            AuditEntry.entity_type == ENTITY,
            AuditEntry.entity_id == str(model.id),
            AuditEntry.action.in_([Outcome.PROMOTED.value, Outcome.SHIPPED.value]),
        )
        .order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc())
    )
    for entry in came:
        before = (entry.old_values or {}).get("in_use")
        if before is not None and before["id"] != str(model.id):
            return UUID(before["id"])
    return None


def _named(model: Model | None) -> dict[str, str] | None:
    if model is None:
        return None
    return {
        "id": str(model.id),
        "name": model.name,
        "version": model.version,
        "content_sha256": model.content_sha256,
    }
