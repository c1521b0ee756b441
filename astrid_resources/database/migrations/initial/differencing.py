"""First migration: tables of differencing, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of differencing."""
    op.create_table(
        "reference_images",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("survey_id", sa.Uuid(), nullable=False),
        sa.Column("filter_band", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("input_observation_ids", kinds.JSON, nullable=False),
        sa.Column("input_nights", kinds.JSON, nullable=False),
        sa.Column("first_night", sa.Date(), nullable=True),
        sa.Column("last_night", sa.Date(), nullable=True),
        sa.Column("n_inputs", sa.Integer(), nullable=False),
        sa.Column("image_path", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("footprint", kinds.JSON, nullable=True),
        sa.Column("limiting_mag_5sigma", sa.Double(), nullable=True),
        sa.Column("limiting_flux_5sigma", sa.Double(), nullable=True),
        sa.Column("psf_fwhm_pix", sa.Double(), nullable=True),
        sa.Column("coverage_fraction", sa.Double(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("promoted_at", kinds.INSTANT, nullable=True),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference_images"),
        kinds.foreign("reference_images", "survey_id", "surveys", "RESTRICT"),
        kinds.foreign("reference_images", "manifest_id", "products", "RESTRICT"),
        kinds.bounds("reference_images", "n_inputs", ">= 1", "<= 100000"),
        kinds.bounds("reference_images", "limiting_mag_5sigma", ">= -100", "<= 100"),
        kinds.bounds("reference_images", "limiting_flux_5sigma", ">= 0", "<= 1e30"),
        kinds.bounds("reference_images", "psf_fwhm_pix", "> 0", "<= 10000"),
        kinds.bounds("reference_images", "coverage_fraction", ">= 0", "<= 1"),
        kinds.bounds("reference_images", "version", ">= 0", "<= 2147483647"),
        kinds.flag("reference_images", "is_current"),
        kinds.flag("reference_images", "is_superseded"),
    )
    op.create_index("ix_reference_images_content_sha256", "reference_images", ["content_sha256"])
    op.create_index("ix_reference_images_manifest_id", "reference_images", ["manifest_id"])
    op.create_index("ix_reference_images_product_id", "reference_images", ["product_id"])
    op.create_index("ix_reference_images_survey_id", "reference_images", ["survey_id"])
    op.create_index(
        "ix_reference_images_tile_survey_id_filter_band_is_current",
        "reference_images",
        ["tile", "survey_id", "filter_band", "is_current"],
    )
    op.create_table(
        "difference_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("reference_image_id", sa.Uuid(), nullable=True),
        sa.Column("reference_observation_id", sa.Uuid(), nullable=True),
        sa.Column("reference_sha256", sa.Text(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("parameters", kinds.JSON, nullable=True),
        sa.Column("status", kinds.RUN_STATUS, nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("difference_image_path", sa.Text(), nullable=True),
        sa.Column("significance_map_path", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=True),
        sa.Column("noise_level", sa.Double(), nullable=True),
        sa.Column("detection_threshold", sa.Double(), nullable=True),
        sa.Column("candidates_found", sa.Integer(), nullable=True),
        sa.Column("score_median", sa.Double(), nullable=True),
        sa.Column("score_std", sa.Double(), nullable=True),
        sa.Column("score_tail_fraction", sa.Double(), nullable=True),
        sa.Column("n_blank_elements", sa.Integer(), nullable=True),
        sa.Column("flux_ratio", sa.Double(), nullable=True),
        sa.Column("shift_x_pix", sa.Double(), nullable=True),
        sa.Column("shift_y_pix", sa.Double(), nullable=True),
        sa.Column("n_matched_stars", sa.Integer(), nullable=True),
        sa.Column("residual_power_ratio", sa.Double(), nullable=True),
        sa.Column("noise_scale_factor", sa.Double(), nullable=True),
        sa.Column("limiting_mag_5sigma", sa.Double(), nullable=True),
        sa.Column("limiting_flux_5sigma", sa.Double(), nullable=True),
        sa.Column("astrometric_noise_x", sa.Double(), nullable=True),
        sa.Column("astrometric_noise_y", sa.Double(), nullable=True),
        sa.Column("psf_model_error", sa.Double(), nullable=True),
        sa.Column("coverage_fraction", sa.Double(), nullable=True),
        sa.Column("searched_area_mpix", sa.Double(), nullable=True),
        sa.Column("verdict", kinds.VERDICT, nullable=False),
        sa.Column("verdict_reasons", kinds.JSON, nullable=True),
        sa.Column("processing_time_seconds", sa.Double(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_difference_runs"),
        sa.CheckConstraint(
            "status <> 'completed' OR "
            "reference_image_id IS NOT NULL OR "
            "reference_observation_id IS NOT NULL",
            name=op.f("ck_difference_runs_completed_has_reference"),
        ),
        kinds.foreign("difference_runs", "observation_id", "observations", "CASCADE"),
        kinds.foreign("difference_runs", "reference_image_id", "reference_images", "RESTRICT"),
        kinds.foreign("difference_runs", "reference_observation_id", "observations", "RESTRICT"),
        kinds.foreign("difference_runs", "manifest_id", "products", "RESTRICT"),
        kinds.choice("difference_runs", "status", kinds.RUN_STATUS),
        kinds.bounds("difference_runs", "noise_level", ">= 0", "<= 1e30"),
        kinds.bounds("difference_runs", "detection_threshold", "> 0", "<= 1000"),
        kinds.bounds("difference_runs", "candidates_found", ">= 0", "<= 2147483647"),
        kinds.bounds("difference_runs", "score_median", ">= -1e30", "<= 1e30"),
        kinds.bounds("difference_runs", "score_std", ">= 0", "<= 1e30"),
        kinds.bounds("difference_runs", "score_tail_fraction", ">= 0", "<= 1"),
        kinds.bounds("difference_runs", "n_blank_elements", ">= 0", "<= 2147483647"),
        kinds.bounds("difference_runs", "flux_ratio", "> 0", "<= 1e12"),
        kinds.bounds("difference_runs", "shift_x_pix", ">= -1e30", "<= 1e30"),
        kinds.bounds("difference_runs", "shift_y_pix", ">= -1e30", "<= 1e30"),
        kinds.bounds("difference_runs", "n_matched_stars", ">= 0", "<= 2147483647"),
        kinds.bounds("difference_runs", "residual_power_ratio", ">= 0", "<= 1e30"),
        kinds.bounds("difference_runs", "noise_scale_factor", "> 0", "<= 1e30"),
        kinds.bounds("difference_runs", "limiting_mag_5sigma", ">= -100", "<= 100"),
        kinds.bounds("difference_runs", "limiting_flux_5sigma", ">= 0", "<= 1e30"),
        kinds.bounds("difference_runs", "astrometric_noise_x", ">= 0", "<= 1000"),
        kinds.bounds("difference_runs", "astrometric_noise_y", ">= 0", "<= 1000"),
        kinds.bounds("difference_runs", "psf_model_error", ">= 0", "<= 10"),
        kinds.bounds("difference_runs", "coverage_fraction", ">= 0", "<= 1"),
        kinds.bounds("difference_runs", "searched_area_mpix", ">= 0", "<= 1e30"),
        kinds.choice("difference_runs", "verdict", kinds.VERDICT),
        kinds.bounds("difference_runs", "processing_time_seconds", ">= 0", "<= 1e30"),
        kinds.flag("difference_runs", "is_superseded"),
    )
    op.create_index("ix_difference_runs_manifest_id", "difference_runs", ["manifest_id"])
    op.create_index("ix_difference_runs_night_tile", "difference_runs", ["night", "tile"])
    op.create_index(
        "ix_difference_runs_observation_id_status", "difference_runs", ["observation_id", "status"]
    )
    op.create_index("ix_difference_runs_product_id", "difference_runs", ["product_id"])
    op.create_index(
        "ix_difference_runs_reference_image_id", "difference_runs", ["reference_image_id"]
    )
    op.create_index(
        "ix_difference_runs_reference_observation_id",
        "difference_runs",
        ["reference_observation_id"],
    )
    op.create_index("ix_difference_runs_status", "difference_runs", ["status"])
    op.create_index("ix_difference_runs_verdict", "difference_runs", ["verdict"])
    op.create_table(
        "candidates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("difference_run_id", sa.Uuid(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("ra_error", sa.Double(), nullable=True),
        sa.Column("dec_error", sa.Double(), nullable=True),
        sa.Column("mjd_mid", sa.Double(), nullable=True),
        sa.Column("filter_band", sa.Text(), nullable=True),
        sa.Column("pixel_x", sa.Double(), nullable=False),
        sa.Column("pixel_y", sa.Double(), nullable=False),
        sa.Column("flux", sa.Double(), nullable=False),
        sa.Column("flux_error", sa.Double(), nullable=False),
        sa.Column("flux_njy", sa.Double(), nullable=True),
        sa.Column("flux_njy_error", sa.Double(), nullable=True),
        sa.Column("aperture_flux", sa.Double(), nullable=True),
        sa.Column("aperture_flux_error", sa.Double(), nullable=True),
        sa.Column("significance", sa.Double(), nullable=False),
        sa.Column("snr", sa.Double(), nullable=False),
        sa.Column("is_negative", sa.Boolean(), nullable=False),
        sa.Column("fwhm", sa.Double(), nullable=True),
        sa.Column("ellipticity", sa.Double(), nullable=True),
        sa.Column("position_angle", sa.Double(), nullable=True),
        sa.Column("chi2", sa.Double(), nullable=True),
        sa.Column("is_saturated", sa.Boolean(), nullable=False),
        sa.Column("is_blended", sa.Boolean(), nullable=False),
        sa.Column("is_edge", sa.Boolean(), nullable=False),
        sa.Column("is_dipole", sa.Boolean(), nullable=False),
        sa.Column("is_trailed", sa.Boolean(), nullable=False),
        sa.Column("is_flux_masked", sa.Boolean(), nullable=False),
        sa.Column("mask_bits", sa.BigInteger(), nullable=False),
        sa.Column("masked_fraction", sa.Double(), nullable=False),
        sa.Column("positive_pixel_fraction", sa.Double(), nullable=True),
        sa.Column("dipole_ratio", sa.Double(), nullable=True),
        sa.Column("nearest_reference_distance_arcsec", sa.Double(), nullable=True),
        sa.Column("nearest_reference_flux", sa.Double(), nullable=True),
        sa.Column("nearest_reference_is_star", sa.Boolean(), nullable=True),
        sa.Column("reference_star_flux_ratio", sa.Double(), nullable=True),
        sa.Column("status", kinds.CANDIDATE_STATUS, nullable=False),
        sa.Column("rejection_rule", sa.Text(), nullable=True),
        sa.Column("rejection_value", sa.Double(), nullable=True),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_candidates"),
        kinds.foreign("candidates", "difference_run_id", "difference_runs", "CASCADE"),
        kinds.foreign("candidates", "observation_id", "observations", "CASCADE"),
        kinds.foreign("candidates", "manifest_id", "products", "RESTRICT"),
        kinds.bounds("candidates", "rank", ">= 0", "<= 2147483647"),
        kinds.bounds("candidates", "ra_error", ">= 0", "<= 36000"),
        kinds.bounds("candidates", "dec_error", ">= 0", "<= 36000"),
        kinds.bounds("candidates", "mjd_mid", ">= 0", "<= 200000"),
        kinds.bounds("candidates", "pixel_x", ">= -1000000", "<= 1000000"),
        kinds.bounds("candidates", "pixel_y", ">= -1000000", "<= 1000000"),
        kinds.bounds("candidates", "flux", ">= -1e30", "<= 1e30"),
        kinds.bounds("candidates", "flux_error", "> 0", "<= 1e30"),
        kinds.bounds("candidates", "flux_njy", ">= -1e30", "<= 1e30"),
        kinds.bounds("candidates", "flux_njy_error", ">= 0", "<= 1e30"),
        kinds.bounds("candidates", "aperture_flux", ">= -1e30", "<= 1e30"),
        kinds.bounds("candidates", "aperture_flux_error", ">= 0", "<= 1e30"),
        kinds.bounds("candidates", "significance", ">= -1e30", "<= 1e30"),
        kinds.bounds("candidates", "snr", ">= -1e30", "<= 1e30"),
        kinds.flag("candidates", "is_negative"),
        kinds.bounds("candidates", "fwhm", ">= 0", "<= 100000"),
        kinds.bounds("candidates", "ellipticity", ">= 0", "<= 1"),
        kinds.bounds("candidates", "position_angle", ">= -360", "<= 360"),
        kinds.bounds("candidates", "chi2", ">= 0", "<= 1e30"),
        kinds.flag("candidates", "is_saturated"),
        kinds.flag("candidates", "is_blended"),
        kinds.flag("candidates", "is_edge"),
        kinds.flag("candidates", "is_dipole"),
        kinds.flag("candidates", "is_trailed"),
        kinds.flag("candidates", "is_flux_masked"),
        kinds.bounds("candidates", "mask_bits", ">= 0", "<= 4294967295"),
        kinds.bounds("candidates", "masked_fraction", ">= 0", "<= 1"),
        kinds.bounds("candidates", "positive_pixel_fraction", ">= 0", "<= 1"),
        kinds.bounds("candidates", "dipole_ratio", ">= 0", "<= 1e30"),
        kinds.bounds("candidates", "nearest_reference_distance_arcsec", ">= 0", "<= 648000"),
        kinds.bounds("candidates", "nearest_reference_flux", ">= -1e30", "<= 1e30"),
        kinds.flag("candidates", "nearest_reference_is_star"),
        kinds.bounds("candidates", "reference_star_flux_ratio", ">= 0", "<= 1e30"),
        kinds.choice("candidates", "status", kinds.CANDIDATE_STATUS),
        kinds.bounds("candidates", "rejection_value", ">= -1e30", "<= 1e30"),
        kinds.bounds("candidates", "ra", ">= 0", "< 360"),
        kinds.bounds("candidates", "dec", ">= -90", "<= 90"),
        kinds.bounds("candidates", "healpix29", ">= 0", "<= 3458764513820540927"),
        kinds.flag("candidates", "is_superseded"),
    )
    op.create_index("ix_candidates_difference_run_id", "candidates", ["difference_run_id"])
    op.create_index("ix_candidates_healpix29", "candidates", ["healpix29"])
    op.create_index("ix_candidates_manifest_id", "candidates", ["manifest_id"])
    op.create_index("ix_candidates_night_tile", "candidates", ["night", "tile"])
    op.create_index(
        "ix_candidates_observation_id_status", "candidates", ["observation_id", "status"]
    )
    op.create_index("ix_candidates_rejection_rule", "candidates", ["rejection_rule"])
    op.create_index("ix_candidates_significance", "candidates", ["significance"])
    op.create_index("ix_candidates_status", "candidates", ["status"])


def drop() -> None:
    """Drop the tables of differencing."""
    op.drop_table("candidates")
    op.drop_table("difference_runs")
    op.drop_table("reference_images")
