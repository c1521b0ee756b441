"""A candidate learns what a second algorithm saw at its position."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column with its bounds; no second algorithm ran before."""
    bounds = sa.CheckConstraint(
        "other_score >= -1e30 AND other_score <= 1e30",
        name=op.f("ck_candidates_other_score_bounds"),
    )
    op.add_column("candidates", sa.Column("other_score", sa.Double(), bounds, nullable=True))


def downgrade() -> None:
    """Drop the column, and with it the bounds that are its own."""
    op.drop_column("candidates", "other_score")
