"""Writing a champion: `.keras`, ONNX and the record that names both, after their agreement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.champion_files import (
    KERAS_FILE,
    ONNX_FILE,
    RECORD_FILE,
    Champion,
    load_champion,
    record_sha256,
    sha256_bytes,
)
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.detections.scoring import run_onnx, sigmoid
from astrid_assets.training import network
from astrid_assets.training.card import CARD_FILE, model_card
from astrid_resources.images import KnownFailure

AGREEMENT = 1e-5


class ExportDisagreesError(KnownFailure):
    """Keras and ONNX give different outputs: the export is not the model that was evaluated."""


def disagreement(model: Any, onnx: bytes, cutouts: NDArray[np.float32]) -> float:
    """Return the largest difference of any probability between Keras and ONNX Runtime."""
    logits, masks = network.predict(model, cutouts)
    raw = run_onnx(onnx, cutouts)
    largest_logit = np.max(np.abs(sigmoid(logits) - sigmoid(raw.logits)), initial=0.0)
    return float(max(largest_logit, np.max(np.abs(masks - raw.masks), initial=0.0)))


def write_champion(
    folder: Path,
    model: Any,
    *,
    name: str,
    version: str,
    check_cutouts: NDArray[np.float32],
    cutouts: CutoutSettings,
    calibration: Mapping[str, float],
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    drift_reference: Mapping[str, Any],
) -> Champion:
    """Write record, model card, `model.onnx` and `model.keras` into `folder`; return the champion.

    check_cutouts: (n, s, s, 3) on which Keras, ONNX and the reloaded `.keras` file must agree to
    1e-5. calibration: threshold, trailed_threshold, temperature, offset, curvature,
    prior_real.
    drift_reference: `reference_quantiles` of the candidates it learnt from. The version gets the
    beginning of the file's hash, so that no two models share one.
    Raises ExportDisagreesError where they do not agree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx = network.to_onnx(model)
    keras_file = folder / KERAS_FILE
    network.save(model, keras_file)
    reloaded = network.load(keras_file)
    for which, other in (("Keras", model), ("the reloaded .keras file", reloaded)):
        largest = disagreement(other, onnx, check_cutouts)
        if not largest <= AGREEMENT:
            raise ExportDisagreesError(
                f"{which} and ONNX differ by {largest:.2e} in probability, allowed {AGREEMENT}",
                found=largest, allowed=AGREEMENT,
            )  # fmt: skip
    (folder / ONNX_FILE).write_bytes(onnx)
    record = {
        "name": name,
        "version": f"{version}-{sha256_bytes(onnx)[:8]}",
        "files": {
            ONNX_FILE: sha256_bytes(onnx),
            KERAS_FILE: sha256_bytes(keras_file.read_bytes()),
        },
        "weights_sha256": network.weights_sha256(model),
        "n_parameters": network.count_parameters(model),
        "keras_onnx_largest_difference": largest,
        "cutouts": asdict(cutouts),
        **calibration,
        "training": dict(training),
        "evaluation": dict(evaluation),
        "drift_reference": dict(drift_reference),
    }
    return _written(folder, record)


def with_figures(folder: Path, figures: Mapping[str, Any]) -> Champion:
    """Add figures to the evaluation of the champion in `folder`; return it, loaded and verified.

    The model and how it is read stay as they are.
    """
    record = dict(load_champion(folder).record)
    record["evaluation"] = {**record["evaluation"], **figures}
    return _written(folder, record)


def _written(folder: Path, record: Mapping[str, Any]) -> Champion:
    plain = json.loads(json.dumps(record, allow_nan=False))
    plain["record_sha256"] = record_sha256(plain)
    text = json.dumps(plain, indent=1, sort_keys=True, allow_nan=False)
    (folder / RECORD_FILE).write_text(text + "\n")
    (folder / CARD_FILE).write_text(model_card(plain))
    return load_champion(folder)
