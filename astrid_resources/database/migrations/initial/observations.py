"""First migration: tables of what arrived, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of what arrived."""
    op.create_table(
        "delivered_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("outcome", kinds.DELIVERY_OUTCOME, nullable=False),
        sa.Column("sidecar_sha256", sa.Text(), nullable=True),
        sa.Column("seen_at", kinds.INSTANT, nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_delivered_files"),
        sa.UniqueConstraint("folder", "name", name="uq_delivered_files_folder_name"),
        kinds.bounds("delivered_files", "size", ">= 0", "<= 4611686018427387904"),
        kinds.bounds("delivered_files", "mtime_ns", ">= 0", "<= 4611686018427387904"),
        kinds.choice("delivered_files", "outcome", kinds.DELIVERY_OUTCOME),
    )
    op.create_index("ix_delivered_files_outcome", "delivered_files", ["outcome"])
    op.create_table(
        "quarantined_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stored_path", sa.Text(), nullable=True),
        sa.Column("first_seen", kinds.INSTANT, nullable=False),
        sa.Column("last_seen", kinds.INSTANT, nullable=False),
        sa.Column("n_deliveries", sa.Integer(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantined_files"),
        sa.UniqueConstraint("sha256", name="uq_quarantined_files_sha256"),
        kinds.bounds("quarantined_files", "size", ">= 0", "<= 4611686018427387904"),
        kinds.bounds("quarantined_files", "n_deliveries", ">= 0", "<= 2147483647"),
    )
    op.create_index("ix_quarantined_files_reason_code", "quarantined_files", ["reason_code"])
    op.create_table(
        "surveys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("api_endpoint", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("capabilities", kinds.JSON, nullable=True),
        sa.Column("header_mapping", kinds.JSON, nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_surveys"),
        sa.UniqueConstraint("name", name="uq_surveys_name"),
        kinds.flag("surveys", "is_active"),
    )
    op.create_table(
        "observations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("survey_id", sa.Uuid(), nullable=False),
        sa.Column("observation_id", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("footprint", kinds.JSON, nullable=False),
        sa.Column("observation_time", kinds.INSTANT, nullable=False),
        sa.Column("mjd_mid", sa.Double(), nullable=False),
        sa.Column("filter_band", sa.Text(), nullable=False),
        sa.Column("exposure_time", sa.Double(), nullable=False),
        sa.Column("fits_url", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("raw_path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("hdu", sa.Integer(), nullable=False),
        sa.Column("override_sha256", sa.Text(), nullable=True),
        sa.Column("facts", kinds.JSON, nullable=False),
        sa.Column("width_pix", sa.Integer(), nullable=True),
        sa.Column("height_pix", sa.Integer(), nullable=True),
        sa.Column("pixel_scale", sa.Double(), nullable=True),
        sa.Column("airmass", sa.Double(), nullable=True),
        sa.Column("seeing", sa.Double(), nullable=True),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("gain", sa.Double(), nullable=True),
        sa.Column("read_noise", sa.Double(), nullable=True),
        sa.Column("saturation_level", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("is_resampled", sa.Boolean(), nullable=False),
        sa.Column("is_sky_subtracted", sa.Boolean(), nullable=False),
        sa.Column("is_synthetic", sa.Boolean(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_observations"),
        sa.UniqueConstraint(
            "survey_id",
            "observation_id",
            "detector",
            "content_sha256",
            name="uq_observations_natural_key",
        ),
        kinds.foreign("observations", "survey_id", "surveys", "RESTRICT"),
        kinds.bounds("observations", "mjd_mid", ">= 0", "<= 200000"),
        kinds.bounds("observations", "exposure_time", "> 0", "<= 1e7"),
        kinds.bounds("observations", "size_bytes", ">= 0", "<= 4611686018427387904"),
        kinds.bounds("observations", "hdu", ">= 0", "<= 2147483647"),
        kinds.bounds("observations", "width_pix", ">= 1", "<= 1000000"),
        kinds.bounds("observations", "height_pix", ">= 1", "<= 1000000"),
        kinds.bounds("observations", "pixel_scale", "> 0", "<= 36000"),
        kinds.bounds("observations", "airmass", "> 0", "<= 100"),
        kinds.bounds("observations", "seeing", "> 0", "<= 3600"),
        kinds.bounds("observations", "gain", "> 0", "<= 1e6"),
        kinds.bounds("observations", "read_noise", ">= 0", "<= 1e6"),
        kinds.bounds("observations", "saturation_level", "> 0", "<= 1e12"),
        kinds.bounds("observations", "longitude", "> -180", "<= 180"),
        kinds.flag("observations", "is_resampled"),
        kinds.flag("observations", "is_sky_subtracted"),
        kinds.flag("observations", "is_synthetic"),
        kinds.flag("observations", "is_current"),
        kinds.bounds("observations", "ra", ">= 0", "< 360"),
        kinds.bounds("observations", "dec", ">= -90", "<= 90"),
        kinds.bounds("observations", "healpix29", ">= 0", "<= 3458764513820540927"),
    )
    op.create_index("ix_observations_content_sha256", "observations", ["content_sha256"])
    op.create_index("ix_observations_healpix29", "observations", ["healpix29"])
    op.create_index(
        "ix_observations_is_current_tile_filter_band",
        "observations",
        ["is_current", "tile", "filter_band"],
    )
    op.create_index("ix_observations_mjd_mid", "observations", ["mjd_mid"])
    op.create_index("ix_observations_night_tile", "observations", ["night", "tile"])


def drop() -> None:
    """Drop the tables of what arrived."""
    op.drop_table("observations")
    op.drop_table("surveys")
    op.drop_table("quarantined_files")
    op.drop_table("delivered_files")
