"""Figures of a classifier on a test set: curves, rates, reliability, intervals clustered by field.

Everything is a function of arrays; which samples are a test set is settled in `dataset.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from astrid_assets.detections.scoring import sigmoid

Array = NDArray[np.float64]
Statistic = Callable[[Array, NDArray[np.bool_], Array], float]


@dataclass(frozen=True)
class EvaluationSettings:
    """Declared choices of the evaluation.

    prior_real: share of real candidates for which probabilities are calibrated and curves weighted.
    false_negative_rate, snr_min: the threshold loses this share of true sources above this S/N.
    """

    prior_real: float = 1 / 31
    false_negative_rate: float = 0.01
    snr_min: float = 6.0
    snr_edges: tuple[float, ...] = (4.0, 5.0, 6.0, 7.0, 10.0, 20.0, 50.0)
    fwhm_edges_pix: tuple[float, ...] = (1.5, 3.0, 4.0, 5.0, 7.0)
    n_reliability_bins: int = 10
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

    Fitted at equal weight of the classes (Guo et al. 2017, with an offset), then the prior's log
    odds are added.
    """
    weight = prior_weights(is_real, 0.5)
    sign = np.where(is_real, 1.0, -1.0)

    def loss(parameters: Array) -> float:
        z = logits * np.exp(parameters[0]) + parameters[1]
        return float(np.sum(weight * np.logaddexp(0, -sign * z)))

    fitted = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return float(np.exp(-fitted[0])), float(fitted[1] + np.log(prior_real / (1 - prior_real)))


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
    probability: Array, is_real: NDArray[np.bool_], weight: Array, *, n_bins: int
) -> list[dict[str, float]]:
    """Return, per bin of probability that holds samples: mean probability, share real, counts."""
    index = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    rows = []
    for k in range(n_bins):
        inside = index == k
        if inside.any():
            total = float(weight[inside].sum())
            share = float(weight[inside & is_real].sum() / total)
            rows.append({
                "mean_probability": float((weight * probability)[inside].sum() / total),
                "share_real": share,
                "n_real": int((inside & is_real).sum()),
                "n_bogus": int((inside & ~is_real).sum()),
            })  # fmt: skip
    return rows


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


def evaluate(
    probability: Array, sample: Sample, *, threshold: float, settings: EvaluationSettings
) -> dict[str, Any]:
    """Return the figures of a test set as plain JSON: each with its interval clustered by field.

    probability: (n,) at the declared prior; threshold: the model's own, chosen on other fields.
    """
    rng = np.random.default_rng(settings.seed)
    real = sample.is_real
    weight = prior_weights(real, settings.prior_real)
    bright = real & (sample.snr >= settings.snr_min)
    usable = bright | ~real

    def with_interval(statistic: Statistic, keep: NDArray[np.bool_]) -> dict[str, Any]:
        arguments = (probability[keep], real[keep], weight[keep])
        low, high = clustered_interval(
            statistic, *arguments, sample.sky_field[keep], n_bootstrap=settings.n_bootstrap, rng=rng
        )
        return {"value": _plain(statistic(*arguments)), "low": _plain(low), "high": _plain(high)}

    def false_positives_at(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        if w[is_real].sum() == 0:
            return float("nan")
        cut = threshold_at(
            score[is_real], w[is_real], false_negative_rate=settings.false_negative_rate
        )
        return rate(score >= cut, ~is_real, w)

    def false_positives(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        return rate(score >= threshold, ~is_real, w)

    def false_negatives(score: Array, is_real: NDArray[np.bool_], w: Array) -> float:
        return rate(score < threshold, is_real, w)

    everything = np.ones(len(real), bool)
    bins = reliability(probability, real, weight, n_bins=settings.n_reliability_bins)
    middle = [row for row in bins if 0.1 <= row["mean_probability"] <= 0.9]
    errors = [abs(row["mean_probability"] - row["share_real"]) for row in middle]
    return {
        "n_real": int(real.sum()),
        "n_bogus": int((~real).sum()),
        "n_fields": len(np.unique(sample.sky_field)),
        "threshold": threshold,
        "prior_real": settings.prior_real,
        "auc_pr": with_interval(average_precision, everything),
        "auc_pr_snr_min": with_interval(average_precision, usable),
        "auc_roc": with_interval(area_under_roc, everything),
        "false_positive_rate_at_1pct_fnr": with_interval(false_positives_at, usable),
        "false_positive_rate": with_interval(false_positives, everything),
        "false_negative_rate": with_interval(false_negatives, everything),
        "false_negative_rate_snr_min": with_interval(false_negatives, usable),
        "log_loss": log_loss(probability, real, weight),
        "reliability": bins,
        "largest_reliability_error": max(errors) if errors else None,
        "by_snr": _by(sample.snr, settings.snr_edges, probability >= threshold, real),
        "by_fwhm_real": _by(
            sample.fwhm_pix, settings.fwhm_edges_pix, probability >= threshold, bright
        ),
        "by_fwhm_bogus": _by(
            sample.fwhm_pix, settings.fwhm_edges_pix, probability >= threshold, ~real
        ),
        "on_host": _share(probability >= threshold, bright & sample.on_host),
        "off_host": _share(probability >= threshold, bright & ~sample.on_host),
    }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _share(accepted: NDArray[np.bool_], of: NDArray[np.bool_]) -> dict[str, Any]:
    n = int(of.sum())
    k = int((of & accepted).sum())
    return {"n": n, "n_accepted": k, "share_accepted": k / n if n else None}


def _by(
    value: Array, edges: tuple[float, ...], accepted: NDArray[np.bool_], of: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    rows = []
    for low, high in pairwise(edges):
        inside = of & (value >= low) & (value < high)
        rows.append({"low": low, "high": high, **_share(accepted, inside)})
    return rows


def probabilities(logits: Array, *, temperature: float, offset: float) -> Array:
    """Return the calibrated probabilities of raw logits, as scoring computes them."""
    return sigmoid(np.asarray(logits, float) / temperature + offset)
