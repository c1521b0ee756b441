"""Which exposures make a reference: a declared rule, a pure function of the set of exposures."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from astrid_resources.images import NoWork

_GRADES = ("A", "B", "C")


class NotEnoughInputs(NoWork):
    """Too few exposures meet the rule: no reference yet."""


@dataclass(frozen=True)
class ReferenceRule:
    """What may enter a reference, per survey.

    nights_from, nights_to: first and last night allowed (inclusive); None: no bound. Without
        `nights_to` the inputs end `min_gap_days` before the newest night of the set, so that the
        newest night always has a reference that it may use.
    n_inputs_min, n_inputs_max: how many exposures.
    seeing_max_arcsec: worst seeing allowed.
    worst_grade: worst grade allowed ("A", "B" or "C").
    usable_fraction_min: least fraction of usable pixels in an input.
    min_gap_days: inputs end at least so many days before the science night.
    """

    nights_from: date | None = None
    nights_to: date | None = None
    n_inputs_min: int = 3
    n_inputs_max: int = 20
    seeing_max_arcsec: float = 3.0
    worst_grade: str = "C"
    usable_fraction_min: float = 0.5
    min_gap_days: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.n_inputs_min <= self.n_inputs_max:
            raise ValueError(
                f"1 <= n_inputs_min <= n_inputs_max is needed, got {self.n_inputs_min} and "
                f"{self.n_inputs_max}"
            )
        if self.min_gap_days < 1:
            raise ValueError(f"min_gap_days must be at least 1, got {self.min_gap_days}")
        if self.worst_grade not in _GRADES:
            raise ValueError(f"worst_grade must be one of {_GRADES}, got {self.worst_grade!r}")
        if self.nights_from and self.nights_to and self.nights_from > self.nights_to:
            raise ValueError(f"nights {self.nights_from} to {self.nights_to} are none")


@dataclass(frozen=True)
class InputExposure:
    """What selection needs to know of a calibrated exposure.

    key: what identifies it in every store (its product id); ties are settled by it.
    flux_limit_5sigma: depth, in units that compare between exposures of one survey and filter
        (nJy where zero points are known, else ADU of the whole exposure).
    """

    key: str
    survey: str
    filter_band: str
    night: date
    seeing_arcsec: float
    flux_limit_5sigma: float
    grade: str = "A"
    usable_fraction: float = 1.0
    has_passed: bool = True


@dataclass(frozen=True)
class Eligibility:
    """Whether a reference may serve a night; the reason where it may not."""

    is_eligible: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.is_eligible


def refusal(exposure: InputExposure, rule: ReferenceRule) -> str | None:
    """Return why `exposure` may not be an input under `rule`, None where it may."""
    checks = (
        (not exposure.has_passed, "its calibration did not pass"),
        (exposure.grade not in _GRADES[: _GRADES.index(rule.worst_grade) + 1],
         f"grade {exposure.grade} is worse than {rule.worst_grade}"),
        (rule.nights_from is not None and exposure.night < rule.nights_from,
         f"night {exposure.night} is before {rule.nights_from}"),
        (rule.nights_to is not None and exposure.night > rule.nights_to,
         f"night {exposure.night} is after {rule.nights_to}"),
        (not exposure.seeing_arcsec <= rule.seeing_max_arcsec,
         f"seeing {exposure.seeing_arcsec:.2f} arcsec exceeds {rule.seeing_max_arcsec:g}"),
        (not exposure.usable_fraction >= rule.usable_fraction_min,
         f"usable fraction {exposure.usable_fraction:.2f} is below {rule.usable_fraction_min:g}"),
        (not (math.isfinite(exposure.flux_limit_5sigma) and exposure.flux_limit_5sigma > 0),
         f"its depth {exposure.flux_limit_5sigma} is not a positive number"),
    )  # fmt: skip
    return next((reason for failed, reason in checks if failed), None)


def select_inputs(
    exposures: Iterable[InputExposure], rule: ReferenceRule
) -> tuple[InputExposure, ...]:
    """Return the inputs of the reference, in order of night and key.

    All exposures must be of one survey and one filter. Of those that the rule allows the deepest
    `n_inputs_max` are taken. The result depends on the set alone, never on its order or on
    repetitions. Raises NotEnoughInputs where fewer than `n_inputs_min` are left.
    """
    unique = sorted({e.key: e for e in sorted(exposures, key=_identity)}.values(), key=_identity)
    groups = sorted({(e.survey, e.filter_band) for e in unique})
    if len(groups) > 1:
        raise ValueError(f"a reference is of one survey and one filter, got {groups}")
    allowed = [e for e in unique if refusal(e, rule) is None]
    if rule.nights_to is None and allowed:
        last = max(e.night for e in unique) - timedelta(days=rule.min_gap_days)
        allowed = [e for e in allowed if e.night <= last]
    if len(allowed) < rule.n_inputs_min:
        raise NotEnoughInputs(
            f"{len(allowed)} of {len(unique)} exposures may enter the reference, "
            f"{rule.n_inputs_min} are needed",
            n_allowed=len(allowed),
            n_exposures=len(unique),
            n_required=rule.n_inputs_min,
        )
    deepest = sorted(allowed, key=lambda e: (e.flux_limit_5sigma, e.key))[: rule.n_inputs_max]
    return tuple(sorted(deepest, key=lambda e: (e.night, e.key)))


def is_eligible(
    input_nights: Collection[date], *, science_night: date, rule: ReferenceRule
) -> Eligibility:
    """Return whether a reference made from `input_nights` may be subtracted from `science_night`.

    Its inputs must end at least `min_gap_days` before; so a night is never in its own reference.
    """
    if not input_nights:
        return Eligibility(False, "the reference has no inputs")
    last = max(input_nights)
    gap = (science_night - last).days
    if gap < rule.min_gap_days:
        return Eligibility(
            False,
            f"the reference's inputs end on {last}, {gap} days before {science_night}: at least "
            f"{rule.min_gap_days} are needed",
        )
    return Eligibility(True)


def _identity(exposure: InputExposure) -> tuple[str, str]:
    return (exposure.key, repr(exposure))
