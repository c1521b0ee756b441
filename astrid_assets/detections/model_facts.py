"""What a model's record says that the table `models` shows: one declaration for every registration.

Pure; which model is in use is decided in `model_decisions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARCHITECTURE = "U-Net, segmentation and score heads"
_MODEL_TYPE = "unet"


def model_facts(record: Mapping[str, Any], *, onnx_sha256: str) -> dict[str, Any]:
    """Return columns of `models` from a model's record (see `champion_files`)."""
    training, figures = record["training"], record["evaluation"]
    return {
        "name": record["name"],
        "version": record["version"],
        "model_type": _MODEL_TYPE,
        "architecture": ARCHITECTURE,
        "content_sha256": onnx_sha256,
        "weights_sha256": record["weights_sha256"],
        "score_threshold": record["threshold"],
        "hyperparameters": training.get("settings"),
        "training_dataset": training.get("training_set", {}).get("sha256"),
        "training_metrics": dict(figures),
        **_rates(figures),
    }


def scalar_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the single numbers of an evaluation by name: what MLflow and the UI plot."""
    values = {name: _value(figures, name) for name in figures}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _rates(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return rates at the working threshold and declared prior; None where not evaluated."""
    auc = _value(figures, "auc_pr")
    lost, false = _value(figures, "false_negative_rate"), _value(figures, "false_positive_rate")
    prior = figures.get("prior_real")
    if lost is None or false is None or prior is None:
        return {"auc_pr": auc}
    recall, taken = 1 - lost, prior * (1 - lost) + (1 - prior) * false
    precision = prior * recall / taken if taken > 0 else None
    both = None if precision is None else precision + recall
    return {
        "auc_pr": auc,
        "recall": recall,
        "precision": precision,
        "f1_score": 2 * precision * recall / both if precision is not None and both else None,
        "accuracy": prior * recall + (1 - prior) * (1 - false),
    }


def _value(figures: Mapping[str, Any], name: str) -> float | None:
    found = figures.get(name)
    return found.get("value") if isinstance(found, Mapping) else found
