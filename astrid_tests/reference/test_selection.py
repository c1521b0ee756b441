"""Selection is a function of the set; a night is never in its own reference."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest

from astrid_assets.reference.selection import (
    InputExposure,
    NotEnoughInputs,
    ReferenceRule,
    is_eligible,
    refusal,
    select_inputs,
)

NIGHT = date(2016, 8, 17)
RULE = ReferenceRule(nights_to=date(2016, 12, 31), n_inputs_min=2, n_inputs_max=4)


def _exposure(k: int, *, night: date = NIGHT, **changes: object) -> InputExposure:
    base = InputExposure(f"p{k:02d}", "s", "i", night, 1.0 + 0.1 * k, 100.0 + k)
    return replace(base, **changes)


def test_order_and_repetition_do_not_matter() -> None:
    exposures = [_exposure(k, night=NIGHT - timedelta(days=k % 3)) for k in range(12)]
    expected = select_inputs(exposures, RULE)
    for seed in range(20):
        shuffled = exposures + exposures[:4]
        random.Random(seed).shuffle(shuffled)
        assert select_inputs(shuffled, RULE) == expected
    assert len(expected) == 4
    assert {e.key for e in expected} == {"p00", "p01", "p02", "p03"}
    assert list(expected) == sorted(expected, key=lambda e: (e.night, e.key))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"has_passed": False}, "did not pass"),
        ({"grade": "rejected"}, "grade"),
        ({"night": date(2017, 1, 1)}, "after"),
        ({"seeing_arcsec": 9.0}, "seeing"),
        ({"seeing_arcsec": float("nan")}, "seeing"),
        ({"usable_fraction": 0.2}, "usable"),
        ({"flux_limit_5sigma": float("nan")}, "depth"),
    ],
)
def test_what_the_rule_refuses_has_its_reason(changes: dict, why: str) -> None:
    bad = _exposure(0, **changes)
    assert why in (refusal(bad, RULE) or "")
    chosen = select_inputs([bad, _exposure(1), _exposure(2)], RULE)
    assert {e.key for e in chosen} == {"p01", "p02"}
    assert refusal(_exposure(0), RULE) is None


def test_too_few_is_no_work_with_numbers() -> None:
    with pytest.raises(NotEnoughInputs) as caught:
        select_inputs([_exposure(0)], RULE)
    assert caught.value.numbers == {"n_allowed": 1, "n_exposures": 1, "n_required": 2}
    with pytest.raises(NotEnoughInputs):
        select_inputs([], RULE)


def test_an_open_rule_leaves_the_newest_night_its_gap() -> None:
    rule = replace(RULE, nights_to=None, n_inputs_max=99)
    nights = [NIGHT + timedelta(days=k) for k in (0, 10, 29, 30, 31, 60)]
    exposures = [_exposure(k, night=n) for k, n in enumerate(nights)]
    chosen = select_inputs(exposures, rule)
    assert [e.night for e in chosen] == nights[:4]
    assert is_eligible([e.night for e in chosen], science_night=nights[-1], rule=rule)


def test_filters_and_surveys_are_never_mixed() -> None:
    with pytest.raises(ValueError, match="one survey and one filter"):
        select_inputs([_exposure(0), _exposure(1, filter_band="r")], RULE)


@pytest.mark.parametrize(("days", "allowed"), [(0, False), (29, False), (30, True), (-5, False)])
def test_eligibility_at_the_edges(days: int, allowed: bool) -> None:
    verdict = is_eligible(
        [NIGHT - timedelta(days=400), NIGHT],
        science_night=NIGHT + timedelta(days=days),
        rule=RULE,
    )
    assert bool(verdict) is allowed
    assert bool(verdict.reason) is not allowed
    assert not is_eligible([], science_night=NIGHT, rule=RULE)


@pytest.mark.parametrize(
    "bad",
    [
        {"n_inputs_min": 0},
        {"n_inputs_min": 5, "n_inputs_max": 4},
        {"min_gap_days": 0},
        {"worst_grade": "D"},
        {"nights_from": date(2020, 1, 1), "nights_to": date(2019, 1, 1)},
    ],
)
def test_absurd_rules_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"n_inputs|gap|grade|nights"):
        ReferenceRule(**bad)
