"""The whole chain on the synthetic sky: truth in, catalog out, and nothing twice."""

from __future__ import annotations

import dagster as dg
import pytest

from astrid_assets.catalog.listing import list_transients
from astrid_assets.catalog.why import why
from astrid_assets.cli.demo_frames import (
    FRAMES_PER_NIGHT,
    deliver_synthetic,
    synthetic_transients,
)
from astrid_resources.dagster_resources import ObjectStoreResource
from astrid_tests.end_to_end import (
    check_results,
    every_object,
    every_row,
    installation,
    materialised_partitions,
    run_chain,
)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("synthetic")) as pipeline:
        deliver_synthetic(pipeline.settings.drop_folder)
        run_chain(pipeline, is_synthetic=True)
        yield pipeline


def _near(found, ra, dec):
    import numpy as np

    return [
        entry
        for entry in found
        if np.hypot((entry.ra - ra) * np.cos(np.radians(dec)), entry.dec - dec) * 3600 < 0.3
    ]


def test_both_transients_are_found_confirmed_and_nothing_else(pipeline):
    found = list_transients(pipeline.database, is_confirmed_only=True)
    truth = synthetic_transients()
    for ra, dec in zip(truth.ra, truth.dec, strict=True):
        (entry,) = _near(found, ra, dec)
        assert entry.n_detections >= FRAMES_PER_NIGHT - 1
        assert entry.is_synthetic, "synthetic is said everywhere"
    assert len(found) == len(truth)


def test_every_asset_of_both_nights_is_materialised(pipeline):
    done = materialised_partitions(pipeline)
    nights = {len(done[name]) for name in done if name != "reference_images"}
    assert nights == {2}
    assert len(done["reference_images"]) == 1


def test_checks_pass(pipeline):
    results = check_results(pipeline)
    assert results
    assert [name for name, passed in results.items() if not passed] == []


def test_why_tells_each_night(pipeline):
    truth = synthetic_transients()
    entries = why(
        pipeline.database,
        ObjectStoreResource().store,
        ra=float(truth.ra[0]),
        dec=float(truth.dec[0]),
    )
    outcomes = [entry.outcome for entry in entries]
    assert outcomes.count("no_reference") == FRAMES_PER_NIGHT
    assert outcomes.count("in_transient") >= FRAMES_PER_NIGHT - 1


def test_a_second_run_changes_no_row_and_no_object(pipeline):
    rows, objects = every_row(pipeline), every_object(pipeline)
    deliver_synthetic(pipeline.settings.drop_folder)
    run_chain(pipeline, is_synthetic=True)
    again = every_row(pipeline)
    assert {name: len(found) for name, found in again.items()} == {
        name: len(found) for name, found in rows.items()
    }
    changed = {name for name in rows if rows[name] != again[name]}
    assert changed == set()
    assert every_object(pipeline) == objects


def test_pictures_and_tables_stay_when_products_are_taken_over(pipeline):
    """The UI shows the latest materialisation: a run with nothing to do must not empty it."""
    run_chain(pipeline, is_synthetic=True)
    for name, shown in (
        ("calibrated_exposures", {"previews", "exposures"}),
        ("candidates", {"previews", "exposures", "rejected_by_rule"}),
        (
            "injection_recovery",
            {
                "previews",
                "exposures",
                "completeness_of_exposures",
                "completeness_of_the_tile",
                "completeness_of_the_tile_plot",
            },
        ),
        ("null_pairs", {"previews", "exposures", "what_it_cannot_see"}),
        ("reference_images", {"previews", "exposures", "inputs"}),
        ("transients", {"previews", "transients"}),
    ):
        event = pipeline.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None
        assert event.asset_materialization is not None
        assert shown <= set(event.asset_materialization.metadata), name
