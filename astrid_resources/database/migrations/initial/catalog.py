"""First migration: tables of the catalog, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of the catalog."""
    op.create_table(
        "export_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("query", kinds.JSON, nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("status", kinds.EXPORT_STATUS, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=True),
        sa.Column("export_path", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_export_jobs"),
        kinds.choice("export_jobs", "status", kinds.EXPORT_STATUS),
        kinds.bounds("export_jobs", "row_count", ">= 0", "<= 2147483647"),
    )
    op.create_index("ix_export_jobs_status", "export_jobs", ["status"])
    op.create_table(
        "transients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ra_error", sa.Double(), nullable=True),
        sa.Column("dec_error", sa.Double(), nullable=True),
        sa.Column("first_seen", kinds.INSTANT, nullable=False),
        sa.Column("last_seen", kinds.INSTANT, nullable=False),
        sa.Column("first_mjd", sa.Double(), nullable=True),
        sa.Column("last_mjd", sa.Double(), nullable=True),
        sa.Column("n_detections", sa.Integer(), nullable=False),
        sa.Column("n_nights", sa.Integer(), nullable=True),
        sa.Column("light_curve_summary", kinds.JSON, nullable=True),
        sa.Column("best_score", sa.Double(), nullable=True),
        sa.Column("best_significance", sa.Double(), nullable=True),
        sa.Column("classification", kinds.DETECTION_TYPE, nullable=False),
        sa.Column("confirmation", kinds.CONFIRMATION, nullable=False),
        sa.Column("host_match", kinds.JSON, nullable=True),
        sa.Column("cross_matches", kinds.JSON, nullable=True),
        sa.Column("is_synthetic", sa.Boolean(), nullable=False),
        sa.Column("status", kinds.TRANSIENT_STATUS, nullable=False),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transients"),
        sa.UniqueConstraint("name", name="uq_transients_name"),
        kinds.bounds("transients", "ra_error", ">= 0", "<= 36000"),
        kinds.bounds("transients", "dec_error", ">= 0", "<= 36000"),
        kinds.bounds("transients", "first_mjd", ">= 0", "<= 200000"),
        kinds.bounds("transients", "last_mjd", ">= 0", "<= 200000"),
        kinds.bounds("transients", "n_detections", ">= 0", "<= 2147483647"),
        kinds.bounds("transients", "n_nights", ">= 0", "<= 2147483647"),
        kinds.bounds("transients", "best_score", ">= 0", "<= 1"),
        kinds.bounds("transients", "best_significance", ">= -1e30", "<= 1e30"),
        kinds.choice("transients", "classification", kinds.DETECTION_TYPE),
        kinds.choice("transients", "confirmation", kinds.CONFIRMATION),
        kinds.flag("transients", "is_synthetic"),
        kinds.choice("transients", "status", kinds.TRANSIENT_STATUS),
        kinds.bounds("transients", "ra", ">= 0", "< 360"),
        kinds.bounds("transients", "dec", ">= -90", "<= 90"),
        kinds.bounds("transients", "healpix29", ">= 0", "<= 3458764513820540927"),
    )
    op.create_index("ix_transients_best_score_last_seen", "transients", ["best_score", "last_seen"])
    op.create_index("ix_transients_confirmation_status", "transients", ["confirmation", "status"])
    op.create_index("ix_transients_healpix29", "transients", ["healpix29"])
    op.create_index("ix_transients_status", "transients", ["status"])
    op.create_table(
        "transient_names",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("transient_id", sa.Uuid(), nullable=True),
        sa.Column("kind", kinds.NAME_KIND, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transient_names"),
        sa.UniqueConstraint("year", "serial", name="uq_transient_names_year_serial"),
        sa.UniqueConstraint("name", name="uq_transient_names_name"),
        kinds.foreign("transient_names", "transient_id", "transients", "SET NULL"),
        kinds.bounds("transient_names", "year", ">= 1900", "<= 9999"),
        kinds.bounds("transient_names", "serial", ">= 0", "<= 2147483647"),
        kinds.choice("transient_names", "kind", kinds.NAME_KIND),
        kinds.bounds("transient_names", "ra", ">= 0", "< 360"),
        kinds.bounds("transient_names", "dec", ">= -90", "<= 90"),
        kinds.bounds("transient_names", "healpix29", ">= 0", "<= 3458764513820540927"),
    )
    op.create_index("ix_transient_names_healpix29", "transient_names", ["healpix29"])
    op.create_index("ix_transient_names_transient_id", "transient_names", ["transient_id"])
    op.create_table(
        "light_curve_points",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("transient_id", sa.Uuid(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("difference_run_id", sa.Uuid(), nullable=False),
        sa.Column("reference_image_id", sa.Uuid(), nullable=True),
        sa.Column("detection_id", sa.Uuid(), nullable=True),
        sa.Column("mjd_mid", sa.Double(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("ra_forced", sa.Double(), nullable=False),
        sa.Column("dec_forced", sa.Double(), nullable=False),
        sa.Column("flux_adu", sa.Double(), nullable=True),
        sa.Column("flux_adu_error", sa.Double(), nullable=True),
        sa.Column("flux_njy", sa.Double(), nullable=True),
        sa.Column("flux_njy_error", sa.Double(), nullable=True),
        sa.Column("significance", sa.Double(), nullable=True),
        sa.Column("reference_flux", sa.Double(), nullable=True),
        sa.Column("reference_flux_error", sa.Double(), nullable=True),
        sa.Column("baseline_flux_adu", sa.Double(), nullable=True),
        sa.Column("zero_point_ab_mag", sa.Double(), nullable=True),
        sa.Column("zero_point_err", sa.Double(), nullable=True),
        sa.Column("limiting_mag_5sigma", sa.Double(), nullable=True),
        sa.Column("limiting_flux_5sigma", sa.Double(), nullable=True),
        sa.Column("flags", kinds.JSON, nullable=True),
        sa.Column("is_detection", sa.Boolean(), nullable=False),
        sa.Column("is_masked", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_light_curve_points"),
        sa.UniqueConstraint(
            "transient_id",
            "difference_run_id",
            name="uq_light_curve_points_transient_id_difference_run_id",
        ),
        kinds.foreign("light_curve_points", "transient_id", "transients", "CASCADE"),
        kinds.foreign("light_curve_points", "observation_id", "observations", "CASCADE"),
        kinds.foreign("light_curve_points", "difference_run_id", "difference_runs", "CASCADE"),
        kinds.foreign("light_curve_points", "reference_image_id", "reference_images", "RESTRICT"),
        kinds.foreign("light_curve_points", "detection_id", "detections", "SET NULL"),
        kinds.bounds("light_curve_points", "mjd_mid", ">= 0", "<= 200000"),
        kinds.bounds("light_curve_points", "ra_forced", ">= 0", "< 360"),
        kinds.bounds("light_curve_points", "dec_forced", ">= -90", "<= 90"),
        kinds.bounds("light_curve_points", "flux_adu", ">= -1e30", "<= 1e30"),
        kinds.bounds("light_curve_points", "flux_adu_error", ">= 0", "<= 1e30"),
        kinds.bounds("light_curve_points", "flux_njy", ">= -1e30", "<= 1e30"),
        kinds.bounds("light_curve_points", "flux_njy_error", ">= 0", "<= 1e30"),
        kinds.bounds("light_curve_points", "significance", ">= -1e30", "<= 1e30"),
        kinds.bounds("light_curve_points", "reference_flux", ">= -1e30", "<= 1e30"),
        kinds.bounds("light_curve_points", "reference_flux_error", ">= 0", "<= 1e30"),
        kinds.bounds("light_curve_points", "baseline_flux_adu", ">= -1e30", "<= 1e30"),
        kinds.bounds("light_curve_points", "zero_point_ab_mag", ">= -100", "<= 100"),
        kinds.bounds("light_curve_points", "zero_point_err", ">= 0", "<= 100"),
        kinds.bounds("light_curve_points", "limiting_mag_5sigma", ">= -100", "<= 100"),
        kinds.bounds("light_curve_points", "limiting_flux_5sigma", ">= 0", "<= 1e30"),
        kinds.flag("light_curve_points", "is_detection"),
        kinds.flag("light_curve_points", "is_masked"),
    )
    op.create_index("ix_light_curve_points_detection_id", "light_curve_points", ["detection_id"])
    op.create_index(
        "ix_light_curve_points_difference_run_id", "light_curve_points", ["difference_run_id"]
    )
    op.create_index("ix_light_curve_points_night_tile", "light_curve_points", ["night", "tile"])
    op.create_index(
        "ix_light_curve_points_observation_id", "light_curve_points", ["observation_id"]
    )
    op.create_index(
        "ix_light_curve_points_reference_image_id", "light_curve_points", ["reference_image_id"]
    )
    op.create_index(
        "ix_light_curve_points_transient_id_mjd_mid",
        "light_curve_points",
        ["transient_id", "mjd_mid"],
    )
    op.create_table(
        "transient_members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transient_id", sa.Uuid(), nullable=False),
        sa.Column("detection_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transient_members"),
        kinds.foreign("transient_members", "transient_id", "transients", "CASCADE"),
        sa.UniqueConstraint("detection_id", name="uq_transient_members_detection_id"),
        kinds.foreign("transient_members", "detection_id", "detections", "CASCADE"),
    )
    op.create_index("ix_transient_members_transient_id", "transient_members", ["transient_id"])


def drop() -> None:
    """Drop the tables of the catalog."""
    op.drop_table("transient_members")
    op.drop_table("light_curve_points")
    op.drop_table("transient_names")
    op.drop_table("transients")
    op.drop_table("export_jobs")
