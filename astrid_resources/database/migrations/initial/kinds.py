"""First migration: column kinds and checks, frozen as they were."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def _enum(name: str, *values: str) -> Any:
    native = postgresql.ENUM(*values, name=name, create_type=False)
    return sa.Enum(*values, name=name).with_variant(native, "postgresql")


ALERT_PRIORITY = _enum("alert_priority", "low", "medium", "high", "critical")
ALERT_STATUS = _enum("alert_status", "pending", "sent", "delivered", "failed", "cancelled")
CALIBRATION_FRAME_KIND = _enum("calibration_frame_kind", "bias", "dark", "flat", "bad_pixel_mask")
CANDIDATE_STATUS = _enum("candidate_status", "new", "rejected", "scored")
CONFIDENCE_LEVEL = _enum("confidence_level", "low", "medium", "high", "expert")
CONFIRMATION = _enum("confirmation", "single_epoch", "confirmed")
DELIVERY_OUTCOME = _enum("delivery_outcome", "waiting", "ingested", "known", "quarantined")
DETECTION_STATUS = _enum(
    "detection_status", "pending", "validating", "validated", "rejected", "confirmed", "archived"
)
DETECTION_TYPE = _enum(
    "detection_type", "supernova", "variable", "transient", "asteroid", "artifact", "unknown"
)
EXPORT_STATUS = _enum("export_status", "pending", "running", "completed", "failed", "cancelled")
EXPOSURE_GRADE = _enum("exposure_grade", "A", "B", "C", "rejected")
JOB_STATUS = _enum("job_status", "pending", "running", "completed", "failed", "cancelled")
MODEL_TYPE = _enum("model_type", "unet", "anomaly_detector", "classifier", "segmentation")
NAME_KIND = _enum("name_kind", "primary", "alias")
RUN_STATUS = _enum("run_status", "pending", "running", "completed", "failed", "no_work")
TRANSIENT_STATUS = _enum("transient_status", "active", "merged", "superseded")
VERDICT = _enum("verdict", "passed", "failed", "no_work")

_ENUMS = (
    ALERT_PRIORITY,
    ALERT_STATUS,
    CALIBRATION_FRAME_KIND,
    CANDIDATE_STATUS,
    CONFIDENCE_LEVEL,
    CONFIRMATION,
    DELIVERY_OUTCOME,
    DETECTION_STATUS,
    DETECTION_TYPE,
    EXPORT_STATUS,
    EXPOSURE_GRADE,
    JOB_STATUS,
    MODEL_TYPE,
    NAME_KIND,
    RUN_STATUS,
    TRANSIENT_STATUS,
    VERDICT,
)


def bounds(table: str, column: str, low: str, high: str) -> sa.CheckConstraint:
    """Return the CHECK that a number lies between its bounds."""
    condition = f"{column} {low} AND {column} {high}"
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{column}_bounds"))


def flag(table: str, column: str) -> Any:
    """Return the CHECK of a Boolean, on SQLite only."""
    check = sa.CheckConstraint(f"{column} IN (0, 1)", name=op.f(f"ck_{table}_{column}_values"))
    return check.ddl_if(dialect="sqlite")


def choice(table: str, column: str, kind: Any) -> Any:
    """Return the CHECK of an enum's values, on SQLite only."""
    condition = f"{column} IN ({', '.join(repr(value) for value in kind.enums)})"
    check = sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{column}_values"))
    return check.ddl_if(dialect="sqlite")


def foreign(table: str, column: str, target: str, ondelete: str) -> sa.ForeignKeyConstraint:
    """Return the foreign key of a column to the id of `target`."""
    name = op.f(f"fk_{table}_{column}_{target}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete)


def create() -> None:
    """Create the native enums, on PostgreSQL only."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for kind in _ENUMS:
            postgresql.ENUM(*kind.enums, name=kind.name).create(connection)


def drop() -> None:
    """Drop the native enums, on PostgreSQL only."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for kind in _ENUMS:
            postgresql.ENUM(name=kind.name).drop(connection)
