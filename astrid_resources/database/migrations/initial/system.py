"""First migration: tables of the system, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of the system."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("old_values", kinds.JSON, nullable=True),
        sa.Column("new_values", kinds.JSON, nullable=True),
        sa.Column("change_summary", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_entity_type_entity_id", "audit_log", ["entity_type", "entity_id"])
    op.create_index("ix_audit_log_user_id_created_at", "audit_log", ["user_id", "created_at"])
    op.create_table(
        "processing_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("status", kinds.JOB_STATUS, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("scheduled_at", kinds.INSTANT, nullable=True),
        sa.Column("started_at", kinds.INSTANT, nullable=True),
        sa.Column("completed_at", kinds.INSTANT, nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_details", kinds.JSON, nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processing_jobs"),
        kinds.choice("processing_jobs", "status", kinds.JOB_STATUS),
        kinds.bounds("processing_jobs", "priority", ">= -1000", "<= 1000"),
        kinds.bounds("processing_jobs", "retry_count", ">= 0", "<= 2147483647"),
        kinds.bounds("processing_jobs", "max_retries", ">= 0", "<= 2147483647"),
    )
    op.create_index(
        "ix_processing_jobs_entity_type_entity_id", "processing_jobs", ["entity_type", "entity_id"]
    )
    op.create_index("ix_processing_jobs_status_priority", "processing_jobs", ["status", "priority"])
    op.create_index("ix_processing_jobs_workflow_id", "processing_jobs", ["workflow_id"])
    op.create_table(
        "system_config",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", kinds.JSON, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_system_config"),
        sa.UniqueConstraint("key", name="uq_system_config_key"),
        kinds.flag("system_config", "is_active"),
    )


def drop() -> None:
    """Drop the tables of the system."""
    op.drop_table("system_config")
    op.drop_table("processing_jobs")
    op.drop_table("audit_log")
