"""The grade of a calibrated exposure, with the reasons: one ordered, declared table of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from astrid_assets.calibration.metrics import CalibrationMetrics


class Grade(Enum):
    """How good an exposure is; everything but `REJECTED` goes on to later stages."""

    A = "A"
    B = "B"
    C = "C"
    REJECTED = "rejected"


Limits = tuple[float, float, float]


@dataclass(frozen=True)
class GradingSettings:
    """For each quantity the greatest value of grades A, B and C; beyond the last: rejected.

    blank_std_off: |scatter of data / sqrt(variance) in blank sky - 1|.
    blank_median_off: |median of the same|.
    flux_median_off: |median PSF flux over its scatter| in blank sky.
    variance_off: measured over expected blank-sky variance, or its inverse, minus 1.
    flux_scale_off: |PSF flux over aperture flux of bright stars - 1|.
    The last five are judged at limit + `n_standard_errors` of their own sampling error.
    """

    seeing_arcsec: Limits = (2.0, 3.5, 8.0)
    ellipticity: Limits = (0.15, 0.25, 0.45)
    masked_fraction: Limits = (0.1, 0.3, 0.7)
    psf_residual: Limits = (0.05, 0.1, 0.3)
    sky_gradient_sigma: Limits = (5.0, 20.0, 200.0)
    blank_median_off: Limits = (0.1, 0.2, 0.5)
    blank_std_off: Limits = (0.05, 0.1, 0.3)
    flux_median_off: Limits = (0.2, 0.5, 1.5)
    variance_off: Limits = (0.1, 0.5, 3.0)
    flux_scale_off: Limits = (0.03, 0.06, 0.2)
    n_standard_errors: float = 4.0


DEFAULTS = GradingSettings()


@dataclass(frozen=True)
class GradeVerdict:
    """A grade and the reasons for not being an A, worst first, each with value and limit."""

    grade: Grade
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether later stages may use the exposure."""
        return self.grade is not Grade.REJECTED


@dataclass(frozen=True)
class _Rule:
    name: str
    text: str
    value: Callable[[CalibrationMetrics], float | None]
    error: Callable[[CalibrationMetrics], float | None] = lambda _: None


def _off(value: float | None, target: float) -> float | None:
    return None if value is None else abs(value - target)


def _ratio_off(ratio: float | None) -> float | None:
    if ratio is None:
        return None
    return max(ratio, 1 / ratio) - 1 if ratio > 0 else float("inf")


RULES: tuple[_Rule, ...] = (
    _Rule("seeing_arcsec", "seeing (arcsec)", lambda m: m.seeing_arcsec),
    _Rule("ellipticity", "ellipticity of the stars (trailing)", lambda m: m.ellipticity),
    _Rule("masked_fraction", "fraction of masked pixels", lambda m: m.masked_fraction),
    _Rule("psf_residual", "fractional PSF-model error", lambda m: m.psf_residual),
    _Rule("sky_gradient_sigma", "sky variation over its noise", lambda m: m.sky_gradient_sigma),
    _Rule(
        "blank_median_off",
        "|median of data over noise| in blank sky",
        lambda m: _off(m.blank_median, 0.0),
        lambda m: m.blank_median_error,
    ),
    _Rule(
        "blank_std_off",
        "|scatter of data over noise - 1| in blank sky",
        lambda m: _off(m.blank_std, 1.0),
        lambda m: m.blank_std_error,
    ),
    _Rule(
        "flux_median_off",
        "|median of PSF fluxes over their scatter| in blank sky",
        lambda m: _off(m.flux_median_sigma, 0.0),
        lambda m: m.flux_median_error,
    ),
    _Rule(
        "variance_off",
        "measured over expected sky variance (or inverse) - 1",
        lambda m: _ratio_off(m.variance_ratio),
        lambda m: 2 * (m.blank_std_error or 0.0),
    ),
    _Rule(
        "flux_scale_off",
        "|PSF flux over aperture flux of bright stars - 1|",
        lambda m: _off(m.flux_scale_ratio, 1.0),
        lambda m: m.flux_scale_error,
    ),
)


def grade(
    metrics: CalibrationMetrics,
    *,
    settings: GradingSettings = DEFAULTS,
) -> GradeVerdict:
    """Return the worst grade that any rule gives, with a reason for each rule below A."""
    order = list(Grade)
    found: list[tuple[int, str]] = []
    for rule in RULES:
        value = rule.value(metrics)
        if value is None:
            continue
        limits: Limits = getattr(settings, rule.name)
        slack = settings.n_standard_errors * (rule.error(metrics) or 0.0)
        rank = sum(not value <= limit + slack for limit in limits)
        if rank:
            limit = limits[rank - 1]
            tail = f" + {slack:.3g} ({settings.n_standard_errors:g} s.e.)" if slack else ""
            text = f"{rule.text} is {value:.3g}, limit {limit:g}{tail}: grade {order[rank].value}"
            found.append((rank, text))
    worst = max((rank for rank, _ in found), default=0)
    return GradeVerdict(order[worst], tuple(text for _, text in sorted(found, key=lambda f: -f[0])))
