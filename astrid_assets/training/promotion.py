"""Whether a challenger is better than the champion: a paired proof on one frozen test set.

A pure decision over arrays; who is compared, and what follows, stands in `promote.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training.evaluate import (
    EvaluationSettings,
    Sample,
    average_precision,
    prior_weights,
    rate,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PromotionSettings:
    """The declared rule.

    delta: the lower bound of the gain in AUCPR must exceed it; confidence: of the two-sided
    interval whose ends are the bounds. prior_real, snr_min: real sources are weighted to this
    share and count above this S/N (all bogus do). onnx_agreement: largest difference of any
    probability between Keras and ONNX. n_fields_min: fewer fields have no bound.
    """

    delta: float = 0.0
    confidence: float = 0.95
    prior_real: float = EvaluationSettings.prior_real
    snr_min: float = 5.0
    onnx_agreement: float = 1e-5
    n_bootstrap: int = 1000
    n_fields_min: int = 10
    seed: int = 20260401

    def __post_init__(self) -> None:
        if not self.delta >= 0:
            raise ValueError(f"delta must be at least 0, got {self.delta}: worse is not better")


@dataclass(frozen=True)
class Scored:
    """What one model says of the n test samples: probability, and whether it accepts them."""

    probability: Floats = field(repr=False)
    is_accepted: Flags = field(repr=False)


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its bootstrap, None where no draw held both classes."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """A challenger held against the champion; `reasons` say what stands against it.

    gain: AUCPR of the challenger minus the champion's. champion_false_positive_rate: at the
    champion's own threshold; the challenger's threshold is the lowest with no higher rate.
    false_negative_excess: the challenger's false-negative rate there minus the champion's at its
    own. onnx_difference: largest difference of the challenger's two forms.
    """

    champion_auc_pr: float
    challenger_auc_pr: float
    gain: Interval
    champion_false_positive_rate: float
    champion_false_negative_rate: float
    challenger_false_negative_rate: float
    challenger_threshold: float
    false_negative_excess: Interval
    onnx_difference: float
    n_real: int
    n_bogus: int
    n_fields: int
    reasons: tuple[str, ...]

    @property
    def is_better(self) -> bool:
        """Whether nothing stands against the challenger."""
        return not self.reasons

    def numbers(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self) | {"reasons": list(self.reasons), "is_better": self.is_better}


def compare(
    champion: Scored,
    challenger: Scored,
    sample: Sample,
    *,
    onnx_difference: float,
    settings: PromotionSettings | None = None,
) -> Comparison:
    """Return whether the challenger is better, from both models' scores of the same samples.

    Whole sky fields are drawn with replacement, the same for both models, and the classes of each
    draw weighted to the prior again. Raises ValueError where a class is absent.
    """
    settings = settings or PromotionSettings()
    keep = ~sample.is_real | (sample.snr >= settings.snr_min)
    real, fields = sample.is_real[keep], sample.sky_field[keep]
    old = Scored(champion.probability[keep], champion.is_accepted[keep])
    new = Scored(challenger.probability[keep], challenger.is_accepted[keep])
    prior_weights(real, settings.prior_real)
    everything = np.ones(len(real))
    value = _figures(old, new, real, everything, settings)
    draws = _bootstrap(old, new, real, fields, settings)
    gain = _interval(value.gain, draws[:, 0], settings)
    excess = _interval(value.excess, draws[:, 1], settings)
    comparison = Comparison(
        champion_auc_pr=value.old_auc,
        challenger_auc_pr=value.new_auc,
        gain=gain,
        champion_false_positive_rate=value.false_positive_rate,
        champion_false_negative_rate=value.old_lost,
        challenger_false_negative_rate=value.new_lost,
        challenger_threshold=value.threshold,
        false_negative_excess=excess,
        onnx_difference=onnx_difference,
        n_real=int(real.sum()),
        n_bogus=int((~real).sum()),
        n_fields=len(np.unique(fields)),
        reasons=(),
    )
    return _with_reasons(comparison, settings)


def _with_reasons(found: Comparison, settings: PromotionSettings) -> Comparison:
    reasons = []
    if found.n_fields < settings.n_fields_min:
        reasons.append(
            f"{found.n_fields} test fields give no bound, {settings.n_fields_min} are needed"
        )
    low = found.gain.low
    if low is None or not low > settings.delta:
        reasons.append(
            f"AUCPR {found.challenger_auc_pr:.4f} against {found.champion_auc_pr:.4f}: the lower "
            f"bound of the gain is {low}, it must exceed {settings.delta:g}"
        )
    if not found.false_negative_excess.value <= 0:
        reasons.append(
            f"at the champion's false-positive rate {found.champion_false_positive_rate:.4f} it "
            f"loses {found.challenger_false_negative_rate:.4f} of real sources, the champion "
            f"{found.champion_false_negative_rate:.4f}"
        )
    if not found.onnx_difference <= settings.onnx_agreement:
        reasons.append(
            f"Keras and ONNX differ by {found.onnx_difference:.2e} in probability, allowed "
            f"{settings.onnx_agreement:g}"
        )
    return replace(found, reasons=tuple(reasons))


@dataclass(frozen=True)
class _Figures:
    old_auc: float
    new_auc: float
    false_positive_rate: float
    old_lost: float
    new_lost: float
    threshold: float

    @property
    def gain(self) -> float:
        return self.new_auc - self.old_auc

    @property
    def excess(self) -> float:
        return self.new_lost - self.old_lost


def _figures(
    old: Scored, new: Scored, real: Flags, count: Floats, settings: PromotionSettings
) -> _Figures:
    """Return the figures of samples that each count `count` times; both classes are among them."""
    n_real, n_bogus = count[real].sum(), count[~real].sum()
    prior = settings.prior_real
    weight = count * np.where(real, prior / n_real, (1 - prior) / n_bogus)
    false_positive_rate = rate(old.is_accepted, ~real, weight)
    threshold = threshold_of(new.probability[~real], count[~real], rate_max=false_positive_rate)
    return _Figures(
        average_precision(old.probability, real, weight),
        average_precision(new.probability, real, weight),
        false_positive_rate,
        rate(~old.is_accepted, real, weight),
        rate(new.probability < threshold, real, weight),
        threshold,
    )


def threshold_of(bogus: Floats, count: Floats, *, rate_max: float) -> float:
    """Return the lowest threshold that at most a share of bogus probabilities reaches (>=)."""
    order = np.argsort(-bogus, kind="stable")
    scores, counts = bogus[order], count[order]
    last = np.append(scores[1:] != scores[:-1], True)
    reached = np.cumsum(counts)[last] / counts.sum()
    levels = scores[last]
    n_allowed = int(np.searchsorted(reached, rate_max * (1 + 1e-12), side="right"))
    if n_allowed == len(levels):
        return 0.0
    return float(np.nextafter(levels[n_allowed], np.inf))


def _bootstrap(
    old: Scored, new: Scored, real: Flags, fields: NDArray[np.int64], settings: PromotionSettings
) -> Floats:
    """Return (n, 2) draws of gain and false-negative excess; a draw without a class is left out."""
    rng = np.random.default_rng(settings.seed)
    names, index = np.unique(fields, return_inverse=True)
    draws = []
    for _ in range(settings.n_bootstrap):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        count = drawn[index].astype(float)
        if count[real].sum() > 0 and count[~real].sum() > 0:
            found = _figures(old, new, real, count, settings)
            draws.append((found.gain, found.excess))
    return np.array(draws).reshape(-1, 2)


def _interval(value: float, draws: Floats, settings: PromotionSettings) -> Interval:
    if len(draws) == 0:
        return Interval(value, None, None)
    tail = 50 * (1 - settings.confidence)
    low, high = np.percentile(draws, (tail, 100 - tail))
    return Interval(value, float(low), float(high))
