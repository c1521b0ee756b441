"""Ingest and whole runs of the chain, killed at random writes: one re-run puts all right."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest

from astrid_resources.objects import CorruptObjectError, ObjectStore
from astrid_tests.faults.actors import Action, perform
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.undisturbed import Undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

KILLS = {"ingest": 9, "night": 12, "reference": 7}
"""How often each run is to be killed before it may end; with four runs 40 in all."""
N_KILLS_MIN = 25
"""Some kills come too late, where the killed runs before had done most of the work."""


@pytest.mark.parametrize("kind", ["sqlite+local", "postgresql+s3"])
def test_killed_at_any_write(places: Places, undisturbed: Undisturbed, kind: str):
    rng = random.Random(20180803)
    killed: Counter[str] = Counter()
    place = places.make(kind, drop=undisturbed.place.drop)
    for action, told in undisturbed.told.items():
        for number in range(KILLS[action[0]]):
            killed += _kill(place, action, told, "orcd"[number % 4], rng)
        done = perform(place, action)
        assert done.is_success, done.failures
    undisturbed.require_same(place)
    sys.stdout.write(f"{kind}: {killed.total()} kills at writes {dict(killed)}\n")
    assert killed.total() >= N_KILLS_MIN
    assert all(killed[letter] > 0 for letter in "orcd")


def _kill(place: Place, action: Action, told: str, letter: str, rng: random.Random) -> Counter[str]:
    """Kill a run at a random write of a kind, rather early; return the kind, if it got that far."""
    number = 1 + int(told.count(letter) * rng.random() ** 3)
    done = perform(place, action, kill=(letter, number))
    place.require_clean(is_reading=False)
    assert partial_objects(place.store()) == []
    return Counter([letter] if done.is_killed else [])


def partial_objects(store: ObjectStore) -> list[str]:
    """Return the objects whose bytes are not those of their key."""
    bad = []
    for item in store.list():
        try:
            store.verify(item.key)
        except CorruptObjectError:
            bad.append(item.key)
    return bad
