"""The manifest learns the hash of its rows as they stand, and what a repair withdrew."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was written before has no such hash."""
    op.add_column("products", sa.Column("stored_rows_sha256", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("products", "withdrawn_at")
    op.drop_column("products", "stored_rows_sha256")
