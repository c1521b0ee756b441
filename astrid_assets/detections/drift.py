"""Whether a night's candidates are like those the model learnt from: pure statistics of arrays.

Compared are like populations: measured features of everything that the finder finds, before any
rule, with the bogus peaks of the training set; and the scores of what the rules left, with those
of test fields at the declared prior. What is stored with a model is `reference_quantiles`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.quality import N_STANDARD_ERRORS, Finding, Judgement

Floats = NDArray[np.float64]

SCORES = "scores"


@dataclass(frozen=True)
class DriftSettings:
    """The declared limits; a verdict falls at limit + 4 standard errors.

    score_distance_max: largest distance of the scores' distributions (Kolmogorov-Smirnov), on
    scores rounded to score_decimals. It leaves room for another share of real sources: a share
    that differs by d moves the distribution by at most d.
    field_quantile: a feature's distance may be as large as this share of the training fields had
    from all of them (1: as the farthest). outside_share_max: share of a night beyond the central
    `support` of the training set, widened by support_margin of its width on both sides: there it
    extrapolates. Of fields held out of a training set 1.4 % were warned of (295 fields, 19
    features), 10 % where field_quantile is 0.95 and support_margin 0.1.
    n_min, n_fields_min: no verdict on fewer candidates, from fewer training fields.
    """

    score_distance_max: float = 0.3
    score_decimals: int = 2
    field_quantile: float = 1.0
    outside_share_max: float = 0.05
    support: tuple[float, float] = (0.005, 0.995)
    support_margin: float = 0.25
    n_min: int = 20
    n_fields_min: int = 10
    n_quantiles: int = 201


def reference_quantiles(
    features: Mapping[str, Floats],
    scores: Floats,
    *,
    fields: NDArray[np.int64],
    score_weights: Floats,
    settings: DriftSettings | None = None,
) -> dict[str, Any]:
    """Return what a night is held against, as plain JSON: stored in the model's record.

    features: (n,) per name, NaN where unmeasured; fields: (n,) which field each comes from.
    scores: (m,) probabilities of other candidates, with weights that give the declared prior.
    """
    settings = settings or DriftSettings()
    found = {}
    for name, values in features.items():
        known = np.isfinite(values)
        if known.any():
            found[name] = _of_feature(values[known], fields[known], settings)
    rounded = np.round(np.asarray(scores, float), settings.score_decimals)
    weights = np.asarray(score_weights, float)
    of_scores = None
    if len(rounded) and weights.sum() > 0:
        of_scores = {
            "quantiles": _quantiles(rounded, settings.n_quantiles, weights).tolist(),
            "n_effective": float(weights.sum() ** 2 / np.sum(weights**2)),
        }
    return {"features": found, SCORES: of_scores}


def drift(
    reference: Mapping[str, Any],
    features: Mapping[str, Floats],
    scores: Floats,
    *,
    settings: DriftSettings | None = None,
) -> tuple[Finding, ...]:
    """Return the findings of one night against the reference of the model that scored it.

    features: (n,) per name, of all candidates before any rule, NaN where unmeasured; what the
    reference does not know is left out. scores: (m,) of the candidates that were scored.
    The error of a distance is sqrt(1/n + 1/n_reference)/2, the largest standard error that the
    difference of two distribution functions has at any one value.
    """
    settings = settings or DriftSettings()
    findings: list[Finding] = []
    for name, known in sorted(reference.get("features", {}).items()):
        if name in features:
            values = np.asarray(features[name], float)
            findings += _judge_feature(name, values[np.isfinite(values)], known, settings)
    known = reference.get(SCORES)
    rounded = np.round(np.asarray(scores, float), settings.score_decimals)
    limit = settings.score_distance_max
    if known is None or min(len(rounded), known["n_effective"]) < settings.n_min:
        findings.append(_no_verdict("distance of scores", limit))
    else:
        quantiles = np.array(known["quantiles"])
        value, error = _distance(rounded, quantiles), _error(len(rounded), known["n_effective"])
        findings.append(_judged("distance of scores", value, error, limit))
    return tuple(findings)


def _of_feature(
    values: Floats, fields: NDArray[np.int64], settings: DriftSettings
) -> dict[str, Any]:
    """Return a feature's quantiles, and how far its own fields stand from all of them."""
    quantiles = _quantiles(values, settings.n_quantiles)
    names, counts = np.unique(fields, return_counts=True)
    own = [
        _distance(values[fields == name], quantiles)
        for name in names[counts >= settings.n_min]
    ]  # fmt: skip
    enough = len(own) >= settings.n_fields_min
    return {
        "quantiles": quantiles.tolist(),
        "n": len(values),
        "field_distance": float(np.quantile(own, settings.field_quantile)) if enough else None,
    }


def _judge_feature(
    name: str, values: Floats, known: Mapping[str, Any], settings: DriftSettings
) -> list[Finding]:
    n, allowed = len(values), known["field_distance"]
    distance, outside = f"distance of {name}", f"{name} outside training"
    if n < settings.n_min or known["n"] < settings.n_min:
        return [
            _no_verdict(distance, allowed),
            _no_verdict(outside, settings.outside_share_max),
        ]
    quantiles = np.array(known["quantiles"])
    levels = np.linspace(0, 1, len(quantiles))
    low, high = np.interp(settings.support, levels, quantiles)
    margin = settings.support_margin * (high - low)
    share = float(np.mean((values < low - margin) | (values > high + margin)))
    limit = settings.outside_share_max
    share_error = float(np.sqrt(limit * (1 - limit) / n))
    value, error = _distance(values, quantiles), _error(n, known["n"])
    return [
        _no_verdict(distance, None)
        if allowed is None
        else _judged(distance, value, error, allowed),
        _judged(outside, share, share_error, limit),
    ]


def _distance(values: Floats, quantiles: Floats) -> float:
    """Return the largest difference of two distribution functions (Kolmogorov-Smirnov).

    Between its quantiles the reference's function is known within their spacing, which is left out
    of the difference.
    """
    spacing = 1 / (len(quantiles) - 1)
    ordered = np.sort(values)
    at = np.concatenate([ordered, quantiles])
    own = np.searchsorted(ordered, at, side="right") / len(ordered)
    n_below = np.searchsorted(quantiles, at, side="right")
    low = np.maximum(n_below - 1, 0) * spacing
    high = np.minimum(n_below * spacing, 1.0)
    return float(np.max(np.maximum(np.maximum(own - high, low - own), 0.0)))


def _error(n: float, n_reference: float) -> float:
    return 0.5 * float(np.sqrt(1 / n + 1 / n_reference))


def _quantiles(values: Floats, n_quantiles: int, weights: Floats | None = None) -> Floats:
    """Return quantiles at equally spaced levels from 0 to 1; with weights, of the step function."""
    levels = np.linspace(0, 1, n_quantiles)
    if weights is None:
        return np.quantile(values, levels)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    index = np.searchsorted(below, levels - 1e-12)
    return np.asarray(values[order][np.minimum(index, len(values) - 1)])


def _judged(label: str, value: float, error: float, limit: float | None) -> Finding:
    if limit is None:
        return _no_verdict(label, None)
    is_high = value > limit + N_STANDARD_ERRORS * error
    judgement = Judgement.FAILED if is_high else Judgement.PASSED
    return Finding(label, value, error, None, limit, judgement)


def _no_verdict(label: str, limit: float | None) -> Finding:
    return Finding(label, None, 0.0, None, limit, Judgement.NO_VERDICT)
