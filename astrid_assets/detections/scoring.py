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
    uncertainty: (n,) standard deviation of the ensemble's members around it, 0 of a single one.
    trailed: (n,) probability that a real source is trailed by more than one FWHM.
    masks: (n, size, size) float32, probability of each cutout pixel to belong to the source.
    is_accepted: (n,) probability >= the champion's threshold.
    is_trailed: (n,) accepted and trailed >= the champion's trailed_threshold.
    """

    probability: NDArray[np.float64] = field(repr=False)
    uncertainty: NDArray[np.float64] = field(repr=False)
    trailed: NDArray[np.float64] = field(repr=False)
    masks: NDArray[np.float32] = field(repr=False)
    is_accepted: NDArray[np.bool_] = field(repr=False)
    is_trailed: NDArray[np.bool_] = field(repr=False)


def sigmoid(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-logit)) in float64 without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float64)))


def calibrated(
    logit: NDArray[np.floating], *, temperature: float, offset: float, curvature: float
) -> NDArray[np.float64]:
    """Return sigmoid(logit / temperature + curvature softplus(logit) + offset).

    The slope goes from 1 / temperature at low logits to 1 / temperature + curvature at high ones:
    beta calibration (Kull, Silva Filho and Flach 2017) of sigmoid(logit).
    """
    z = np.asarray(logit, np.float64)
    return sigmoid(z / temperature + curvature * np.logaddexp(0, z) + offset)


@lru_cache(maxsize=4)
def _session(onnx: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class RawScores:
    """A network's own outputs for n cutouts.

    logits: (n, 2) real, trailed; members: (n, m) real of each member of an ensemble; masks:
    (n, size, size) probabilities.
    """

    logits: NDArray[np.float32] = field(repr=False)
    members: NDArray[np.float32] = field(repr=False)
    masks: NDArray[np.float32] = field(repr=False)


def run_onnx(onnx: bytes, cutouts: NDArray[np.float32], *, threads: int = 0) -> RawScores:
    """Return the raw outputs of a network for `cutouts`, float32 (n, size, size, 3).

    threads: 0 lets ONNX Runtime choose. A network without members is its own only one.
    """
    session = _session(onnx, threads)
    names = [output.name for output in session.get_outputs()]
    n, size = len(cutouts), cutouts.shape[1]
    logits, members = np.zeros((n, 2), np.float32), np.zeros((n, 1), np.float32)
    masks = np.zeros((n, size, size), np.float32)
    batch = np.zeros((_BATCH, *cutouts.shape[1:]), np.float32)
    for start in range(0, n, _BATCH):
        part = slice(start, min(start + _BATCH, n))
        k = part.stop - part.start
        batch[:k], batch[k:] = cutouts[part], 0
        out = dict(zip(names, session.run(names, {"cutouts": batch}), strict=True))
        each = out.get("members", out["logits"][:, :1])
        if start == 0:
            members = np.zeros((n, each.shape[1]), np.float32)
        logits[part], members[part] = out["logits"][:k], each[:k]
        masks[part] = out["mask"][:k, :, :, 0]
    return RawScores(logits, members, masks)


def at_prior(
    probability: NDArray[np.float64], *, declared: float, prior_real: float
) -> NDArray[np.float64]:
    """Return probabilities that were calibrated at the prior `declared`, at another prior.

    The log odds shift by the difference of the priors' log odds (Saerens et al. 2002).
    """
    for prior in (declared, prior_real):
        if not 0 < prior < 1:
            raise ValueError(f"a prior must lie between 0 and 1, got {prior}")
    odds = prior_real * (1 - declared) / ((1 - prior_real) * declared)
    p = np.asarray(probability, np.float64)
    return p * odds / (p * odds + 1 - p)


def score(champion: Champion, cutouts: NDArray[np.float32], *, threads: int = 0) -> Scores:
    """Return the scores of `cutouts`, float32 (n, size, size, 3) as `make_cutouts` returns them.

    Raises ValueError where the cutouts are not of the champion's shape or not finite.
    """
    size = champion.cutouts.size_pix
    if cutouts.ndim != 4 or cutouts.shape[1:] != (size, size, 3):
        raise ValueError(f"cutouts must be (n, {size}, {size}, 3), got {cutouts.shape}")
    if not np.isfinite(cutouts).all():
        raise ValueError("cutouts must be finite: make them with make_cutouts")
    raw = run_onnx(champion.onnx, cutouts, threads=threads)

    calibration = {
        "temperature": champion.temperature,
        "offset": champion.offset,
        "curvature": champion.curvature,
    }
    probability = np.round(calibrated(raw.logits[:, 0], **calibration), _DECIMALS)
    spread = np.std(calibrated(raw.members, **calibration), axis=1)
    trailed = np.round(sigmoid(raw.logits[:, 1]), _DECIMALS)
    is_accepted = probability >= champion.threshold
    return Scores(
        probability=probability,
        uncertainty=np.round(spread, _DECIMALS),
        trailed=trailed,
        masks=raw.masks,
        is_accepted=is_accepted,
        is_trailed=is_accepted & (trailed >= champion.trailed_threshold),
    )
