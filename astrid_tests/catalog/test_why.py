"""What happened to a position: every way an exposure can end, in words and numbers."""

from __future__ import annotations

import json
from datetime import date

import pytest

from astrid_assets.catalog.status import status
from astrid_assets.catalog.update import update_catalog
from astrid_assets.catalog.why import why
from astrid_tests.catalog.test_association import offset
from astrid_tests.catalog.world import Seen, World

CENTRE = (0.0005, 60.0)


@pytest.fixture
def world(tmp_path) -> World:
    return World.new(tmp_path)


def night(day: int) -> date:
    return date(2018, 8, day)


def expose(world, day, **values):
    world.expose(
        f"e{day}",
        *values.pop("centre", CENTRE),
        when=f"2018-08-{day + 1:02d}T05:00:00",
        night=night(day),
        **values,
    )


def test_every_outcome_is_told(world) -> None:
    reference = world.reference(*CENTRE)
    expose(world, 1, stop="reject")
    expose(world, 2, stop="no_reference")
    expose(world, 3, stop="fail", reference=reference)
    expose(world, 4, reference=reference, true=(Seen(*CENTRE, flux=310.0),))
    expose(
        world,
        5,
        reference=reference,
        seen=(Seen(*CENTRE, rejection_rule="is_dipole", rejection_value=0.83),),
    )
    expose(world, 6, reference=reference, seen=(Seen(*CENTRE, probability=0.31),))
    expose(
        world,
        7,
        reference=reference,
        seen=(Seen(*offset(*CENTRE, 1, 0), rejection_rule="edge"), Seen(*CENTRE)),
    )
    expose(world, 8, centre=(40.0, 10.0), reference=reference)
    expose(world, 9, reference=reference, masked=True)
    before = {
        entry.night.day: entry
        for entry in why(world.database, world.store, ra=CENTRE[0], dec=CENTRE[1])
    }
    assert before[7].outcome == "accepted"
    update_catalog(world.database, world.store, night=night(7), tile="t")
    entries = why(world.database, world.store, ra=CENTRE[0], dec=CENTRE[1])
    assert [(e.night.day, e.outcome) for e in entries] == [
        (1, "exposure_rejected"),
        (2, "no_reference"),
        (3, "difference_rejected"),
        (4, "below_threshold"),
        (5, "candidate_rejected"),
        (6, "scored_below_threshold"),
        (7, "in_transient"),
        (8, "no_image"),
        (9, "below_threshold"),
    ]
    told = {entry.night.day: entry for entry in entries}
    assert "seeing 4.2" in told[1].text
    assert "no reference yet" in told[2].text
    assert told[4].numbers["score"] == pytest.approx(3.1, abs=0.1)
    assert "score 3.1 sigma" in told[4].text
    assert told[5].numbers["rejection_rule"] == "is_dipole"
    assert "is_dipole (value 0.830)" in told[5].text
    assert told[6].numbers["threshold"] == 0.5
    assert "AID18aaaa" in told[7].text
    assert told[9].numbers["is_masked"]
    assert json.dumps([entry.as_dict() for entry in entries])
    assert all(entry.text.isascii() for entry in entries)


def test_a_position_off_the_frame_has_no_image(world) -> None:
    reference = world.reference(*CENTRE)
    expose(world, 1, reference=reference)
    far = offset(*CENTRE, 0, 12.6)
    corner = offset(*CENTRE, 11.5, 11.5)
    outcomes = [
        why(world.database, world.store, ra=place[0], dec=place[1])[0].outcome
        for place in (far, corner)
    ]
    assert outcomes == ["no_image", "below_threshold"]


def test_the_status_counts_what_stands(world) -> None:
    empty = status(world.database)
    assert (empty.n_observations, empty.assets, empty.quarantine) == (0, (), ())
    reference = world.reference(*CENTRE)
    expose(world, 1, stop="reject")
    expose(
        world,
        2,
        reference=reference,
        seen=(Seen(*CENTRE), Seen(*offset(*CENTRE, 5, 0), rejection_rule="edge")),
    )
    update_catalog(world.database, world.store, night=night(2), tile="t")
    found = status(world.database)
    assert (found.n_observations, found.n_nights, found.n_tiles) == (2, 2, 1)
    assert (found.n_candidates, found.n_candidates_rejected) == (2, 1)
    assert (found.n_detections_accepted, found.n_transients_single_epoch) == (1, 1)
    calibrated = next(item for item in found.assets if item.asset == "calibrated_exposures")
    assert (calibrated.n_passed, calibrated.n_failed) == (1, 1)
    assert found.references == ("t i version 1, 5 inputs",)
    assert found.model == "m 1"
    assert json.dumps(found.as_dict())
