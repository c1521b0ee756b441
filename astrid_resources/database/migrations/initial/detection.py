"""First migration: tables of scoring, frozen as they were."""

import sqlalchemy as sa
from alembic import op

from astrid_resources.database.migrations.initial import kinds


def create() -> None:
    """Create the tables of scoring."""
    op.create_table(
        "models",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("model_type", kinds.MODEL_TYPE, nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("hyperparameters", kinds.JSON, nullable=True),
        sa.Column("training_dataset", sa.Text(), nullable=True),
        sa.Column("training_metrics", kinds.JSON, nullable=True),
        sa.Column("precision", sa.Double(), nullable=True),
        sa.Column("recall", sa.Double(), nullable=True),
        sa.Column("f1_score", sa.Double(), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("auc_pr", sa.Double(), nullable=True),
        sa.Column("score_threshold", sa.Double(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("deployment_date", kinds.INSTANT, nullable=True),
        sa.Column("model_path", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.Text(), nullable=True),
        sa.Column("mlflow_run_id", sa.Text(), nullable=True),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", "version", name="uq_models_name_version"),
        kinds.choice("models", "model_type", kinds.MODEL_TYPE),
        kinds.bounds("models", "precision", ">= 0", "<= 1"),
        kinds.bounds("models", "recall", ">= 0", "<= 1"),
        kinds.bounds("models", "f1_score", ">= 0", "<= 1"),
        kinds.bounds("models", "accuracy", ">= 0", "<= 1"),
        kinds.bounds("models", "auc_pr", ">= 0", "<= 1"),
        kinds.bounds("models", "score_threshold", ">= 0", "<= 1"),
        kinds.flag("models", "is_active"),
    )
    op.create_index("ix_models_content_sha256", "models", ["content_sha256"])
    op.create_index("ix_models_is_active", "models", ["is_active"])
    op.create_table(
        "model_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("difference_run_id", sa.Uuid(), nullable=True),
        sa.Column("input_image_path", sa.Text(), nullable=True),
        sa.Column("output_mask_path", sa.Text(), nullable=True),
        sa.Column("confidence_map_path", sa.Text(), nullable=True),
        sa.Column("inference_time_ms", sa.Double(), nullable=True),
        sa.Column("memory_usage_mb", sa.Double(), nullable=True),
        sa.Column("total_predictions", sa.Integer(), nullable=False),
        sa.Column("high_confidence_predictions", sa.Integer(), nullable=False),
        sa.Column("status", kinds.RUN_STATUS, nullable=False),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_runs"),
        kinds.foreign("model_runs", "model_id", "models", "RESTRICT"),
        kinds.foreign("model_runs", "observation_id", "observations", "CASCADE"),
        kinds.foreign("model_runs", "difference_run_id", "difference_runs", "CASCADE"),
        kinds.foreign("model_runs", "manifest_id", "products", "RESTRICT"),
        kinds.bounds("model_runs", "inference_time_ms", ">= 0", "<= 1e30"),
        kinds.bounds("model_runs", "memory_usage_mb", ">= 0", "<= 1e30"),
        kinds.bounds("model_runs", "total_predictions", ">= 0", "<= 2147483647"),
        kinds.bounds("model_runs", "high_confidence_predictions", ">= 0", "<= 2147483647"),
        kinds.choice("model_runs", "status", kinds.RUN_STATUS),
        kinds.flag("model_runs", "is_superseded"),
    )
    op.create_index("ix_model_runs_difference_run_id", "model_runs", ["difference_run_id"])
    op.create_index("ix_model_runs_manifest_id", "model_runs", ["manifest_id"])
    op.create_index("ix_model_runs_model_id", "model_runs", ["model_id"])
    op.create_index("ix_model_runs_night_tile", "model_runs", ["night", "tile"])
    op.create_index(
        "ix_model_runs_observation_id_status", "model_runs", ["observation_id", "status"]
    )
    op.create_index("ix_model_runs_status", "model_runs", ["status"])
    op.create_table(
        "detections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("tile", sa.Text(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("candidate_id", sa.Uuid(), nullable=False),
        sa.Column("observation_id", sa.Uuid(), nullable=False),
        sa.Column("pixel_x", sa.Double(), nullable=False),
        sa.Column("pixel_y", sa.Double(), nullable=False),
        sa.Column("mjd_mid", sa.Double(), nullable=True),
        sa.Column("confidence_score", sa.Double(), nullable=False),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.Column("detection_type", kinds.DETECTION_TYPE, nullable=False),
        sa.Column("is_trailed", sa.Boolean(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("inference_time_ms", sa.Double(), nullable=True),
        sa.Column("prediction_metadata", kinds.JSON, nullable=True),
        sa.Column("status", kinds.DETECTION_STATUS, nullable=False),
        sa.Column("ra", sa.Double(), nullable=False),
        sa.Column("dec", sa.Double(), nullable=False),
        sa.Column("healpix29", sa.BigInteger(), nullable=False),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("is_superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", kinds.INSTANT, nullable=False),
        sa.Column("updated_at", kinds.INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_detections"),
        kinds.foreign("detections", "model_run_id", "model_runs", "CASCADE"),
        kinds.foreign("detections", "candidate_id", "candidates", "CASCADE"),
        kinds.foreign("detections", "observation_id", "observations", "CASCADE"),
        kinds.foreign("detections", "manifest_id", "products", "RESTRICT"),
        kinds.bounds("detections", "pixel_x", ">= -1000000", "<= 1000000"),
        kinds.bounds("detections", "pixel_y", ">= -1000000", "<= 1000000"),
        kinds.bounds("detections", "mjd_mid", ">= 0", "<= 200000"),
        kinds.bounds("detections", "confidence_score", ">= 0", "<= 1"),
        kinds.flag("detections", "is_accepted"),
        kinds.choice("detections", "detection_type", kinds.DETECTION_TYPE),
        kinds.flag("detections", "is_trailed"),
        kinds.bounds("detections", "inference_time_ms", ">= 0", "<= 1e30"),
        kinds.choice("detections", "status", kinds.DETECTION_STATUS),
        kinds.bounds("detections", "ra", ">= 0", "< 360"),
        kinds.bounds("detections", "dec", ">= -90", "<= 90"),
        kinds.bounds("detections", "healpix29", ">= 0", "<= 3458764513820540927"),
        kinds.flag("detections", "is_superseded"),
    )
    op.create_index("ix_detections_candidate_id", "detections", ["candidate_id"])
    op.create_index(
        "ix_detections_confidence_score_mjd_mid", "detections", ["confidence_score", "mjd_mid"]
    )
    op.create_index("ix_detections_detection_type", "detections", ["detection_type"])
    op.create_index("ix_detections_healpix29", "detections", ["healpix29"])
    op.create_index("ix_detections_manifest_id", "detections", ["manifest_id"])
    op.create_index("ix_detections_model_run_id", "detections", ["model_run_id"])
    op.create_index("ix_detections_night_tile", "detections", ["night", "tile"])
    op.create_index(
        "ix_detections_observation_id_status", "detections", ["observation_id", "status"]
    )
    op.create_index("ix_detections_status", "detections", ["status"])


def drop() -> None:
    """Drop the tables of scoring."""
    op.drop_table("detections")
    op.drop_table("model_runs")
    op.drop_table("models")
