"""Counting peaks against Gaussian noise: signs, masks, chance, and variables known before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from scipy.stats import poisson

from astrid_assets.candidates.rules import RULES, rule_meanings
from astrid_assets.limits import NEGATIVE_PEAKS
from astrid_assets.null_tests.counts import ON_MASKS, SIGN_RULE, both, count_peaks, poisson_chance
from astrid_assets.null_tests.negative import negative_peaks
from astrid_assets.quality import Judgement, judge
from astrid_resources.database import Confirmation, Transient
from astrid_resources.identity import row_id
from astrid_resources.products import Partition
from astrid_tests.catalog.world import Seen, World

NIGHT = date(2018, 8, 3)


def rows(*rules: str | None, is_negative: bool = True) -> list[dict[str, object]]:
    return [{"is_negative": is_negative, "rejection_rule": rule} for rule in rules]


def test_the_rules_named_here_are_rules_and_the_sign_is_asked_last() -> None:
    assert set(rule_meanings()) > ON_MASKS
    assert RULES[-1].name == SIGN_RULE


def test_signs_and_masks_are_kept_apart() -> None:
    found = rows("negative", "negative", "dipole", "saturated", "cosmic_ray")
    found += rows(None, "dipole", "chi2", is_negative=False)
    negative, positive = (
        count_peaks(found, is_negative=sign, noise_peaks_per_mpix=0.2, area_mpix=2.0)
        for sign in (True, False)
    )
    assert (negative.n_peaks, negative.n_passed) == (3, 2)
    assert (positive.n_peaks, positive.n_passed) == (3, 1)
    metrics = both(negative, positive).metrics
    assert metrics["n_peaks"] == 6
    assert metrics["n_expected"] == pytest.approx(0.8)
    assert metrics["peaks_excess_per_mpix"] == pytest.approx((6 - 0.8) / 2)
    assert metrics["passed_excess_per_mpix"] == pytest.approx((3 - 0.8) / 2)
    assert metrics["noise_error_per_mpix"] == pytest.approx(0.5)
    assert metrics["poisson_chance"] == pytest.approx(poisson.sf(2, 0.8))


def test_nothing_searched_has_no_verdict() -> None:
    empty = count_peaks([], is_negative=True, noise_peaks_per_mpix=0.2, area_mpix=0.0)
    for limit in NEGATIVE_PEAKS:
        finding = judge(limit, empty.metrics, label="")
        assert finding.judgement is Judgement.NO_VERDICT
    assert empty.metrics["poisson_chance"] == 1


@pytest.mark.parametrize(("n", "mean"), [(0, 0.3), (1, 0.3), (7, 2.5), (40, 2.5)])
def test_poisson_chance(n: int, mean: float) -> None:
    assert poisson_chance(n, mean) == pytest.approx(poisson.sf(n - 1, mean), rel=1e-9)


def test_known_variables_are_left_out_and_those_of_the_same_night_are_not(tmp_path: Path) -> None:
    world = World.new(tmp_path)
    reference = world.reference(10.0, -5.0)
    places = [(10.0, -5.0), (10.001, -5.001), (9.999, -5.0012)]
    seen = tuple(
        Seen(ra, dec, flux=-900.0, rejection_rule="negative", rejection_value=-9.0)
        for ra, dec in places
    )
    identity = world.expose(
        "a", 10.0, -5.0, when="2018-08-04 03:00:00", night=NIGHT, seen=seen, reference=reference
    )
    made = world.products["candidates", NIGHT, "t"][0]
    metrics = {"noise_peaks_per_mpix": 0.2, "searched_area_mpix": 0.5}
    world.add("candidates", NIGHT, "t", identity, rows=made.rows, metrics=metrics)
    partition = Partition(NIGHT, "t")
    (found,) = negative_peaks(world.database, partition)
    assert (found.label, found.count.n_passed, found.count.n_known) == ("a", 3, 0)
    with world.database.session() as session:
        for name, (ra, dec), day in (("old", places[0], 100), ("tonight", places[1], 0)):
            when = datetime(2018, 8, 4, 3, tzinfo=UTC)
            session.add(
                Transient(
                    id=row_id("transients", name), name=name, ra=ra, dec=dec, first_seen=when,
                    last_seen=when, first_mjd=58334.125 - day, n_detections=1,
                    confirmation=Confirmation.SINGLE_EPOCH,
                )
            )  # fmt: skip
    (found,) = negative_peaks(world.database, partition)
    assert (found.count.n_passed, found.count.n_known) == (2, 1)
    assert negative_peaks(world.database, Partition(date(2018, 8, 9), "t")) == ()
