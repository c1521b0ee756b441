"""Curves, rates and intervals of scores: weighted, with ties together, clustered by field.

Everything is a function of arrays; which figures a model is stated by stands in `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]
Statistic = Callable[[Array, NDArray[np.bool_], Array], float]


def plain(value: float) -> float | None:
    """Return a number for JSON: None where there is none."""
    return float(value) if np.isfinite(value) else None


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
    probability: Array,
    is_real: NDArray[np.bool_],
    weight: Array,
    *,
    edges: tuple[float, ...],
    fields: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Return, per bin of probability that holds samples: mean probability, share real, counts.

    weight: the same for all samples of a class. standard_error: of the share real, were the
    calibration perfect; see `_standard_error`.
    """
    index = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for k in range(len(edges) - 1):
        inside = index == k
        total = float(weight[inside].sum())
        if total > 0:
            mean = float((weight * probability)[inside].sum() / total)
            rows.append({
                "low": edges[k],
                "high": edges[k + 1],
                "mean_probability": mean,
                "share_real": float(weight[inside & is_real].sum() / total),
                "standard_error": _standard_error(mean, inside, is_real, weight, fields),
                "n_real": int((inside & is_real).sum()),
                "n_bogus": int((inside & ~is_real).sum()),
            })  # fmt: skip
    return rows


def _standard_error(
    mean: float,
    inside: NDArray[np.bool_],
    is_real: NDArray[np.bool_],
    weight: Array,
    fields: NDArray[np.int64],
) -> float:
    """Return the error of a bin's share real from the counts that its mean probability foretells.

    Of each class the variance of a Poisson count times how much more its counts per field scatter,
    sum n^2 / sum n - mean n; of foretold counts, so that a bin without any bogus has an error too.
    """
    total, variance, n_fields = float(weight[inside].sum()), 0.0, len(np.unique(fields))
    for label, share in ((True, mean), (False, 1 - mean)):
        of = is_real == label
        expected = share * total / float(weight[of].mean())
        sizes = np.unique(fields[inside & of], return_counts=True)[1]
        more = (sizes**2).sum() / sizes.sum() - sizes.sum() / n_fields if len(sizes) else 1.0
        variance += max(1.0, float(more)) / expected if expected > 0 else 0.0
    return mean * (1 - mean) * float(np.sqrt(variance))


def largest_by_chance(standard_errors: list[float]) -> float | None:
    """Return the median of the largest of normal errors; None where there are none."""
    known = np.array([error for error in standard_errors if error > 0])
    if not len(known):
        return None
    x = np.linspace(0, 6 * known.max(), 4001)
    below = erf(x[:, None] / (known * np.sqrt(2))).prod(axis=1)
    return float(x[np.searchsorted(below, 0.5)])


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
    return {"value": plain(gain(both, is_real, ones)), "low": plain(low), "high": plain(high)}


def false_positives_at(
    score: Array, is_real: NDArray[np.bool_], weight: Array, *, false_negative_rate: float
) -> float:
    """Return the false-positive rate where so many of the real ones are lost."""
    if weight[is_real].sum() == 0:
        return float("nan")
    cut = threshold_at(score[is_real], weight[is_real], false_negative_rate=false_negative_rate)
    return rate(score >= cut, ~is_real, weight)
