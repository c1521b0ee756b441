"""Which references are due, promoted and waited for: asked of a database with little in it."""

from __future__ import annotations

from datetime import date

import pytest

from astrid_assets.difference.choose_reference import NoReferenceYet, choose_reference
from astrid_assets.exposures.survey import load_surveys
from astrid_assets.reference.due import due_references
from astrid_assets.reference.promotion import promote, waiting_partitions
from astrid_resources.database import Database, Observation
from astrid_resources.database.replace import replace_partition
from astrid_resources.database.rows import upsert
from astrid_resources.identity import row_id
from astrid_resources.products import Product, StoredObject
from astrid_tests.resources.rows import SURVEY_ID, TILE, observation

FIRST = date(2016, 8, 17)
SCIENCE = date(2018, 8, 3)
SURVEYS = {
    "test": load_surveys()["synthetic"].model_copy(update={"name": "test"}),
}


def _object(name: str) -> StoredObject:
    return StoredObject(f"sha256/{name[:2]}/{name}", name, 1)


class Place:
    """A database with exposures, calibrated ones, references and differences made by hand."""

    def __init__(self, folder) -> None:
        self.database = Database(f"sqlite:///{folder / 'astrid.sqlite'}")
        self.database.upgrade()
        with self.database.session() as session:
            declared = SURVEYS["test"].declaration
            upsert(
                session,
                "surveys",
                [{"id": SURVEY_ID, "name": "test", "header_mapping": declared}],
            )

    def calibrated(self, night: date, *names: str, band: str) -> None:
        rows = [observation(name, night=night, filter_band=band) for name in names]
        metrics = {
            "seeing_arcsec": 1.0,
            "flux_limit_5sigma_adu": 10.0,
            "grade": "A",
            "masked_fraction": 0.0,
        }
        products = [
            Product(
                "calibrated_exposures",
                f"calibrated {row['observation_id']}",
                row["id"],
                {"image": _object(row["content_sha256"])},
                metrics,
            )
            for row in rows
        ]
        with self.database.session() as session:
            upsert(session, "observations", rows)
            replace_partition(
                session, asset="calibrated_exposures", night=night, tile=TILE, products=products
            )

    def reference(self, name: str, *, version: int, night: date = FIRST) -> None:
        sha256 = name * 64
        row = {
            "id": row_id("reference_images", name),
            "survey_id": SURVEY_ID,
            "filter_band": "r",
            "product_id": name,
            "input_observation_ids": [],
            "input_nights": [night.isoformat()],
            "n_inputs": 2,
            "image_path": f"sha256/{sha256[:2]}/{sha256}",
            "content_sha256": sha256,
            "version": version,
        }
        made = Product("reference_images", name, None, rows={"reference_images": (row,)})
        with self.database.session() as session:
            replace_partition(
                session, asset="reference_images", night=None, tile=TILE, products=[made]
            )

    def choice(self, name: str, *, is_stored: bool = True) -> str:
        """Return the sha256 of the reference that the exposure `name` would use."""
        with self.database.read() as session:
            row = session.get_one(Observation, observation(name)["id"])
        chosen = choose_reference(self.database, row, SURVEYS, is_stored=lambda key: is_stored)
        return chosen.sha256

    def difference(self, name: str, reference: str | None) -> None:
        """Record what the exposure `name` of the science night was subtracted by."""
        identity = observation(name)["id"]
        sha256 = reference * 64 if reference else None
        row = {
            "id": row_id("difference_runs", identity, sha256),
            "observation_id": identity,
            "reference_sha256": sha256,
            "status": "no_work",
            "verdict": "no_work",
        }
        made = Product(
            "difference_images",
            f"difference {name} {reference}",
            identity,
            verdict="no_work",
            reasons=("by hand",),
            rows={"difference_runs": (row,)},
        )
        with self.database.session() as session:
            replace_partition(
                session, asset="difference_images", night=SCIENCE, tile=TILE, products=[made]
            )


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.database.dispose()


def test_first_references_are_due_by_survey_and_filter(place):
    place.calibrated(FIRST, "a", "b", band="r")
    assert set(due_references(place.database, SURVEYS)) == {TILE}


def test_a_filter_without_enough_inputs_asks_for_no_other_filters_reference(place):
    place.calibrated(FIRST, "a", "b", band="r")
    place.calibrated(SCIENCE, "c", band="g")
    place.reference("1", version=1)
    assert due_references(place.database, SURVEYS) == {}


def test_an_undeclared_survey_keeps_nobody_waiting(place):
    place.calibrated(FIRST, "a", "b", band="r")
    place.calibrated(SCIENCE, "c", band="r")
    assert set(due_references(place.database, {})) == {TILE}, "the recorded rule holds"
    place.reference("1", version=1)
    place.difference("c", None)
    promote(place.database)
    assert set(waiting_partitions(place.database, {})) == {(SCIENCE, TILE)}


def test_a_reference_promoted_a_second_time_is_asked_for_anew(place):
    place.calibrated(FIRST, "a", "b", band="r")
    place.calibrated(SCIENCE, "c", band="r")
    place.difference("c", None)
    asked = []
    for name, version in (("1", 1), ("2", 2), ("1", 1)):
        place.reference(name, version=version)
        promote(place.database)
        promote(place.database)
        waiting = waiting_partitions(place.database, SURVEYS)
        assert set(waiting) == {(SCIENCE, TILE)}
        asked.append(waiting[SCIENCE, TILE])
        place.difference("c", name)
        assert waiting_partitions(place.database, SURVEYS) == {}
    assert len(set(asked)) == 3


def test_a_night_too_early_for_the_newest_reference_keeps_the_one_before(place):
    place.calibrated(SCIENCE, "c", band="r")
    place.reference("1", version=1)
    promote(place.database)
    assert place.choice("c") == "1" * 64
    place.reference("2", version=2, night=SCIENCE)
    promote(place.database)
    assert place.choice("c") == "1" * 64
    place.difference("c", "1")
    assert waiting_partitions(place.database, SURVEYS) == {}
    with pytest.raises(NoReferenceYet):
        place.choice("c", is_stored=False)


def test_the_newest_reference_serves_the_nights_it_may(place):
    place.calibrated(SCIENCE, "c", band="r")
    for name, version in (("1", 1), ("2", 2)):
        place.reference(name, version=version)
        promote(place.database)
    assert place.choice("c", is_stored=False) == "2" * 64
