"""First migration: tables of curation, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of curation."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("detection_id", sa.Uuid(), nullable=True),
        sa.Column("transient_id", sa.Uuid(), nullable=True),
        sa.Column("alert_type", sa.Text(), nullable=False),
        sa.Column("priority", kinds.ALERT_PRIORITY, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("alert_metadata", kinds.JSON, nullable=True),
        sa.Column("status", kinds.ALERT_STATUS, nullable=False),
        sa.Column("delivery_key", sa.Text(), nullable=False),
        sa.Column("sent_at", kinds.INSTANT, nullable=True),
        sa.Column("delivery_attempts", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.CheckConstraint(
            "detection_id IS NOT NULL OR transient_id IS NOT NULL",
            name=op.f("ck_alerts_has_subject"),
        ),
        kinds.foreign("alerts", "detection_id", "detections", "RESTRICT"),
        kinds.foreign("alerts", "transient_id", "transients", "RESTRICT"),
        sa.UniqueConstraint("delivery_key", name="uq_alerts_delivery_key"),
        kinds.choice("alerts", "priority", kinds.ALERT_PRIORITY),
        kinds.choice("alerts", "status", kinds.ALERT_STATUS),
        kinds.bounds("alerts", "delivery_attempts", ">= 0", "<= 2147483647"),
    )
    op.create_index("ix_alerts_detection_id", "alerts", ["detection_id"])
    op.create_index("ix_alerts_status_priority", "alerts", ["status", "priority"])
    op.create_index("ix_alerts_transient_id", "alerts", ["transient_id"])
    op.create_table(
        "validation_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("detection_id", sa.Uuid(), nullable=False),
        sa.Column("mjd_mid", sa.Double(), nullable=False),
        sa.Column("validator_id", sa.Text(), nullable=False),
        sa.Column("is_valid", sa.Boolean(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("confidence_level", kinds.CONFIDENCE_LEVEL, nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("tags", kinds.JSON, nullable=True),
        sa.Column("image_quality", sa.Integer(), nullable=True),
        sa.Column("detection_quality", sa.Integer(), nullable=True),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_validation_events"),
        kinds.foreign("validation_events", "detection_id", "detections", "RESTRICT"),
        kinds.bounds("validation_events", "mjd_mid", ">= 0", "<= 200000"),
        kinds.flag("validation_events", "is_valid"),
        kinds.choice("validation_events", "confidence_level", kinds.CONFIDENCE_LEVEL),
        kinds.bounds("validation_events", "image_quality", ">= 1", "<= 5"),
        kinds.bounds("validation_events", "detection_quality", ">= 1", "<= 5"),
        kinds.bounds("validation_events", "ra", ">= 0", "< 360"),
        kinds.bounds("validation_events", "dec", ">= -90", "<= 90"),
        kinds.bounds("validation_events", "healpix29", ">= 0", "<= 3458764513820540927"),
    )
    op.create_index(
        "ix_validation_events_detection_id_created_at",
        "validation_events",
        ["detection_id", "created_at"],
    )
    op.create_index("ix_validation_events_healpix29", "validation_events", ["healpix29"])
    op.create_index("ix_validation_events_validator_id", "validation_events", ["validator_id"])


def drop() -> None:
    """Drop the tables of curation."""
    op.drop_table("validation_events")
    op.drop_table("alerts")
