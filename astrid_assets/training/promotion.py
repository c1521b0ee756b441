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
    at_class_weights,
    average_precision,
    clustered_interval,
    paired_gain,
    prior_weights,
    rate,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PromotionSettings:
    """The declared rule.

    delta: the lower end of the 95 % interval of the gain in AUCPR must exceed it. prior_real,
    snr_min: real sources are weighted to this share and count above this S/N (all bogus do).
    onnx_agreement: largest difference of any probability between Keras and ONNX. n_fields_min:
    fewer fields have no bound.
    """

    delta: float = 0.0
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

    value: float | None
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

    Whole sky fields are drawn with replacement, the same for both models, and each draw is weighted
    to the prior again. Raises ValueError where a class is absent.
    """
    settings = settings or PromotionSettings()
    keep = ~sample.is_real | (sample.snr >= settings.snr_min)
    real, fields = sample.is_real[keep], sample.sky_field[keep]
    prior_weights(real, settings.prior_real)
    old, new = champion.probability[keep], challenger.probability[keep]
    accepted, ones = champion.is_accepted[keep], np.ones(len(real))
    precision = at_class_weights(average_precision, settings.prior_real)
    draws: dict[str, Any] = {
        "n_bootstrap": settings.n_bootstrap,
        "rng": np.random.default_rng(settings.seed),
    }
    both = np.stack([new, accepted])
    point = _working_point(both, real, ones)
    low, high = clustered_interval(_excess, both, real, ones, fields, **draws)
    has_bounds = np.isfinite([low, high]).all()
    return _with_reasons(
        Comparison(
            champion_auc_pr=precision(old, real, ones),
            challenger_auc_pr=precision(new, real, ones),
            gain=Interval(**paired_gain(precision, new, old, real, fields, **draws)),
            champion_false_positive_rate=point.false_positive_rate,
            champion_false_negative_rate=point.old_lost,
            challenger_false_negative_rate=point.new_lost,
            challenger_threshold=point.threshold,
            false_negative_excess=Interval(
                point.excess, low if has_bounds else None, high if has_bounds else None
            ),
            onnx_difference=onnx_difference,
            n_real=int(real.sum()),
            n_bogus=int((~real).sum()),
            n_fields=len(np.unique(fields)),
            reasons=(),
        ),
        settings,
    )


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
    if found.challenger_false_negative_rate > found.champion_false_negative_rate:
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
class _WorkingPoint:
    false_positive_rate: float
    old_lost: float
    new_lost: float
    threshold: float

    @property
    def excess(self) -> float:
        return self.new_lost - self.old_lost


def _working_point(both: Floats, real: Flags, count: Floats) -> _WorkingPoint:
    """Return what is lost at the champion's false-positive rate; samples count `count` times.

    both: (2, n), the challenger's probability and whether the champion accepts (0 or 1).
    """
    probability, accepted = both[0], both[1] > 0
    false_positive_rate = rate(accepted, ~real, count)
    threshold = threshold_of(probability[~real], count[~real], rate_max=false_positive_rate)
    return _WorkingPoint(
        false_positive_rate,
        rate(~accepted, real, count),
        rate(probability < threshold, real, count),
        threshold,
    )


def _excess(both: Floats, real: Flags, count: Floats) -> float:
    if not (count[real].sum() > 0 and count[~real].sum() > 0):
        return float("nan")
    return _working_point(both, real, count).excess


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
