"""A night in the database against the record of the model that scored it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_assets.detections.drift import reference_quantiles
from astrid_assets.quality import Judgement
from astrid_assets.training.checks import drift_result
from astrid_assets.training.night_drift import night_drift
from astrid_resources.database import ModelRun
from astrid_resources.products import Partition
from astrid_tests.catalog.world import FLUX_ERROR, Seen, World
from astrid_tests.detections.stored_models import store_model

RA, DEC, NIGHT = 150.0, 2.0, date(2020, 1, 1)
ARCSEC = 1 / 3600


@pytest.fixture
def world(tmp_path):
    made = World.new(tmp_path / "world")
    yield made
    made.database.dispose()


def _reference() -> dict:
    rng = np.random.default_rng(1)
    fields = np.repeat(np.arange(20), 50)
    scores = rng.beta(0.3, 3, 500)
    return reference_quantiles(
        {"significance": 5 + rng.exponential(2, 1000), "never_measured": np.full(1000, np.nan)},
        scores,
        fields=fields,
        score_weights=np.ones(500),
    )


def _observe(world: World, *, factor: float = 1.0, n: int = 60, reference: dict | None = None):
    """One exposure with n candidates in a grid, two thirds of them scored by a stored model."""
    rng = np.random.default_rng(2)
    significance = factor * (5 + rng.exponential(2, n))
    scores = rng.beta(0.3, 3, n)
    seen = tuple(
        Seen(
            RA + (i % 8 - 4) * 2 * ARCSEC, DEC + (i // 8 - 4) * 2 * ARCSEC,
            flux=significance[i] * FLUX_ERROR, probability=float(scores[i]),
            rejection_rule="dipole" if i % 3 == 0 else None,
            rejection_value=1.0 if i % 3 == 0 else None,
        )
        for i in range(n)
    )  # fmt: skip
    world.expose("a", RA, DEC, when="2020-01-01T23:00:00", night=NIGHT, seen=seen,
                 reference=world.reference(RA, DEC))  # fmt: skip
    key = ("difference_images", NIGHT, "t")
    world.products[key] = [
        replace(p, metrics={"fwhm_difference_pix": 4.0}) for p in world.products[key]
    ]
    world.commit(*key)
    changes = {} if reference is None else {"drift_reference": reference}
    model, _ = store_model(world.database, world.store, "2-night", **changes)
    with world.database.session() as session:
        session.execute(sa.update(ModelRun).values(model_id=model.id))
    return night_drift(world.database, world.store, Partition(NIGHT, "t"))


def test_a_night_like_the_training_passes(world):
    findings = _observe(world, reference=_reference())
    labels = {f.label for f in findings}
    assert labels == {"distance of significance", "significance outside training",
                      "distance of scores"}  # fmt: skip
    assert all(f.judgement is Judgement.PASSED for f in findings)
    assert drift_result(findings).passed


def test_a_night_of_other_candidates_warns_and_says_of_what(world):
    result = drift_result(_observe(world, factor=10.0, reference=_reference()))
    assert not result.passed
    assert "significance outside training" in result.metadata["drifted"].text
    assert "scores" not in result.metadata["drifted"].text


def test_few_candidates_and_no_night_have_no_verdict(world):
    assert night_drift(world.database, world.store, Partition(NIGHT, "t")) == ()
    findings = _observe(world, factor=10.0, n=12, reference=_reference())
    assert {f.judgement for f in findings} == {Judgement.NO_VERDICT}
    assert drift_result(findings).passed


def test_a_model_without_a_reference_gives_no_finding(world):
    assert _observe(world, reference={}) == ()
