"""Figures of a classifier on a test set: curves, rates, reliability, intervals clustered by field.

Everything is a function of arrays; which samples are a test set is settled in `dataset.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from astrid_assets.detections.scoring import at_prior, sigmoid

Array = NDArray[np.float64]
Statistic = Callable[[Array, NDArray[np.bool_], Array], float]


@dataclass(frozen=True)
class EvaluationSettings:
    """Declared choices of the evaluation.

    prior_real: share of real candidates for which probabilities are calibrated and curves weighted.
    false_negative_rate, snr_min: the false-positive rate is stated where this share of true sources
    above this S/N is lost. auc_snr_min: real sources above it count in the precision-recall curve.
    threshold_false_negative_rate, threshold_snr_min: the working threshold loses this share of
    those sources above this S/N which the rules leave to the model.
    """

    prior_real: float = 1 / 31
    false_negative_rate: float = 0.01
    snr_min: float = 6.0
    auc_snr_min: float = 5.0
    threshold_false_negative_rate: float = 0.005
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


def prior_weights(is_real: NDArray[np.bool_], prior_real: float) -> Array:
    """Return weights of sum 1 that give the real ones the share `prior_real`.

    Raises ValueError where one class is absent: no figure can be stated then.
    """
    n_real = int(is_real.sum())
    if n_real == 0 or n_real == len(is_real):
        raise ValueError(
            f"an evaluation needs both classes, got {n_real} real of {len(is_real)} samples"
        )
    return np.where(is_real, prior_real / n_real, (1 - prior_real) / (len(is_real) - n_real))


def calibrate(
    logits: Array, is_real: NDArray[np.bool_], *, prior_real: float
) -> tuple[float, float]:
    """Return (temperature, offset): probability = sigmoid(logit / temperature + offset) at a prior.

    Fitted by log-loss at that very prior (Guo et al. 2017, with an offset): at equal weights the
    fit would look where the classes mix equally, not where real ones are rare.
    """
    weight = prior_weights(is_real, prior_real)
    sign = np.where(is_real, 1.0, -1.0)

    def loss(parameters: Array) -> float:
        z = logits * np.exp(parameters[0]) + parameters[1]
        return float(np.sum(weight * np.logaddexp(0, -sign * z)))

    start = np.array([0.0, np.log(prior_real / (1 - prior_real))])
    fitted = minimize(loss, start, method="Nelder-Mead").x
    return float(np.exp(-fitted[0])), float(fitted[1])


def average_precision(score: Array, is_real: NDArray[np.bool_], weight: Array) -> float:
    """Return the area under the precision-recall curve (step form), ties taken together."""
    order = np.argsort(-score, kind="stable")
    s, w, real = score[order], weight[order], is_real[order]
    last = np.append(s[1:] != s[:-1], True)
    true, everything = np.cumsum(w * real)[last], np.cumsum(w)[last]
    if true[-1] == 0:
        return float("nan")
    precision, recall = true / np.where(everything > 0, everything, 1), true / true[-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def area_under_roc(score: Array, is_real: NDArray[np.bool_], weight: Array) -> float:
    """Return the probability that a real one scores above a bogus one, ties counting half."""
    order = np.argsort(score, kind="stable")
    s, w, real = score[order], weight[order], is_real[order]
    last = np.append(s[1:] != s[:-1], True)
    true = np.diff(np.cumsum(w * real)[last], prepend=0)
    false = np.diff(np.cumsum(w * ~real)[last], prepend=0)
    if true.sum() == 0 or false.sum() == 0:
        return float("nan")
    below = np.cumsum(false) - false
    return float(np.sum(true * (below + false / 2)) / (true.sum() * false.sum()))


def threshold_at(score: Array, weight: Array, *, false_negative_rate: float) -> float:
    """Return the largest threshold (accepted: score >= it) that loses at most a share of scores."""
    order = np.argsort(score, kind="stable")
    lost = np.cumsum(weight[order]) / weight.sum()
    index = int(np.searchsorted(lost, false_negative_rate, side="right"))
    return float(score[order][min(index, len(score) - 1)])


def rate(selected: NDArray[np.bool_], of: NDArray[np.bool_], weight: Array) -> float:
    """Return the weighted share of `of` that is `selected`; NaN where `of` is empty."""
    total = float(weight[of].sum())
    return float(weight[of & selected].sum() / total) if total > 0 else float("nan")


def log_loss(probability: Array, is_real: NDArray[np.bool_], weight: Array) -> float:
    """Return the weighted mean negative log likelihood, probabilities clipped at 1e-6."""
    p = np.clip(np.where(is_real, probability, 1 - probability), 1e-6, 1)
    return float(-np.sum(weight * np.log(p)) / weight.sum())


def reliability(
    probability: Array, is_real: NDArray[np.bool_], weight: Array, *, edges: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Return, per bin of probability that holds samples: mean probability, share real, counts."""
    index = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for k in range(len(edges) - 1):
        inside = index == k
        total = float(weight[inside].sum())
        if total > 0:
            share = float(weight[inside & is_real].sum() / total)
            rows.append({
                "low": edges[k],
                "high": edges[k + 1],
                "mean_probability": float((weight * probability)[inside].sum() / total),
                "share_real": share,
                "n_real": int((inside & is_real).sum()),
                "n_bogus": int((inside & ~is_real).sum()),
            })  # fmt: skip
    return rows


def at_class_weights(statistic: Statistic, prior_real: float) -> Statistic:
    """Return `statistic` with its weights scaled so that the real ones have the share `prior_real`.

    So that a draw of fields with more bogus than usual is no other prior.
    """

    def scaled(score: Array, is_real: NDArray[np.bool_], weight: Array) -> float:
        real, bogus = float(weight[is_real].sum()), float(weight[~is_real].sum())
        if not (real > 0 and bogus > 0):
            return float("nan")
        factor = np.where(is_real, prior_real / real, (1 - prior_real) / bogus)
        return statistic(score, is_real, weight * factor)

    return scaled


def clustered_interval(
    statistic: Statistic,
    score: Array,
    is_real: NDArray[np.bool_],
    weight: Array,
    fields: NDArray[np.int64],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic by a bootstrap over whole fields."""
    names, index = np.unique(fields, return_inverse=True)
    values = []
    for _ in range(n_bootstrap):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        values.append(statistic(score, is_real, weight * drawn[index]))
    finite = np.array(values)[np.isfinite(values)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


def paired_gain(
    statistic: Statistic,
    score: Array,
    other: Array,
    is_real: NDArray[np.bool_],
    fields: NDArray[np.int64],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, float | None]:
    """Return statistic(score) - statistic(other) on the same samples, with its 95 % interval.

    Whole fields are drawn, the same for both.
    """
    both = np.stack([score, other])

    def gain(chosen: Array, real: NDArray[np.bool_], weight: Array) -> float:
        return statistic(chosen[0], real, weight) - statistic(chosen[1], real, weight)

    ones = np.ones(len(is_real))
    low, high = clustered_interval(
        gain, both, is_real, ones, fields, n_bootstrap=n_bootstrap, rng=rng
    )
    return {"value": _plain(gain(both, is_real, ones)), "low": _plain(low), "high": _plain(high)}


def false_positives_at(
    score: Array, is_real: NDArray[np.bool_], weight: Array, *, false_negative_rate: float
) -> float:
    """Return the false-positive rate where so many of the real ones are lost."""
    if weight[is_real].sum() == 0:
        return float("nan")
    cut = threshold_at(score[is_real], weight[is_real], false_negative_rate=false_negative_rate)
    return rate(score >= cut, ~is_real, weight)


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
        return {"value": _plain(weighted(*arguments)), "low": _plain(low), "high": _plain(high)}

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
    """
    real = sample.is_real
    out: dict[str, Any] = {}
    for name, prior in (("", settings.prior_real), ("_at_equal_classes", 0.5)):
        p = at_prior(probability, declared=settings.prior_real, prior_real=prior)
        weight, edges = prior_weights(real, prior), settings.reliability_edges
        rows: list[dict[str, Any]] = reliability(p, real, weight, edges=edges)
        for row in rows:
            inside = (p >= row["low"]) & ((p < row["high"]) | (row["high"] >= 1))

            def error(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
                total = w.sum()
                return float((w * (score - is_real)).sum() / total) if total > 0 else float("nan")

            low, high = clustered_interval(
                error, p[inside], real[inside], weight[inside], sample.sky_field[inside],
                n_bootstrap=settings.n_bootstrap, rng=rng,
            )  # fmt: skip
            row |= {"error_low": _plain(low), "error_high": _plain(high)}
        middle = [row for row in rows if row["low"] >= 0.1 and row["high"] <= 0.9]
        errors = [abs(row["mean_probability"] - row["share_real"]) for row in middle]
        out[f"reliability{name}"] = rows
        out[f"largest_reliability_error{name}"] = max(errors) if errors else None
    return out


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def probabilities(logits: Array, *, temperature: float, offset: float) -> Array:
    """Return the calibrated probabilities of raw logits, as scoring computes them."""
    return sigmoid(np.asarray(logits, float) / temperature + offset)
