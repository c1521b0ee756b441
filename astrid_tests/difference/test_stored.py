"""What a subtraction leaves in the store and the database, and what comes back from there."""

import json
from dataclasses import asdict
from uuid import UUID

import numpy as np
import pytest

from astrid_assets.difference.overlap import NoOverlapError
from astrid_assets.difference.rows import UsedReference, completed_row, outcome_row
from astrid_assets.difference.stored import (
    OTHER_SCORE,
    other_score_of,
    store_subtraction,
    stored_subtraction,
)
from astrid_assets.difference.subtract import SubtractionSettings, subtract
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product

CHOICES = {
    "zogy": SubtractionSettings(),
    "alard_lupton": SubtractionSettings(algorithm="alard_lupton"),
    "both": SubtractionSettings(compare_with="alard_lupton"),
}


@pytest.fixture(scope="module")
def pair():
    made = make_pair(3, (300, 310))
    return made.science.image(), made.reference.image()


@pytest.mark.parametrize("choice", CHOICES)
def test_a_subtraction_comes_back_as_it_was_made(pair, choice, tmp_path):
    store = ObjectStore.from_url(tmp_path.as_uri())
    made = subtract(*pair, settings=CHOICES[choice])
    objects = store_subtraction(store, made)
    assert (OTHER_SCORE in objects) == (choice == "both")
    metrics = json.loads(json.dumps(asdict(made.metrics)))
    product = Product("difference_images", "p", objects=objects, metrics=metrics)
    again = stored_subtraction(store, product)
    assert again.metrics == made.metrics
    assert again.difference.algorithm == made.difference.algorithm
    assert np.array_equal(again.difference.score_corrected, made.difference.score_corrected)
    other = other_score_of(store, product)
    if choice == "both":
        assert np.array_equal(other, made.other_score)
        assert np.array_equal(again.other_score, made.other_score)
    else:
        assert other is None


def test_rows_name_what_really_ran_and_differ_by_it(pair, tmp_path):
    store = ObjectStore.from_url(tmp_path.as_uri())
    reference, observation = UsedReference(UUID(int=5), "ab" * 32, "key"), UUID(int=1)
    ids = set()
    for choice in ("zogy", "alard_lupton"):
        made = subtract(*pair, settings=CHOICES[choice])
        stored = store_subtraction(store, made)["difference"]
        parameters = asdict(CHOICES[choice])
        row = completed_row(
            observation, reference, made, stored, product_id="p", parameters=parameters
        )
        assert row["algorithm"] == choice == row["parameters"]["algorithm"]
        ids.add(row["id"])
        outcome = NoOverlapError("none")
        row = outcome_row(observation, None, outcome, product_id="p", parameters=parameters)
        assert row["algorithm"] == choice
        ids.add(row["id"])
    assert len(ids) == 4
