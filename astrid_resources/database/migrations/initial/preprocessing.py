"""First migration: tables of calibration, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of calibration."""
    op.create_table(
        "calibration_frames",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", kinds.CALIBRATION_FRAME_KIND, nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("filter_band", sa.Text(), nullable=True),
        sa.Column("valid_from", kinds.INSTANT, nullable=False),
        sa.Column("valid_to", kinds.INSTANT, nullable=True),
        sa.Column("n_frames", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("frame_path", sa.Text(), nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibration_frames"),
        kinds.choice("calibration_frames", "kind", kinds.CALIBRATION_FRAME_KIND),
        kinds.bounds("calibration_frames", "n_frames", ">= 1", "<= 100000"),
    )
    op.create_index(
        "ix_calibration_frames_instrument_detector_kind_valid_from",
        "calibration_frames",
        ["instrument", "detector", "kind", "valid_from"],
    )
    op.create_table(
        "preprocess_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("status", kinds.RUN_STATUS, nullable=False),
        sa.Column("calibration_applied", sa.Boolean(), nullable=False),
        sa.Column("wcs_aligned", sa.Boolean(), nullable=False),
        sa.Column("registration_quality", sa.Double(), nullable=True),
        sa.Column("processed_fits_path", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=True),
        sa.Column("wcs_info", kinds.JSON, nullable=True),
        sa.Column("astrometric_rms_arcsec", sa.Double(), nullable=True),
        sa.Column("n_astrometric_stars", sa.Integer(), nullable=True),
        sa.Column("zero_point_ab_mag", sa.Double(), nullable=True),
        sa.Column("zero_point_err", sa.Double(), nullable=True),
        sa.Column("n_photometric_stars", sa.Integer(), nullable=True),
        sa.Column("psf_fwhm_pix", sa.Double(), nullable=True),
        sa.Column("psf_ellipticity", sa.Double(), nullable=True),
        sa.Column("n_psf_stars", sa.Integer(), nullable=True),
        sa.Column("seeing_arcsec", sa.Double(), nullable=True),
        sa.Column("sky_level", sa.Double(), nullable=True),
        sa.Column("sky_sigma", sa.Double(), nullable=True),
        sa.Column("limiting_flux_5sigma", sa.Double(), nullable=True),
        sa.Column("limiting_mag_5sigma", sa.Double(), nullable=True),
        sa.Column("cosmic_ray_fraction", sa.Double(), nullable=True),
        sa.Column("masked_fraction", sa.Double(), nullable=True),
        sa.Column("grade", kinds.EXPOSURE_GRADE, nullable=True),
        sa.Column("grade_reasons", kinds.JSON, nullable=True),
        sa.Column("processing_time_seconds", sa.Double(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("bias_frame_id", sa.Uuid(), nullable=True),
        sa.Column("dark_frame_id", sa.Uuid(), nullable=True),
        sa.Column("flat_frame_id", sa.Uuid(), nullable=True),
        sa.Column("bad_pixel_mask_id", sa.Uuid(), nullable=True),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_preprocess_runs"),
        kinds.foreign("preprocess_runs", "observation_id", "observations", "CASCADE"),
        kinds.foreign("preprocess_runs", "bias_frame_id", "calibration_frames", "RESTRICT"),
        kinds.foreign("preprocess_runs", "dark_frame_id", "calibration_frames", "RESTRICT"),
        kinds.foreign("preprocess_runs", "flat_frame_id", "calibration_frames", "RESTRICT"),
        kinds.foreign("preprocess_runs", "bad_pixel_mask_id", "calibration_frames", "RESTRICT"),
        kinds.foreign("preprocess_runs", "manifest_id", "products", "RESTRICT"),
        kinds.choice("preprocess_runs", "status", kinds.RUN_STATUS),
        kinds.flag("preprocess_runs", "calibration_applied"),
        kinds.flag("preprocess_runs", "wcs_aligned"),
        kinds.bounds("preprocess_runs", "registration_quality", ">= 0", "<= 1"),
        kinds.bounds("preprocess_runs", "astrometric_rms_arcsec", ">= 0", "<= 36000"),
        kinds.bounds("preprocess_runs", "n_astrometric_stars", ">= 0", "<= 2147483647"),
        kinds.bounds("preprocess_runs", "zero_point_ab_mag", ">= -100", "<= 100"),
        kinds.bounds("preprocess_runs", "zero_point_err", ">= 0", "<= 100"),
        kinds.bounds("preprocess_runs", "n_photometric_stars", ">= 0", "<= 2147483647"),
        kinds.bounds("preprocess_runs", "psf_fwhm_pix", "> 0", "<= 10000"),
        kinds.bounds("preprocess_runs", "psf_ellipticity", ">= 0", "<= 1"),
        kinds.bounds("preprocess_runs", "n_psf_stars", ">= 0", "<= 2147483647"),
        kinds.bounds("preprocess_runs", "seeing_arcsec", "> 0", "<= 3600"),
        kinds.bounds("preprocess_runs", "sky_level", ">= -1e30", "<= 1e30"),
        kinds.bounds("preprocess_runs", "sky_sigma", ">= 0", "<= 1e30"),
        kinds.bounds("preprocess_runs", "limiting_flux_5sigma", ">= 0", "<= 1e30"),
        kinds.bounds("preprocess_runs", "limiting_mag_5sigma", ">= -100", "<= 100"),
        kinds.bounds("preprocess_runs", "cosmic_ray_fraction", ">= 0", "<= 1"),
        kinds.bounds("preprocess_runs", "masked_fraction", ">= 0", "<= 1"),
        kinds.choice("preprocess_runs", "grade", kinds.EXPOSURE_GRADE),
        kinds.bounds("preprocess_runs", "processing_time_seconds", ">= 0", "<= 1e30"),
        kinds.bounds("preprocess_runs", "retry_count", ">= 0", "<= 2147483647"),
        kinds.flag("preprocess_runs", "is_superseded"),
    )
    op.create_index(
        "ix_preprocess_runs_bad_pixel_mask_id", "preprocess_runs", ["bad_pixel_mask_id"]
    )
    op.create_index("ix_preprocess_runs_bias_frame_id", "preprocess_runs", ["bias_frame_id"])
    op.create_index("ix_preprocess_runs_dark_frame_id", "preprocess_runs", ["dark_frame_id"])
    op.create_index("ix_preprocess_runs_flat_frame_id", "preprocess_runs", ["flat_frame_id"])
    op.create_index("ix_preprocess_runs_manifest_id", "preprocess_runs", ["manifest_id"])
    op.create_index("ix_preprocess_runs_night_tile", "preprocess_runs", ["night", "tile"])
    op.create_index(
        "ix_preprocess_runs_observation_id_status", "preprocess_runs", ["observation_id", "status"]
    )
    op.create_index("ix_preprocess_runs_product_id", "preprocess_runs", ["product_id"])
    op.create_index("ix_preprocess_runs_status", "preprocess_runs", ["status"])


def drop() -> None:
    """Drop the tables of calibration."""
    op.drop_table("preprocess_runs")
    op.drop_table("calibration_frames")
