"""The same file again and again, new content under an old name, and what people said of the old."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from astrid_resources.database import (
    Alert,
    AlertPriority,
    ConfidenceLevel,
    Detection,
    ValidationEvent,
)
from astrid_tests.faults.actors import finish, perform, start
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.sky import (
    REFERENCE_NIGHT_MJD,
    SCIENCE_NIGHTS_MJD,
    SIZE,
    deliver,
    frame,
    put,
)
from astrid_tests.faults.undisturbed import NIGHTS, RUNS, TILE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

MJD = SCIENCE_NIGHTS_MJD[0]
SCIENCE = ("night", NIGHTS[1], TILE)


def done(place: Place, *actions) -> None:
    ended = perform(place, *actions)
    assert ended.is_success, ended.failures


def without_transient(number: int) -> bytes:
    """Return another exposure of the same moment, in which nothing is new."""
    return frame(MJD, number, size=SIZE, snr=0.001)


@pytest.mark.parametrize("kind", ["sqlite+local", "postgresql+s3"])
def test_one_file_five_times_and_by_two_at_once(places: Places, kind: str):
    place = places.make(kind)
    deliver(place.drop, {MJD: 2})
    for name in ("z1.fits", "z2.fits", "sub/z3.fits", "z4.fits"):
        put(place.drop / "synthetic" / name, frame(MJD, 0))
    running = [start(place, [("ingest",)]) for _ in range(3)]
    assert all(finish(*each).is_success for each in running)
    for name in ("z1.fits", "again.fits"):
        put(place.drop / "synthetic" / name, frame(MJD, 0))
    done(place, ("ingest",), SCIENCE)
    assert place.query("SELECT count(*) FROM observations") == [(2,)]
    names = {name for (name,) in place.query("SELECT file_name FROM observations")}
    assert names == {"synthetic/58334_0.fits", "synthetic/58334_1.fits"}
    outcomes = dict(place.query("SELECT outcome, count(*) FROM delivered_files GROUP BY outcome"))
    assert outcomes == {"ingested": 2, "known": 5}
    made = place.query("SELECT asset, count(*) FROM products WHERE is_current GROUP BY asset")
    assert dict(made)["raw_exposures"] == dict(made)["calibrated_exposures"] == 2
    place.require_clean()


def test_new_content_is_a_new_version_and_people_keep_their_word(places: Places):
    place = places.make()
    deliver(place.drop, {REFERENCE_NIGHT_MJD: 2, MJD: 2})
    done(place, *RUNS)
    spoken_of, alerted = _speak(place)
    before = place.rows()
    done(place, SCIENCE)
    assert place.rows() == before, "a re-run changes nothing"

    for number in range(2):
        again = place.drop / "synthetic" / f"58334_{number}.fits"
        put(again, without_transient(number), later_s=60)
    done(place, ("ingest",))
    versions = place.query(
        "SELECT is_current, count(*) FROM observations WHERE night = '2018-08-03' "
        "GROUP BY is_current ORDER BY is_current"
    )
    assert [(bool(is_current), n) for is_current, n in versions] == [(False, 2), (True, 2)]
    old = place.query("SELECT raw_path FROM observations")
    assert all(place.store().exists(key) for (key,) in old), "the old files are kept"

    done(place, SCIENCE)
    place.require_clean()
    assert place.query("SELECT * FROM stale_products") == []
    standing = place.query("SELECT id, is_superseded FROM detections")
    kept = {uuid.UUID(str(key)) for key, is_superseded in standing if is_superseded}
    assert kept == {spoken_of, alerted}, "others of the old versions are gone"
    labels = place.query("SELECT human_label FROM labelled_detections WHERE human_label <> ''")
    assert labels == [("supernova",)]
    assert place.query("SELECT count(*) FROM alerts") == [(1,)]
    assert place.query("SELECT count(*) FROM validation_events") == [(1,)]
    assert place.query("SELECT count(*) FROM transients WHERE status = 'active'") == [(0,)]
    before = place.rows()
    done(place, SCIENCE)
    assert place.rows() == before


def _speak(place: Place) -> tuple[uuid.UUID, uuid.UUID]:
    """Label the transient's detection of one exposure, and alert of that of the other."""
    with place.database() as database, database.session() as session:
        first, second = (
            session.get_one(Detection, uuid.UUID(str(key)))
            for (key,) in place.query("SELECT detection_id FROM transient_members ORDER BY 1")
        )
        session.add(
            ValidationEvent(
                detection_id=first.id,
                ra=first.ra,
                dec=first.dec,
                mjd_mid=first.mjd_mid,
                validator_id="ada",
                is_valid=True,
                label="supernova",
                confidence_level=ConfidenceLevel.EXPERT,
            )
        )
        session.add(
            Alert(
                detection_id=second.id,
                alert_type="new_transient",
                priority=AlertPriority.HIGH,
                title="new",
                message="a new source",
                delivery_key="one",
                sent_at=datetime.now(UTC),
            )
        )
        return first.id, second.id
