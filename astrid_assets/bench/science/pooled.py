"""The fields of a case put together: every figure with its error bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr
from scipy.stats import chi2, norm

from astrid_assets.bench.science.cases import BRIGHT_SNR, FAINT_SNR, POSITION_SNR
from astrid_assets.bench.science.measure import THRESHOLD_SIGMA, FieldResult

Floats = NDArray[np.float64]
SNR_EDGES = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5)
COMPLETENESS_TOLERANCE = 0.02
_CONFIDENCE = 0.95
_ROUNDS = 30


@dataclass(frozen=True)
class Figure:
    """A number with its standard error."""

    value: float
    error: float


NOTHING = Figure(float("nan"), float("nan"))


@dataclass(frozen=True)
class CompletenessBin:
    """Sources of one S/N bin: what was found and what the finder finds in Gaussian noise."""

    snr_low: float
    snr_high: float
    n: int
    found: float
    accepted: float
    expected: float
    error: float

    @property
    def excess(self) -> float:
        """|found - expected| less the allowance of 0.02 and two standard errors."""
        return abs(self.found - self.expected) - COMPLETENESS_TOLERANCE - 2 * self.error


@dataclass(frozen=True)
class Pooled:
    """Every figure of one case.

    excess, excess_limit: false positives per Mpix beyond the Gaussian expectation, and its 95 %
    upper limit. position: rms per axis over the bound.
    """

    n_fields: int
    area_mpix: float
    n_sources: int
    sky_std: Figure
    sky_median: Figure
    sky_tail: Figure
    delta: Figure
    bins: tuple[CompletenessBin, ...]
    n_false: int
    n_false_expected: float
    excess: float
    excess_limit: float
    flux_bias: Figure
    pull_std: Figure
    position: Figure
    n_psf_stars: float


def pool(results: Sequence[FieldResult]) -> Pooled:
    """Return the figures of one case from at least one field."""
    sky = [r.sky for r in results]
    pixels = np.array([s.n_pixels for s in sky], float)
    std = np.sqrt([s.mean_square - s.mean**2 for s in sky])
    snr = _column(results, "snr")
    faint = (snr >= FAINT_SNR[0]) & (snr <= FAINT_SNR[1])
    bright = (snr >= BRIGHT_SNR[0]) & (snr <= BRIGHT_SNR[1])
    found = _column(results, "is_found").astype(bool)
    placed = found & (snr >= POSITION_SNR[0]) & (snr <= POSITION_SNR[1])
    offsets = np.concatenate([_column(results, f"offset_{axis}")[placed] for axis in "xy"])
    area = sum(r.false_area_mpix for r in results)
    n_false = sum(r.n_false for r in results)
    expected = sum(r.noise_peaks_per_mpix * r.false_area_mpix for r in results)
    above = _column(results, "score")[faint] > THRESHOLD_SIGMA
    return Pooled(
        n_fields=len(results),
        area_mpix=area,
        n_sources=int(faint.sum()),
        sky_std=_by_field(std, pixels),
        sky_median=_by_field(np.array([s.median for s in sky]), pixels),
        sky_tail=_by_field(np.array([s.n_tail for s in sky]) / pixels, pixels),
        delta=offset_delta(snr[faint], above),
        bins=_bins(results, snr, found),
        n_false=n_false,
        n_false_expected=expected,
        excess=(n_false - expected) / area,
        excess_limit=(poisson_upper_limit(n_false) - expected) / area,
        flux_bias=_weighted(_column(results, "flux_ratio")[bright] - 1, snr[bright] ** 2),
        pull_std=_scatter(_column(results, "flux_pull")[bright]),
        position=_rms(offsets),
        n_psf_stars=float(np.mean([r.numbers["n_psf_stars"] for r in results])),
    )


def offset_delta(snr: Floats, above: NDArray[np.bool_]) -> Figure:
    """Return delta of P(score > 5) = Phi(s - 5 - delta) by maximum likelihood, and its error."""
    delta, information = 0.0, 1.0
    for _ in range(_ROUNDS):
        u = snr - THRESHOLD_SIGMA - delta
        up, down = np.exp(norm.logpdf(u) - log_ndtr(u)), np.exp(norm.logpdf(u) - log_ndtr(-u))
        slope = float(np.sum(np.where(above, -up, down)))
        information = float(np.sum(up * down))
        step = slope / information
        delta += float(np.clip(step, -0.5, 0.5))
        if abs(step) < 1e-7:
            break
    return Figure(delta, information**-0.5)


def poisson_upper_limit(n: int) -> float:
    """Return the one-sided 95 % upper limit on the mean of a Poisson count `n`."""
    return float(chi2.ppf(_CONFIDENCE, 2 * (n + 1)) / 2)


def unit_theory(snr: Floats) -> Floats:
    """Return Phi(s - 5)."""
    return np.asarray(ndtr(snr - THRESHOLD_SIGMA))


def _column(results: Sequence[FieldResult], name: str) -> Floats:
    return np.concatenate([np.asarray(getattr(r, name), float) for r in results])


def _by_field(values: Floats, weights: Floats) -> Figure:
    """Mean over fields, and its error from the scatter between them (NaN for a single field)."""
    mean = float(np.average(values, weights=weights))
    if len(values) < 2:
        return Figure(mean, float("nan"))
    return Figure(mean, float(np.std(values, ddof=1) / np.sqrt(len(values))))


def _weighted(values: Floats, weights: Floats) -> Figure:
    """Weighted mean; the error from the scatter of the values themselves; NaN of nothing."""
    if not len(values):
        return NOTHING
    total = weights.sum()
    mean = float(np.sum(weights * values) / total)
    return Figure(mean, float(np.sqrt(np.sum((weights * (values - mean)) ** 2)) / total))


def _scatter(values: Floats) -> Figure:
    """Standard deviation, and its error with the values' own kurtosis; NaN of nothing."""
    if not len(values):
        return NOTHING
    std = float(np.std(values))
    kurtosis = float(np.mean((values - values.mean()) ** 4)) / std**4
    return Figure(std, std * float(np.sqrt(max(kurtosis - 1, 0) / (4 * len(values)))))


def _rms(values: Floats) -> Figure:
    if not len(values):
        return NOTHING
    rms = float(np.sqrt(np.mean(values**2)))
    kurtosis = float(np.mean(values**4)) / rms**4
    return Figure(rms, rms * float(np.sqrt(max(kurtosis - 1, 0) / (4 * len(values)))))


def _bins(
    results: Sequence[FieldResult], snr: Floats, found: NDArray[np.bool_]
) -> tuple[CompletenessBin, ...]:
    expected, curve_error = _column(results, "curve_expected"), _column(results, "curve_error")
    accepted = _column(results, "is_accepted")
    out = []
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        n = int(inside.sum())
        if not n:
            continue
        p = expected[inside]
        # Each field has a curve of its own, so that their errors average out over fields.
        drawn = float(np.sqrt(np.mean(curve_error[inside] ** 2) / len(results)))
        error = float(np.hypot(np.sqrt(np.sum(p * (1 - p))) / n, drawn))
        out.append(
            CompletenessBin(
                low, high, n, float(found[inside].mean()), float(accepted[inside].mean()),
                float(p.mean()), error,
            )
        )  # fmt: skip
    return tuple(out)
