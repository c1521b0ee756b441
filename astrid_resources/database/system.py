"""Tables of the system itself: configuration, jobs and the audit log (append-only)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import Base, Identified, Timestamped


class JobStatus(StrEnum):
    """How far a job came."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SystemConfig(Identified, Timestamped, Base):
    """A configuration value that people may change while the system runs."""

    __tablename__ = "system_config"

    key: Mapped[str] = col.text("unique key", unique=True)
    value: Mapped[Any] = col.json("value")
    description: Mapped[str] = col.text("what it does", default="")
    is_active: Mapped[bool] = col.flag("in force", default=True)


class ProcessingJob(Identified, Timestamped, Base):
    """A piece of work on an entity, with the Dagster run that does it."""

    __tablename__ = "processing_jobs"
    __table_args__ = (
        sa.Index(None, "status", "priority"),
        sa.Index(None, "entity_type", "entity_id"),
        sa.Index(None, "workflow_id"),
    )

    job_type: Mapped[str] = col.text("kind of work")
    entity_type: Mapped[str] = col.text("table of the entity")
    entity_id: Mapped[str] = col.text("id of the entity")
    status: Mapped[JobStatus] = col.choice(JobStatus, "how far it came", default=JobStatus.PENDING)
    priority: Mapped[int] = col.whole("higher is sooner", interval="[-1000, 1000]", default=0)
    workflow_id: Mapped[str | None] = col.text("Dagster run id")
    task_id: Mapped[str | None] = col.text("step key")
    retry_count: Mapped[int] = col.whole("how often it was tried again", default=0)
    max_retries: Mapped[int] = col.whole("how often it may be tried again", default=3)
    scheduled_at: Mapped[datetime | None] = col.instant("when it was planned")
    started_at: Mapped[datetime | None] = col.instant("when it started")
    completed_at: Mapped[datetime | None] = col.instant("when it ended")
    error_message: Mapped[str | None] = col.text("why it failed")
    error_details: Mapped[dict[str, Any] | None] = col.json("what else is known of the failure")


class AuditEntry(Identified, Timestamped, Base):
    """Who changed what; append-only, UPDATE and DELETE are refused by the database."""

    __tablename__ = "audit_log"
    __table_args__ = (
        sa.Index(None, "entity_type", "entity_id"),
        sa.Index(None, "user_id", "created_at"),
        {"info": {"append_only": True}},
    )

    entity_type: Mapped[str] = col.text("table of the entity")
    entity_id: Mapped[str] = col.text("id of the entity")
    action: Mapped[str] = col.text("what was done")
    user_id: Mapped[str | None] = col.text("who did it")
    old_values: Mapped[dict[str, Any] | None] = col.json("values before")
    new_values: Mapped[dict[str, Any] | None] = col.json("values after")
    change_summary: Mapped[str] = col.text("the change in words", default="")
    ip_address: Mapped[str | None] = col.text("address it came from")
    user_agent: Mapped[str | None] = col.text("program it came from")
