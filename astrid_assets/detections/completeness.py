"""Completeness as counts in fixed bins: they add up over exposures, filters apart.

Counting and pooling alone; how sources are injected stands in `recovery.py`, pictures in
`recovery_figures.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_Z95 = 1.959964


class Axis(StrEnum):
    """What completeness is counted by.

    MAGNITUDE_INSTRUMENTAL: -2.5 log10(science counts), where no zero point is known.
    HOST: light of the reference under the source, per pixel, in sigmas of the sky.
    """

    SNR = "snr"
    MAGNITUDE_AB = "magnitude_ab"
    MAGNITUDE_INSTRUMENTAL = "magnitude_instrumental"
    HOST = "host_sky_sigma"


@dataclass(frozen=True)
class Counts:
    """What became of sources, arrays of one length; found, then passed by rules, then accepted.

    expected: probability that the finder finds it in Gaussian noise at its true S/N.
    """

    is_found: Bools = field(repr=False)
    is_passed: Bools = field(repr=False)
    is_accepted: Bools = field(repr=False)
    expected: Floats = field(repr=False)


@dataclass(frozen=True)
class Bin:
    """Sources with low <= value < high (high None: no upper end) and what became of them.

    n_found: a candidate stands there; n_passed: and no rule rejected it; n_accepted: and the model
    accepted it. n_expected, expected_variance: mean and binomial variance of n_found in Gaussian
    noise. n_exposures: how many exposures tried it.
    """

    axis: Axis
    low: float
    high: float | None
    n_injected: int
    n_found: int
    n_passed: int
    n_accepted: int
    n_expected: float
    expected_variance: float
    n_exposures: int = 1

    @property
    def completeness(self) -> float | None:
        """The share accepted; None where nothing was injected."""
        return self.n_accepted / self.n_injected if self.n_injected else None

    @property
    def completeness_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share accepted."""
        return wilson_interval(self.n_accepted, self.n_injected)

    @property
    def found_deficit_sigma(self) -> float | None:
        """(found - expected) over its binomial error; None where it has none."""
        if self.expected_variance <= 0:
            return None
        return (self.n_found - self.n_expected) / self.expected_variance**0.5

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON's own types."""
        return {**asdict(self), "axis": self.axis.value}


def wilson_interval(k: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of k successes in n trials; (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, _Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = float(centre - half), float(centre + half)
    return (low if k else 0.0), (high if k < n else 1.0)


def counted(
    axis: Axis, values: Floats, edges: Sequence[float | None], counts: Counts, *, where: Bools
) -> tuple[Bin, ...]:
    """Return the bins between consecutive `edges` that hold a source; the last edge may be None."""
    bins = []
    for first, last in pairwise(edges):
        low, high = float(first or 0.0), np.inf if last is None else float(last)
        inside = where & (values >= low) & (values < high)
        if not inside.any():
            continue
        expected = counts.expected[inside]
        bins.append(
            Bin(
                axis=axis,
                low=low,
                high=None if last is None else high,
                n_injected=int(inside.sum()),
                n_found=int(counts.is_found[inside].sum()),
                n_passed=int(counts.is_passed[inside].sum()),
                n_accepted=int(counts.is_accepted[inside].sum()),
                n_expected=float(expected.sum()),
                expected_variance=float(np.sum(expected * (1 - expected))),
            )
        )
    return tuple(bins)


def bins_of(metrics: Mapping[str, Any]) -> tuple[Bin, ...]:
    """Return the bins kept among the metrics of a product; none where it has none."""
    names = {item.name for item in fields(Bin)}
    return tuple(
        Bin(**{**{name: entry[name] for name in names}, "axis": Axis(entry["axis"])})
        for entry in metrics.get("bins", ())
    )


def pooled(exposures: Iterable[Sequence[Bin]]) -> tuple[Bin, ...]:
    """Return the sums of equal bins over exposures, in order of axis and lower edge."""
    summed: dict[tuple[Axis, float, float | None], Bin] = {}
    for bins in exposures:
        for one in bins:
            key = (one.axis, one.low, one.high)
            known = summed.get(key)
            summed[key] = one if known is None else _sum(known, one)
    return tuple(sorted(summed.values(), key=lambda one: (list(Axis).index(one.axis), one.low)))


def _sum(a: Bin, b: Bin) -> Bin:
    added = {
        item.name: getattr(a, item.name) + getattr(b, item.name)
        for item in fields(Bin)
        if item.name.startswith(("n_", "expected"))
    }
    return Bin(a.axis, a.low, a.high, **added)


def crossing(bins: Sequence[Bin], *, share: float, n_min: int = 5) -> float | None:
    """Return where the share accepted passes through `share`, linear between middles of bins.

    bins: of one axis with both ends, in order; those with fewer than n_min sources do not count.
    None where the counts do not bracket it.
    """
    used = [one for one in bins if one.high is not None and one.n_injected >= n_min]
    middle = np.array([(one.low + float(one.high or 0)) / 2 for one in used])
    value = np.array([one.n_accepted / one.n_injected for one in used]) - share
    change = np.flatnonzero((value[:-1] < 0) != (value[1:] < 0))
    if not change.size:
        return None
    k = int(change[0])
    return float(middle[k] - value[k] * (middle[k + 1] - middle[k]) / (value[k + 1] - value[k]))
