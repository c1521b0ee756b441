"""First migration: tables of the manifest, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of the manifest."""
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("night", sa.Date(), nullable=True),
        sa.Column("tile", sa.Text(), nullable=True),
        sa.Column("observation_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("objects", kinds.JSON, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("metrics", kinds.JSON, nullable=False),
        sa.Column("verdict", kinds.VERDICT, nullable=False),
        sa.Column("reasons", kinds.JSON, nullable=False),
        sa.Column("rows_sha256", sa.Text(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        kinds.foreign("products", "observation_id", "observations", "RESTRICT"),
        kinds.bounds("products", "bytes", ">= 0", "<= 4611686018427387904"),
        kinds.choice("products", "verdict", kinds.VERDICT),
        kinds.flag("products", "is_current"),
    )
    op.create_index(
        "ix_products_asset_night_tile_is_current",
        "products",
        ["asset", "night", "tile", "is_current"],
    )
    op.create_index("ix_products_night_tile", "products", ["night", "tile"])
    op.create_index("ix_products_observation_id_asset", "products", ["observation_id", "asset"])
    op.create_index("ix_products_product_id", "products", ["product_id"])
    op.create_index("ix_products_verdict", "products", ["verdict"])
    op.create_table(
        "product_inputs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("product_row_id", sa.Uuid(), nullable=False),
        sa.Column("input_product_id", sa.Text(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_product_inputs"),
        sa.UniqueConstraint(
            "product_row_id",
            "input_product_id",
            name="uq_product_inputs_product_row_id_input_product_id",
        ),
        kinds.foreign("product_inputs", "product_row_id", "products", "CASCADE"),
    )
    op.create_index("ix_product_inputs_input_product_id", "product_inputs", ["input_product_id"])


def drop() -> None:
    """Drop the tables of the manifest."""
    op.drop_table("product_inputs")
    op.drop_table("products")
