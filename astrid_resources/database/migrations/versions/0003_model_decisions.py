"""A model's row learns where its record and its `.keras` file are, and what was decided on it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the columns; nothing was decided on what was registered before."""
    op.add_column("models", sa.Column("record_path", sa.Text(), nullable=True))
    op.add_column("models", sa.Column("keras_path", sa.Text(), nullable=True))
    op.add_column("models", sa.Column("decision", _JSON, nullable=True))
    op.add_column("models", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("decided_at", "decision", "keras_path", "record_path"):
        op.drop_column("models", name)
