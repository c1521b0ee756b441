"""Scores of cutouts from the champion, through ONNX Runtime (imported here alone).

The result of a cutout does not depend on the others it is scored with: batches have one fixed size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.champion_files import (
    Champion,
    ModelAlteredError,
    ModelMissingError,
    ModelUntrainedError,
    load_champion,
)

__all__ = [
    "Champion",
    "ModelAlteredError",
    "ModelMissingError",
    "ModelUntrainedError",
    "Scores",
    "load_champion",
    "score",
]

_BATCH = 32
_DECIMALS = 6


@dataclass(frozen=True)
class Scores:
    """What the model says of n cutouts.

    probability: (n,) probability of being real at the champion's declared prior, 6 decimals.
    trailed: (n,) probability that a real source is trailed by more than one FWHM.
    masks: (n, size, size) float32, probability of each cutout pixel to belong to the source.
    is_accepted: (n,) probability >= the champion's threshold.
    is_trailed: (n,) accepted and trailed >= the champion's trailed_threshold.
    """

    probability: NDArray[np.float64] = field(repr=False)
    trailed: NDArray[np.float64] = field(repr=False)
    masks: NDArray[np.float32] = field(repr=False)
    is_accepted: NDArray[np.bool_] = field(repr=False)
    is_trailed: NDArray[np.bool_] = field(repr=False)


def sigmoid(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-logit)) in float64 without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float64)))


@lru_cache(maxsize=4)
def _session(onnx: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def run_onnx(
    onnx: bytes, cutouts: NDArray[np.float32], *, threads: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the raw logits (n, 2) = real, trailed, and mask probabilities (n, size, size).

    cutouts: float32 (n, size, size, 3). threads: 0 lets ONNX Runtime choose.
    """
    session = _session(onnx, threads)
    n, size = len(cutouts), cutouts.shape[1]
    logits = np.zeros((n, 2), np.float32)
    masks = np.zeros((n, size, size), np.float32)
    batch = np.zeros((_BATCH, *cutouts.shape[1:]), np.float32)
    for start in range(0, n, _BATCH):
        part = slice(start, min(start + _BATCH, n))
        k = part.stop - part.start
        batch[:k], batch[k:] = cutouts[part], 0
        out_logits, out_masks = session.run(["logits", "mask"], {"cutouts": batch})
        logits[part], masks[part] = out_logits[:k], out_masks[:k, :, :, 0]
    return logits, masks


def score(champion: Champion, cutouts: NDArray[np.float32], *, threads: int = 0) -> Scores:
    """Return the scores of `cutouts`, float32 (n, size, size, 3) as `make_cutouts` returns them.

    Raises ValueError where the cutouts are not of the champion's shape or not finite.
    """
    size = champion.cutouts.size_pix
    if cutouts.ndim != 4 or cutouts.shape[1:] != (size, size, 3):
        raise ValueError(f"cutouts must be (n, {size}, {size}, 3), got {cutouts.shape}")
    if not np.isfinite(cutouts).all():
        raise ValueError("cutouts must be finite: make them with make_cutouts")
    logits, masks = run_onnx(champion.onnx, cutouts, threads=threads)
    calibrated = sigmoid(logits[:, 0] / champion.temperature + champion.offset)
    probability = np.round(calibrated, _DECIMALS)
    trailed = np.round(sigmoid(logits[:, 1]), _DECIMALS)
    is_accepted = probability >= champion.threshold
    return Scores(
        probability=probability,
        trailed=trailed,
        masks=masks,
        is_accepted=is_accepted,
        is_trailed=is_accepted & (trailed >= champion.trailed_threshold),
    )
