"""Association: a pure function of the set of detections, anywhere on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrid_assets.catalog.association import (
    ARCSEC,
    AssociationSettings,
    DetectionArrays,
    associate,
    best_by_time,
    confirmation,
    connected_region,
    separation_arcsec,
    tangent_offsets_arcsec,
)
from astrid_assets.imaging.sphere import unit_vectors

RADIUS = 1.0
CENTRES = [(0.0, 0.0), (359.99999, 45.0), (123.4, -89.9999), (10.0, 90.0), (318.108, -66.0157)]


def offset(ra: float, dec: float, east_arcsec: float, north_arcsec: float) -> tuple[float, float]:
    """Return the position moved in the tangent plane at (ra, dec), also at a pole."""
    a, d = np.radians([ra, dec])
    east = np.array([-np.sin(a), np.cos(a), 0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    vector = unit_vectors(np.array(ra), np.array(dec))
    vector = vector + ARCSEC * (east_arcsec * east + north_arcsec * north)
    x, y, z = vector
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def make(positions, *, mjd=None, ids=None, error=0.1) -> DetectionArrays:
    positions = np.array(positions, float).reshape(-1, 2)
    n = len(positions)
    return DetectionArrays(
        tuple(ids or (f"d{i:03d}" for i in range(n))),
        positions[:, 0],
        positions[:, 1],
        np.arange(n, dtype=float) if mjd is None else np.array(mjd, float),
        np.full(n, error),
    )


def brute_force(detections: DetectionArrays, radius: float) -> set[frozenset[str]]:
    groups = [{i} for i in range(len(detections))]
    for i in range(len(detections)):
        for j in range(i):
            distance = separation_arcsec(
                detections.ra[i], detections.dec[i], detections.ra[j], detections.dec[j]
            )
            if distance <= radius:
                one = next(g for g in groups if i in g)
                two = next(g for g in groups if j in g)
                if one is not two:
                    groups.remove(two)
                    one |= two
    return {frozenset(detections.ids[i] for i in group) for group in groups}


@settings(max_examples=150, deadline=None)
@given(
    centre=st.sampled_from(CENTRES),
    offsets=st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=0, max_size=25),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_order_gives_the_same_groups(centre, offsets, seed) -> None:
    rng = np.random.default_rng(seed)
    mjd = rng.integers(0, 3, len(offsets))  # ties in time are resolved by id
    detections = make([offset(*centre, *move) for move in offsets], mjd=mjd)
    groups = associate(detections, radius_arcsec=RADIUS)
    assert {frozenset(group.ids) for group in groups} == brute_force(detections, RADIUS)
    for _ in range(3):
        shuffled = detections.take(rng.permutation(len(detections)))
        assert associate(shuffled, radius_arcsec=RADIUS) == groups


@pytest.mark.parametrize("centre", CENTRES)
def test_one_source_is_one_group_at_ra_0_and_at_the_poles(centre) -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = [offset(*centre, 0.4 * np.cos(t), 0.4 * np.sin(t)) for t in angles]
    (group,) = associate(make(ring), radius_arcsec=RADIUS)
    assert len(group.ids) == 12


def test_the_radius_is_exact() -> None:
    inside = make([(10.0, 20.0), offset(10.0, 20.0, 0.0, 0.9999)])
    outside = make([(10.0, 20.0), offset(10.0, 20.0, 0.0, 1.0001)])
    assert len(associate(inside, radius_arcsec=RADIUS)) == 1
    assert len(associate(outside, radius_arcsec=RADIUS)) == 2


def test_nothing_gives_no_group() -> None:
    assert associate(DetectionArrays.empty(), radius_arcsec=RADIUS) == ()


@settings(max_examples=60, deadline=None)
@given(
    offsets=st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6)), min_size=1, max_size=40),
    n_seeds=st.integers(1, 4),
)
def test_the_connected_region_holds_whole_groups(offsets, n_seeds) -> None:
    everything = make([offset(0.0, 89.9999, *move) for move in offsets])
    seeds = everything.take(range(min(n_seeds, len(everything))))

    def neighbours(frontier: DetectionArrays) -> DetectionArrays:
        distance = separation_arcsec(
            everything.ra[:, None], everything.dec[:, None], frontier.ra, frontier.dec
        )
        return everything.take(np.flatnonzero((distance <= 1.5 * RADIUS).any(axis=1)))

    region = connected_region(seeds, neighbours)
    touched = {
        group
        for group in associate(everything, radius_arcsec=RADIUS)
        if set(group.ids) & set(seeds.ids)
    }
    in_region = set(associate(region, radius_arcsec=RADIUS))
    assert touched <= in_region


@pytest.mark.parametrize("centre", CENTRES)
def test_tangent_offsets_are_east_and_north(centre) -> None:
    members = make([offset(*centre, 0.3, -0.2)])
    east, north = tangent_offsets_arcsec(members, *centre)
    assert east[0] == pytest.approx(0.3, abs=1e-6)
    assert north[0] == pytest.approx(-0.2, abs=1e-6)


def group_of(positions, minutes, error=0.1):
    detections = make(positions, mjd=59000 + np.array(minutes) / 1440, error=error)
    (group,) = associate(detections, radius_arcsec=100.0)
    return group


def test_one_detection_or_a_short_span_is_a_single_epoch() -> None:
    assert confirmation(group_of([(10, 0)], [0])).status == "single_epoch"
    short = confirmation(group_of([(10, 0), (10, 0)], [0, 14.9]))
    assert short.status == "single_epoch"
    assert "15 min" in short.reason
    assert confirmation(group_of([(10, 0), (10, 0)], [0, 15.1])).status == "confirmed"


def test_a_moving_source_is_not_confirmed() -> None:
    moved = confirmation(group_of([(10, 0), offset(10, 0, 0.9, 0)], [0, 30]))
    assert moved.status == "single_epoch"
    assert moved.motion_arcsec_per_hour == pytest.approx(1.8, rel=1e-3)


def test_stationary_sources_are_confirmed_at_the_stated_rate() -> None:
    rng = np.random.default_rng(5)
    rule = AssociationSettings(position_floor_arcsec=0.0)
    n_runs, kept = 1500, 0
    for _ in range(n_runs):
        minutes = np.sort(rng.uniform(0, 300, 5))
        scatter = rng.normal(0, 0.1, (5, 2))
        group = group_of([offset(0.0, -60.0, *move) for move in scatter], minutes)
        kept += confirmation(group, settings=rule).status == "confirmed"
    expected = 1 - np.exp(-rule.motion_chi2_max / 2)  # chi^2 with 2 degrees of freedom
    error = np.sqrt(expected * (1 - expected) / n_runs)
    assert abs(kept / n_runs - expected) < 4 * error


def test_the_strongest_of_one_exposure_counts_ties_by_id() -> None:
    members = make([(1, 1)] * 4, mjd=[1, 1, 2, 2], ids=["b", "a", "c", "d"])
    assert best_by_time(members, [7, 7, 6, -9]) == (1, 3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        make([(np.nan, 0)])
    with pytest.raises(ValueError, match="unique"):
        make([(1, 0), (2, 0)], ids=["a", "a"])
