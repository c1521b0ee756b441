"""Tables of scoring: models, model runs and detections."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import (
    Base,
    Identified,
    NightTile,
    Produced,
    SkyPosition,
    Timestamped,
)
from astrid_resources.database.preprocessing import RunStatus


class ModelType(StrEnum):
    """What a model does."""

    UNET = "unet"
    ANOMALY_DETECTOR = "anomaly_detector"
    CLASSIFIER = "classifier"
    SEGMENTATION = "segmentation"


class DetectionType(StrEnum):
    """What a detection is; supernova only by human label or spectrum."""

    SUPERNOVA = "supernova"
    VARIABLE = "variable"
    TRANSIENT = "transient"
    ASTEROID = "asteroid"
    ARTIFACT = "artifact"
    UNKNOWN = "unknown"


class DetectionStatus(StrEnum):
    """How far the review of a detection came."""

    PENDING = "pending"
    VALIDATING = "validating"
    VALIDATED = "validated"
    REJECTED = "rejected"
    CONFIRMED = "confirmed"
    ARCHIVED = "archived"


class Model(Identified, Timestamped, Base):
    """A trained model; `is_active` decides which one is in use. Id from (name, content_sha256)."""

    __tablename__ = "models"
    __table_args__ = (
        sa.UniqueConstraint("name", "version"),
        sa.Index(None, "is_active"),
        sa.Index(None, "content_sha256"),
    )

    name: Mapped[str] = col.text("name")
    version: Mapped[str] = col.text("version")
    model_type: Mapped[ModelType] = col.choice(ModelType, "what it does")
    architecture: Mapped[str] = col.text("architecture", default="")
    hyperparameters: Mapped[dict[str, Any] | None] = col.json("hyperparameters")
    training_dataset: Mapped[str | None] = col.text("data it was trained on")
    training_metrics: Mapped[dict[str, Any] | None] = col.json("figures of its evaluation")
    precision: Mapped[float | None] = col.real("precision", interval=col.FRACTION)
    recall: Mapped[float | None] = col.real("recall", interval=col.FRACTION)
    f1_score: Mapped[float | None] = col.real("F1 score", interval=col.FRACTION)
    accuracy: Mapped[float | None] = col.real("accuracy", interval=col.FRACTION)
    auc_pr: Mapped[float | None] = col.real(
        "area under the precision-recall curve", interval=col.FRACTION
    )
    score_threshold: Mapped[float | None] = col.real(
        "threshold of its score", interval=col.FRACTION
    )
    is_active: Mapped[bool] = col.flag("the model in use", set_once=True)
    deployment_date: Mapped[datetime | None] = col.instant("when it came into use", set_once=True)
    model_path: Mapped[str] = col.object_key("the model, or `package:` and its file")
    content_sha256: Mapped[str] = col.text("sha256 of the file that scores")
    weights_sha256: Mapped[str | None] = col.text("hash of its weights")
    mlflow_run_id: Mapped[str | None] = col.text("MLflow run")
    record_path: Mapped[str | None] = col.object_key(
        "its record, which names its files by sha256", sort_order=200
    )
    keras_path: Mapped[str | None] = col.object_key("its `.keras` file", sort_order=201)
    decision: Mapped[dict[str, Any] | None] = col.json(
        "the last decision on its use, with its numbers", set_once=True, sort_order=202
    )
    decided_at: Mapped[datetime | None] = col.instant(
        "when that was decided", set_once=True, sort_order=203
    )


class ModelRun(Identified, Timestamped, NightTile, Produced, Base):
    """Scoring of one observation; id from (observation, stage, difference run, model sha256)."""

    __tablename__ = "model_runs"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "status"),
    )

    model_id: Mapped[uuid.UUID] = col.refers_to("models.id", "the model", on_delete="RESTRICT")
    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the science exposure")
    difference_run_id: Mapped[uuid.UUID | None] = col.refers_to(
        "difference_runs.id", "the subtraction whose candidates were scored"
    )
    input_image_path: Mapped[str | None] = col.object_key("its input")
    output_mask_path: Mapped[str | None] = col.object_key("the segmentation masks")
    confidence_map_path: Mapped[str | None] = col.object_key("the confidence map")
    inference_time_ms: Mapped[float | None] = col.real(
        "time it took", unit="ms", interval=col.NOT_NEGATIVE
    )
    memory_usage_mb: Mapped[float | None] = col.real(
        "peak memory", unit="Mbyte", interval=col.NOT_NEGATIVE
    )
    total_predictions: Mapped[int] = col.whole("candidates scored", default=0)
    high_confidence_predictions: Mapped[int] = col.whole(
        "candidates at or above threshold", default=0
    )
    status: Mapped[RunStatus] = col.choice(RunStatus, "how far it came")


class Detection(Identified, Timestamped, NightTile, SkyPosition, Produced, Base):
    """A candidate scored by the model; id from (candidate id, model sha256)."""

    __tablename__ = "detections"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "status"),
        sa.Index(None, "confidence_score", "mjd_mid"),
        sa.Index(None, "detection_type"),
    )

    model_run_id: Mapped[uuid.UUID] = col.refers_to("model_runs.id", "its scoring")
    candidate_id: Mapped[uuid.UUID] = col.refers_to("candidates.id", "its candidate")
    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the science exposure")
    pixel_x: Mapped[float] = col.real(
        "x, 0-based, integer at the pixel centre",
        unit="pix",
        ucd="pos.cartesian.x;instr.det",
        interval="[-1000000, 1000000]",
    )
    pixel_y: Mapped[float] = col.real(
        "y, 0-based, integer at the pixel centre",
        unit="pix",
        ucd="pos.cartesian.y;instr.det",
        interval="[-1000000, 1000000]",
    )
    mjd_mid: Mapped[float | None] = col.real(
        "mid-exposure, MJD, TAI", unit="d", ucd="time.epoch;obs.exposure", interval=col.MJD
    )
    confidence_score: Mapped[float] = col.real(
        "calibrated probability of being real", ucd="stat.probability", interval=col.FRACTION
    )
    is_accepted: Mapped[bool] = col.flag("at or above the model's threshold")
    detection_type: Mapped[DetectionType] = col.choice(
        DetectionType, "what it is", default=DetectionType.UNKNOWN
    )
    is_trailed: Mapped[bool] = col.flag("its trail exceeds one FWHM")
    model_version: Mapped[str] = col.text("version of the model that scored it")
    inference_time_ms: Mapped[float | None] = col.real(
        "time it took", unit="ms", interval=col.NOT_NEGATIVE
    )
    prediction_metadata: Mapped[dict[str, Any] | None] = col.json("what else the model said")
    status: Mapped[DetectionStatus] = col.choice(
        DetectionStatus,
        "how far its review came",
        default=DetectionStatus.PENDING,
        set_once=True,
    )
