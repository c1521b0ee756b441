"""What the network must beat: two classifiers on the candidate's measured features alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training.curves import (
    at_class_weights,
    average_precision,
    false_positives_at,
    log_loss,
    paired_gain,
    prior_weights,
)
from astrid_assets.training.evaluate import EvaluationSettings, Sample, calibrate
from astrid_assets.training.samples import TrainingSet

Floats = NDArray[np.float64]
Scorer = Callable[[NDArray[np.float32]], Floats]
_STRETCHED = 5.0


def logistic_regression(features: NDArray[np.float32], is_real: NDArray[np.bool_]) -> Scorer:
    """Return logits of a logistic regression on stretched, standardised features.

    An unknown feature counts as the median, and that it is unknown is a feature of its own.
    """
    from sklearn.linear_model import LogisticRegression

    middle = np.nanmedian(features, axis=0)
    spread = np.nanpercentile(np.abs(features - middle), 75, axis=0)
    spread = np.where(spread > 0, spread, 1)

    def prepared(values: NDArray[np.float32]) -> Floats:
        scaled = np.arcsinh((values - middle) / spread)
        known = np.isfinite(scaled)
        scaled = np.clip(np.where(known, scaled, 0), -_STRETCHED, _STRETCHED)
        return np.concatenate([scaled, scaled**2, ~known], axis=1).astype(float)

    model = LogisticRegression(class_weight="balanced", max_iter=2000)
    model.fit(prepared(features), is_real)
    return lambda values: np.asarray(model.decision_function(prepared(values)), float)


def boosted_trees(features: NDArray[np.float32], is_real: NDArray[np.bool_]) -> Scorer:
    """Return logits of gradient-boosted trees (histogram form) on the features as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        class_weight="balanced", max_iter=300, learning_rate=0.08, random_state=0
    )
    model.fit(features, is_real)
    return lambda values: np.asarray(model.decision_function(values), float)


BASELINES: dict[str, Callable[[NDArray[np.float32], NDArray[np.bool_]], Scorer]] = {
    "logistic_regression": logistic_regression,
    "boosted_trees": boosted_trees,
}


def compared(
    logits: dict[str, Floats],
    known_logits: dict[str, Floats],
    *,
    known_is_real: NDArray[np.bool_],
    sample: Sample,
    first: str,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:
    """Return one table row per model: AUCPR, false positives, log-loss, gain of `first` over it.

    logits: of the test samples, by model; known_logits: of the calibration samples, on which each
    is calibrated alike. The gain in AUCPR is paired, its 95 % interval clustered by field.
    """
    real, prior = sample.is_real, settings.prior_real
    weight = prior_weights(real, prior)
    keep = ~real | (sample.snr >= settings.auc_snr_min)
    bright = ~real | (sample.snr >= settings.snr_min)
    area = at_class_weights(average_precision, prior)
    rng = np.random.default_rng(settings.seed)
    table: dict[str, dict[str, Any]] = {}
    for name, values in logits.items():
        calibration = calibrate(known_logits[name], known_is_real, prior_real=prior)
        p = calibration.probabilities(values)
        table[name] = {
            "auc_pr": area(values[keep], real[keep], weight[keep]),
            "false_positive_rate_at_1pct_fnr": false_positives_at(
                values[bright], real[bright], weight[bright],
                false_negative_rate=settings.false_negative_rate,
            ),
            "log_loss": log_loss(p, real, weight),
        }  # fmt: skip
        if name != first:
            table[name]["auc_pr_gain"] = paired_gain(
                area, logits[first][keep], values[keep], real[keep], sample.sky_field[keep],
                n_bootstrap=settings.n_bootstrap, rng=rng,
            )  # fmt: skip
    return table


def baseline_figures(
    train: TrainingSet,
    known: TrainingSet,
    test: TrainingSet,
    *,
    network_logits: tuple[Floats, Floats],
    sample: Sample,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:
    """Return the table of the network beside the baselines, which see the training fold alone.

    A feature that was never measured there is left out. network_logits: of the calibration and of
    the test samples.
    """
    known_logits, logits = {"network": network_logits[0]}, {"network": network_logits[1]}
    seen = np.isfinite(train.features).any(axis=0)
    for name, make in BASELINES.items():
        scorer = make(train.features[:, seen], train.is_real)
        known_logits[name] = scorer(known.features[:, seen])
        logits[name] = scorer(test.features[:, seen])
    return compared(
        logits, known_logits, known_is_real=known.is_real, sample=sample, first="network",
        settings=settings,
    )  # fmt: skip
