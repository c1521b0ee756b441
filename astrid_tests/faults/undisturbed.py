"""An installation whose runs nobody disturbed: what all others must come to."""

from __future__ import annotations

from dataclasses import dataclass

from astrid_tests.faults.actors import Action, perform
from astrid_tests.faults.place import Place
from astrid_tests.faults.sky import REFERENCE_NIGHT_MJD, SCIENCE_NIGHTS_MJD, deliver, put

NIGHTS, TILE = ("2016-08-17", "2018-08-03"), "5-6814"
RUNS: tuple[Action, ...] = (
    ("ingest",),
    ("night", NIGHTS[0], TILE),
    ("reference", TILE),
    ("night", NIGHTS[1], TILE),
)
"""Ingest, the reference's night, the reference, the science night."""


@dataclass(frozen=True)
class Undisturbed:
    """The installation, and the writes that each of its runs told."""

    place: Place
    told: dict[Action, str]

    @classmethod
    def run(cls, place: Place) -> Undisturbed:
        """Deliver two nights of two exposures and a file that is no image; run everything."""
        deliver(place.drop, {REFERENCE_NIGHT_MJD: 2, SCIENCE_NIGHTS_MJD[0]: 2})
        put(place.drop / "synthetic" / "page.fits", b"<html>no image</html>" * 200)
        told = {}
        for action in RUNS:
            done = perform(place, action)
            assert done.is_success, done.failures
            told[action] = done.told
        place.require_clean()
        assert len(place.rows("transients")["transients"]) == 1
        return cls(place, told)

    def require_same(self, place: Place) -> None:
        """Fail unless another installation has the same rows and objects, and is clean."""
        place.require_clean()
        assert place.rows() == self.place.rows()
        assert place.objects() == self.place.objects()
