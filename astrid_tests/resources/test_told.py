"""What the search of a difference tells the row of that difference, in the same transaction."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from astrid_resources.database import Database, DifferenceRun, replace_partition
from astrid_resources.products import Product
from astrid_tests.resources.rows import NIGHT, TILE, add_observations, difference_product

PLACE = {"night": NIGHT, "tile": TILE}


@pytest.fixture
def searched(database: Database):
    """A database with one difference, and a function that commits the search of it."""
    with database.session() as session:
        (observation_id,) = add_observations(session, "a")
        product = difference_product(observation_id)
        run = {**product.rows["difference_runs"][0], "product_id": product.product_id}
        product = replace(product, rows={"difference_runs": (run,)}, rows_sha256="")
        replace_partition(session, asset="difference_images", **PLACE, products=[product])

    def search(metrics):
        found = Product(
            "candidates", "c", observation_id, metrics=metrics, inputs=(product.product_id,)
        )
        with database.session() as session:
            done = replace_partition(session, asset="candidates", **PLACE, products=[found])
        with database.read() as session:
            row = session.scalars(sa.select(DifferenceRun)).one()
            return done, row.detection_threshold, row.candidates_found, row.updated_at

    def subtract_again():
        with database.session() as session:
            return replace_partition(
                session, asset="difference_images", **PLACE, products=[product]
            )

    return search, subtract_again


def test_a_search_tells_its_threshold_and_what_it_found(searched):
    search, subtract_again = searched
    metrics = {"detection_threshold": 5.0, "n_candidates": 7}
    done, threshold, n_found, at = search(metrics)
    assert (threshold, n_found) == (5.0, 7)
    assert done.updated == 1
    done, *told = search(metrics)
    assert done.updated == 0
    assert told == [5.0, 7, at]
    assert subtract_again().updated == 0
    done, *told = search(metrics)
    assert told == [5.0, 7, at]


def test_a_search_that_failed_tells_nothing(searched):
    search, _ = searched
    search({"detection_threshold": 5.0, "n_candidates": 7})
    _, threshold, n_found, _ = search({})
    assert (threshold, n_found) == (None, None)
