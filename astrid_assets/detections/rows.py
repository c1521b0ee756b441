"""The rows of `model_runs` and `detections`: what the model said of an exposure's candidates."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from astrid_assets.detections.champion_files import Champion
from astrid_assets.detections.model_in_use import ModelInUse
from astrid_assets.detections.scoring import Scores
from astrid_resources.identity import row_id
from astrid_resources.products import Row, StoredObject

_MASK_LEVEL = 0.5


def model_run_row(
    model: ModelInUse,
    scores: Scores,
    *,
    observation_id: UUID,
    difference_run_id: UUID,
    input_path: str,
    masks: StoredObject | None,
    inference_time_ms: float,
) -> Row:
    """Return the row of one scoring; it is written also where there was nothing to score."""
    return {
        "id": row_id(
            "model_runs", observation_id, "detections", difference_run_id, model.champion.sha256
        ),
        "model_id": model.row_id,
        "observation_id": observation_id,
        "difference_run_id": difference_run_id,
        "input_image_path": input_path,
        "output_mask_path": masks.key if masks else None,
        "inference_time_ms": inference_time_ms,
        "total_predictions": len(scores.probability),
        "high_confidence_predictions": int(scores.is_accepted.sum()),
        "status": "completed",
    }


def detection_rows(
    champion: Champion, scores: Scores, candidates: Sequence[Row], *, model_run_id: UUID
) -> tuple[Row, ...]:
    """Return a row per scored candidate (rows of `candidates`, in the order they were scored).

    What the model refuses is an artifact; what it accepts stays unknown until the catalog says
    more: the model names no kind of source.
    """
    return tuple(
        {
            "id": row_id("detections", candidate["id"], champion.sha256),
            "model_run_id": model_run_id,
            "candidate_id": candidate["id"],
            "observation_id": candidate["observation_id"],
            "ra": candidate["ra"],
            "dec": candidate["dec"],
            "pixel_x": candidate["pixel_x"],
            "pixel_y": candidate["pixel_y"],
            "mjd_mid": candidate["mjd_mid"],
            "confidence_score": float(scores.probability[index]),
            "is_accepted": bool(scores.is_accepted[index]),
            "detection_type": "unknown" if scores.is_accepted[index] else "artifact",
            "is_trailed": bool(scores.is_trailed[index]),
            "model_version": champion.version,
            "prediction_metadata": {
                "threshold": champion.threshold,
                "trailed_probability": float(scores.trailed[index]),
                "uncertainty": float(scores.uncertainty[index]),
                "mask_index": index,
                "mask_pixels": int((scores.masks[index] > _MASK_LEVEL).sum()),
            },
        }
        for index, candidate in enumerate(candidates)
    )
