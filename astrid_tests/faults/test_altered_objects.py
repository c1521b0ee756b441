"""One bit of a stored object is altered: found on read, put aside, made again by a re-run."""

from __future__ import annotations

import pytest

from astrid_assets.cli.pipeline import Pipeline, RunOutcome
from astrid_resources.integrity import repair, verify
from astrid_resources.objects import LocalFolder, ObjectStore
from astrid_tests.faults.in_process import counted, opened, partitions
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.sky import REFERENCE_NIGHT_MJD, SCIENCE_NIGHTS_MJD, deliver

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def alter(store: ObjectStore, key: str) -> None:
    """Turn one bit in the middle of an object, behind the store's back."""
    content = bytearray(store.get_bytes(key))
    content[len(content) // 2] ^= 1
    backend = store.backend
    if isinstance(backend, LocalFolder):
        path = backend.folder / key
        path.chmod(0o644)
        path.write_bytes(bytes(content))
    else:
        backend.client.put_object(
            Bucket=backend.bucket, Key=backend._full(key), Body=bytes(content)
        )


def key_of(place: Place, asset: str, role: str) -> str:
    """Return an object of an asset's latest product."""
    rows = place.rows("products")["products"]
    return str([row for row in rows if row["asset"] == asset][-1]["objects"][role]["key"])


def refused(outcome: RunOutcome, key: str) -> None:
    """Require that a run failed because of the object, in words a person can use."""
    assert not outcome.is_success
    (said,) = outcome.failures
    assert f"object {key} is damaged" in said
    assert "now in quarantine" in said
    assert "Run the partition" in said


def right(*outcomes: RunOutcome) -> None:
    """Require that runs succeeded."""
    assert [outcome.failures for outcome in outcomes if not outcome.is_success] == []


@pytest.mark.parametrize("kind", ["sqlite+local", "postgresql+s3"])
def test_an_altered_bit_is_found_and_made_good(places: Places, kind: str):
    place = places.make(kind)
    deliver(place.drop, {REFERENCE_NIGHT_MJD: 2, SCIENCE_NIGHTS_MJD[0]: 1})
    store = place.store()
    with opened(place) as pipeline:
        right(pipeline.ingest(place.drop))
        (first, tile), (second, _) = partitions(pipeline)
        right(pipeline.run_night(first, tile))
        calibrated = key_of(place, "calibrated_exposures", "image")
        alter(store, calibrated)
        refused(pipeline.make_references(tile), calibrated)
        assert not store.exists(calibrated)
        right(pipeline.run_night(first, tile))
        assert store.exists(calibrated), "made again, byte for byte"
        right(pipeline.make_references(tile))
        reference = key_of(place, "reference_images", "image")
        alter(store, reference)
        refused(pipeline.run_night(second, tile), reference)
        right(pipeline.make_references(tile), pipeline.run_night(second, tile))
        _redelivered(pipeline, place, store)
        right(pipeline.run_night(second, tile))
        assert counted(pipeline.instance)["store_quarantined"] >= 0
    assert len(place.rows("transients")["transients"]) == 1
    place.require_clean()


def _redelivered(pipeline: Pipeline, place: Place, store: ObjectStore) -> None:
    """Alter a raw file: verification says so, its repair lets the next ingest take it again."""
    raw = key_of(place, "raw_exposures", "raw")
    alter(store, raw)
    found = verify(pipeline.database, store)
    assert [(problem.kind.value, problem.subject) for problem in found.problems] == [
        ("altered_object", raw)
    ]
    done = repair(pipeline.database, store, found)
    assert [item.what for item in done.redeliveries] == ["exposure"]
    assert not store.exists(raw)
    right(pipeline.ingest(place.drop))
    assert store.exists(raw)
