"""Figures of a classifier on a test set: curves, rates, reliability, each with its interval.

Everything is a function of arrays; which samples are a test set is settled in `samples.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from astrid_assets.detections.scoring import at_prior, calibrated
from astrid_assets.training.curves import (
    Array,
    Statistic,
    area_under_roc,
    at_class_weights,
    average_precision,
    clustered_interval,
    false_positives_at,
    largest_by_chance,
    log_loss,
    paired_gain,
    plain,
    prior_weights,
    rate,
    reliability,
    threshold_at,
)

__all__ = [
    "Calibration",
    "EvaluationSettings",
    "Sample",
    "area_under_roc",
    "at_class_weights",
    "average_precision",
    "calibrate",
    "clustered_interval",
    "evaluate",
    "paired_gain",
    "prior_weights",
    "rate",
    "threshold_at",
]


@dataclass(frozen=True)
class EvaluationSettings:
    """Declared choices of the evaluation.

    prior_real: share of real candidates for which probabilities are calibrated and curves weighted.
    false_negative_rate, snr_min: the false-positive rate is stated where this share of true sources
    above this S/N is lost. auc_snr_min: real sources above it count in the precision-recall curve.
    threshold_false_negative_rate, threshold_snr_min: the working threshold loses this share of
    those points above this S/N which the rules leave to the model.
    """

    prior_real: float = 1 / 31
    false_negative_rate: float = 0.01
    snr_min: float = 6.0
    auc_snr_min: float = 5.0
    threshold_false_negative_rate: float = 0.01
    threshold_snr_min: float = 7.0
    snr_edges: tuple[float, ...] = (4.0, 5.0, 6.0, 7.0, 10.0, 20.0, 50.0)
    fwhm_edges_pix: tuple[float, ...] = (1.5, 3.0, 4.0, 5.0, 7.0)
    host_edges_sigma: tuple[float, ...] = (-1e9, 1.0, 3.0, 10.0, 30.0, 1e9)
    reliability_edges: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    n_bootstrap: int = 300
    seed: int = 20260101


@dataclass(frozen=True)
class Sample:
    """What is known of the n samples that are evaluated.

    is_real: truth; snr: true S/N of a real one (NaN of a bogus one); sky_field: which sky field;
    fwhm_pix: FWHM of the difference; on_host: a galaxy lies under it.
    """

    is_real: NDArray[np.bool_] = field(repr=False)
    snr: Array = field(repr=False)
    sky_field: NDArray[np.int64] = field(repr=False)
    fwhm_pix: Array = field(repr=False)
    on_host: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities at the prior it was asked for; see `scoring.calibrated`."""

    temperature: float
    offset: float
    curvature: float = 0.0

    def probabilities(self, logits: Array) -> Array:
        """Return the calibrated probabilities of raw logits, as scoring computes them."""
        return calibrated(logits, **asdict(self))


def calibrate(logits: Array, is_real: NDArray[np.bool_], *, prior_real: float) -> Calibration:
    """Return the calibration of logits at a prior, fitted by log-loss, its slopes positive.

    The weights of the fit have odds half-way (in their logarithm) between the prior's and even
    ones: at the prior itself the few bogus of high score decide alone, at even odds those where
    real ones are rare hardly count. The result is shifted from there to the prior.
    """
    shift = float(np.log(prior_real / (1 - prior_real))) / 2
    weight = prior_weights(is_real, 1 / (1 + np.exp(-shift)))
    sign = np.where(is_real, 1.0, -1.0)
    bend = np.logaddexp(0, logits)

    def loss(parameters: Array) -> float:
        low, high = np.exp(parameters[:2])
        z = low * logits + (high - low) * bend + parameters[2]
        return float(np.sum(weight * np.logaddexp(0, -sign * z)))

    tight = {"xatol": 1e-5, "fatol": 1e-10, "maxiter": 5000}
    fitted = minimize(loss, np.array([0.0, 0.0, shift]), method="Nelder-Mead", options=tight).x
    low, high = np.exp(fitted[:2])
    return Calibration(float(1 / low), float(fitted[2] + shift), float(high - low))


def evaluate(
    probability: Array, sample: Sample, *, threshold: float, settings: EvaluationSettings
) -> dict[str, Any]:
    """Return the figures of a test set as plain JSON: each with its interval clustered by field.

    probability: (n,) at the declared prior; threshold: the model's own, chosen on other fields.
    """
    rng = np.random.default_rng(settings.seed)
    real, prior = sample.is_real, settings.prior_real
    weight = prior_weights(real, prior)
    everything = np.ones(len(real), bool)
    above = {snr: ~real | (sample.snr >= snr) for snr in (settings.auc_snr_min, settings.snr_min)}

    def with_interval(statistic: Statistic, keep: NDArray[np.bool_]) -> dict[str, Any]:
        weighted = at_class_weights(statistic, prior)
        arguments = (probability[keep], real[keep], weight[keep])
        low, high = clustered_interval(
            weighted, *arguments, sample.sky_field[keep], n_bootstrap=settings.n_bootstrap, rng=rng
        )
        return {"value": plain(weighted(*arguments)), "low": plain(low), "high": plain(high)}

    def false_positives_at_rate(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        return false_positives_at(
            score, is_real, w, false_negative_rate=settings.false_negative_rate
        )

    def false_positives(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        return rate(score >= threshold, ~is_real, w)

    def false_negatives(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        return rate(score < threshold, is_real, w)

    bright = above[settings.snr_min]
    return {
        "n_real": int(real.sum()),
        "n_bogus": int((~real).sum()),
        "n_fields": len(np.unique(sample.sky_field)),
        "threshold": threshold,
        "prior_real": prior,
        "auc_pr": with_interval(average_precision, above[settings.auc_snr_min]),
        "auc_pr_all_snr": with_interval(average_precision, everything),
        "auc_roc": with_interval(area_under_roc, everything),
        "false_positive_rate_at_1pct_fnr": with_interval(false_positives_at_rate, bright),
        "false_positive_rate": with_interval(false_positives, everything),
        "false_negative_rate": with_interval(false_negatives, everything),
        "false_negative_rate_snr_min": with_interval(false_negatives, bright),
        "log_loss": log_loss(probability, real, weight),
        **_reliability_figures(probability, sample, settings, rng),
    }


def _reliability_figures(
    probability: Array, sample: Sample, settings: EvaluationSettings, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the reliability at the declared prior and at equal classes, with errors' intervals.

    At a prior of 1/31 a middle bin holds a bogus or two for each thirty real ones, so that its
    error is mostly sampling; at equal classes the same logits are held against far more of them.
    Beside the largest error stands what a perfect calibration would show with as many samples.
    """
    real = sample.is_real
    out: dict[str, Any] = {}
    for name, prior in (("", settings.prior_real), ("_at_equal_classes", 0.5)):
        p = at_prior(probability, declared=settings.prior_real, prior_real=prior)
        weight, edges = prior_weights(real, prior), settings.reliability_edges
        rows: list[dict[str, Any]] = reliability(
            p, real, weight, edges=edges, fields=sample.sky_field
        )
        for row in rows:
            inside = (p >= row["low"]) & ((p < row["high"]) | (row["high"] >= 1))
            low, high = clustered_interval(
                _overconfidence, p[inside], real[inside], weight[inside], sample.sky_field[inside],
                n_bootstrap=settings.n_bootstrap, rng=rng,
            )  # fmt: skip
            row |= {"error_low": plain(low), "error_high": plain(high)}
        middle = [row for row in rows if row["low"] >= 0.1 and row["high"] <= 0.9]
        errors = [abs(row["mean_probability"] - row["share_real"]) for row in middle]
        out[f"reliability{name}"] = rows
        out[f"largest_reliability_error{name}"] = max(errors) if errors else None
        out[f"largest_reliability_error_by_chance{name}"] = largest_by_chance(
            [row["standard_error"] for row in middle]
        )
    return out


def _overconfidence(score: Array, is_real: NDArray[np.bool_], weight: Array) -> float:
    total = weight.sum()
    return float((weight * (score - is_real)).sum() / total) if total > 0 else float("nan")
