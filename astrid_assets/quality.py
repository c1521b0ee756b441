"""The thresholds of the quality checks, declared once, and the pure judgement of a number.

What belongs here: limits and how a measured metric is held against them. The Dagster checks made
from this table stand in `checks.py`; the verdict on one exposure is given by its stage's science.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

N_STANDARD_ERRORS = 4.0


class Judgement(Enum):
    """What a number says of a product."""

    PASSED = "passed"
    FAILED = "failed"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Limit:
    """Limits on one metric of an asset's exposures.

    metric, error_metric: keys of a product's metrics; the error is the statistic's own sampling
    error, and a verdict falls only beyond limit + 4 standard errors (0 where no error is given).
    low, high: the allowed range, inclusive; None where open.
    resampled_low, resampled_high: the range for exposures whose noise is declared correlated.
    is_magnitude: the absolute value is judged.
    """

    name: str
    asset: str
    metric: str
    description: str
    low: float | None = None
    high: float | None = None
    resampled_low: float | None = None
    resampled_high: float | None = None
    error_metric: str | None = None
    is_magnitude: bool = False

    def range_for(self, metrics: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Return (low, high) for an exposure with these metrics."""
        if metrics.get("is_resampled"):
            low = self.low if self.resampled_low is None else self.resampled_low
            high = self.high if self.resampled_high is None else self.resampled_high
            return low, high
        return self.low, self.high


@dataclass(frozen=True)
class Finding:
    """One exposure's number held against its limit."""

    label: str
    value: float | None
    error: float
    low: float | None
    high: float | None
    judgement: Judgement


def judge(limit: Limit, metrics: Mapping[str, Any], *, label: str) -> Finding:
    """Return how the metric of one exposure stands against `limit`.

    A missing or null metric gives no verdict; it is never taken for a pass or a failure.
    """
    value = metrics.get(limit.metric)
    error = float(metrics.get(limit.error_metric) or 0.0) if limit.error_metric else 0.0
    low, high = limit.range_for(metrics)
    if value is None or not math.isfinite(float(value)):
        return Finding(label, None, error, low, high, Judgement.NO_VERDICT)
    number = abs(float(value)) if limit.is_magnitude else float(value)
    slack = N_STANDARD_ERRORS * error
    is_low = low is not None and number < low - slack
    is_high = high is not None and number > high + slack
    judgement = Judgement.FAILED if is_low or is_high else Judgement.PASSED
    return Finding(label, float(value), error, low, high, judgement)


def judge_all(
    limit: Limit, exposures: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[Finding, ...]:
    """Return the finding of each (label, metrics)."""
    return tuple(judge(limit, metrics, label=label) for label, metrics in exposures)
