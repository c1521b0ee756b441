"""Tables of what people say and are told: validation events (append-only) and alerts."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import Base, Identified, SkyPosition, Timestamped


class ConfidenceLevel(StrEnum):
    """How sure a validator is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EXPERT = "expert"


class AlertPriority(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    """How far the delivery of an alert came."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ValidationEvent(Identified, Timestamped, SkyPosition, Base):
    """What a person said of a detection; append-only, UPDATE and DELETE are refused.

    It holds to the sky position and epoch as well as to the detection's id.
    """

    __tablename__ = "validation_events"
    __table_args__ = (
        sa.Index(None, "detection_id", "created_at"),
        sa.Index(None, "validator_id"),
        {"info": {"append_only": True}},
    )

    detection_id: Mapped[uuid.UUID] = col.refers_to(
        "detections.id", "the detection", on_delete="RESTRICT"
    )
    mjd_mid: Mapped[float] = col.real(
        "epoch of the detection, MJD, TAI", unit="d", ucd="time.epoch", interval=col.MJD
    )
    validator_id: Mapped[str] = col.text("authenticated identity of the validator")
    is_valid: Mapped[bool] = col.flag("a real source", default=None)
    label: Mapped[str | None] = col.text("what it is")
    confidence_level: Mapped[ConfidenceLevel] = col.choice(ConfidenceLevel, "how sure")
    notes: Mapped[str | None] = col.text("remarks")
    tags: Mapped[list[str] | None] = col.json("tags")
    image_quality: Mapped[int | None] = col.whole("image quality, 1 to 5", interval="[1, 5]")
    detection_quality: Mapped[int | None] = col.whole(
        "detection quality, 1 to 5", interval="[1, 5]"
    )


class Alert(Identified, Timestamped, Base):
    """A message to be delivered once (outbox)."""

    __tablename__ = "alerts"
    __table_args__ = (
        sa.Index(None, "status", "priority"),
        sa.CheckConstraint(
            "detection_id IS NOT NULL OR transient_id IS NOT NULL", name="has_subject"
        ),
    )

    detection_id: Mapped[uuid.UUID | None] = col.refers_to(
        "detections.id", "the detection it is about", on_delete="RESTRICT"
    )
    transient_id: Mapped[uuid.UUID | None] = col.refers_to(
        "transients.id", "the transient it is about", on_delete="RESTRICT"
    )
    alert_type: Mapped[str] = col.text("kind of alert")
    priority: Mapped[AlertPriority] = col.choice(
        AlertPriority, "how urgent", default=AlertPriority.MEDIUM
    )
    title: Mapped[str] = col.text("title")
    message: Mapped[str] = col.text("text")
    alert_metadata: Mapped[dict[str, Any] | None] = col.json("what else is known")
    status: Mapped[AlertStatus] = col.choice(
        AlertStatus, "how far its delivery came", default=AlertStatus.PENDING
    )
    delivery_key: Mapped[str] = col.text("one delivery per key", unique=True)
    sent_at: Mapped[datetime | None] = col.instant("when it was sent")
    delivery_attempts: Mapped[int] = col.whole("attempts so far", default=0)
    error_message: Mapped[str | None] = col.text("last error")
