"""The whole schema as it first was."""

from alembic import op

from astrid_resources.database.migrations.initial import (
    catalog,
    curation,
    detection,
    differencing,
    kinds,
    observations,
    preprocessing,
    storage,
    system,
    views,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IN_ORDER = (
    kinds,
    observations,
    storage,
    preprocessing,
    differencing,
    detection,
    catalog,
    curation,
    system,
    views,
)


def upgrade() -> None:
    """Create every enum, table, index, guard and view."""
    for part in _IN_ORDER:
        part.create()


def downgrade() -> None:
    """Drop everything again."""
    views.drop()
    for part in reversed(_IN_ORDER[1:-1]):
        part.drop()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION astrid_refuse_change()")
    kinds.drop()
