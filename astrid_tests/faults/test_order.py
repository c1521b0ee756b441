"""Late nights, late references, many workers: the catalog is that of an orderly installation."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import pytest

from astrid_tests.faults.actors import Action, finish, perform, start
from astrid_tests.faults.place import Place, Places, Rows
from astrid_tests.faults.sky import REFERENCE_NIGHT_MJD, SCIENCE_NIGHTS_MJD, deliver
from astrid_tests.faults.undisturbed import TILE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

FIRST_MJD = SCIENCE_NIGHTS_MJD[0]
SCIENCE: tuple[Action, ...] = tuple(("night", f"2018-08-{day:02}", TILE) for day in (3, 4, 5))
REFERENCE: tuple[Action, ...] = (("night", "2016-08-17", TILE), ("reference", TILE))


def exposures(place: Place, *nights: int) -> None:
    """Deliver two exposures for the reference (night 0) or one of a science night (from 1)."""
    for night in nights:
        mjd = REFERENCE_NIGHT_MJD if night == 0 else FIRST_MJD + night - 1
        deliver(place.drop, {mjd: 2 if night == 0 else 1})


def done(place: Place, *actions: Action) -> None:
    ended = perform(place, *actions)
    assert ended.is_success, ended.failures


@pytest.fixture(scope="module")
def orderly(places: Places) -> Place:
    """Reference, then three science nights, each delivered before the next."""
    place = places.make()
    exposures(place, 0, 1, 2, 3)
    done(place, ("ingest",), *REFERENCE, *SCIENCE)
    place.require_clean()
    ((n_detections,),) = place.query("SELECT n_detections FROM transients")
    assert n_detections == 3
    return place


def catalog(place: Place) -> list[Any]:
    """Return members and light curve of every transient, names and ids of rows aside."""
    rows = place.rows("transients", "transient_members", "light_curve_points")
    own = {"id", "transient_id", "name"}
    return sorted(
        (
            {key: value for key, value in entry.items() if key not in own},
            sorted(
                str(row["detection_id"])
                for row in rows["transient_members"]
                if row["transient_id"] == entry["id"]
            ),
            sorted(
                (
                    [(key, value) for key, value in row.items() if key not in own]
                    for row in rows["light_curve_points"]
                    if row["transient_id"] == entry["id"]
                ),
                key=str,
            ),
        )
        for entry in rows["transients"]
    )


def made(place: Place) -> Rows:
    """Return every row that does not tell of the order of the runs, or of the drop folder.

    A night's `transients` product counts in the catalog as it stood when the night was run, and a
    name keeps the position at which it was issued.
    """
    rows = place.rows()
    del rows["delivered_files"], rows["transient_names"]
    gone = {
        row["id"]
        for row in rows["products"]
        if row["asset"] == "transients" or not row["is_current"]
    }
    rows["products"] = [row for row in rows["products"] if row["id"] not in gone]
    rows["product_inputs"] = [
        row for row in rows["product_inputs"] if row["product_row_id"] not in gone
    ]
    for row in rows["observations"]:
        del row["fits_url"]
    return rows


def test_a_night_delivered_after_the_next(places: Places, orderly: Place):
    place = places.make()
    exposures(place, 0, 2, 3)
    done(place, ("ingest",), *REFERENCE, *SCIENCE[1:])
    assert len(place.query("SELECT id FROM transient_members")) == 2
    exposures(place, 1)
    done(place, ("ingest",), SCIENCE[0])
    place.require_clean()
    assert catalog(place) == catalog(orderly)
    assert made(place) == made(orderly)


def test_a_reference_built_after_the_science_nights(places: Places, orderly: Place):
    place = places.make()
    exposures(place, 1, 2, 3)
    done(place, ("ingest",), *SCIENCE)
    assert place.query("SELECT id FROM candidates") == []
    exposures(place, 0)
    done(place, ("ingest",), *REFERENCE, *SCIENCE)
    place.require_clean()
    assert catalog(place) == catalog(orderly)
    assert made(place) == made(orderly)


@pytest.mark.parametrize("kind", ["sqlite+local", "postgresql+s3"])
def test_four_workers_at_once(places: Places, orderly: Place, kind: str):
    """Three nights of one piece of sky and one of them twice, all at the same time."""
    place = places.make(kind, drop=orderly.drop)
    done(place, ("ingest",), *REFERENCE)
    wanted = [*SCIENCE, SCIENCE[1]]
    random.Random(os.getpid()).shuffle(wanted)
    running = [start(place, [action]) for action in wanted]
    ended = [finish(*each) for each in running]
    assert [each.failures for each in ended if not each.is_success] == []
    place.require_clean()
    assert catalog(place) == catalog(orderly)
    assert made(place) == made(orderly)
    assert place.objects() == orderly.objects()
    sys.stdout.write(f"{kind}: {len(wanted)} runs at once, {len(place.objects())} objects\n")
