"""The whole chain on ten real DECam frames: the known transient, and no other."""

from __future__ import annotations

import io
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_assets.catalog.listing import list_transients
from astrid_assets.cli.demo_frames import deliver_real
from astrid_resources.dagster_resources import ObjectStoreResource
from astrid_resources.database import (
    Detection,
    DifferenceRun,
    LightCurvePoint,
    Observation,
    ReferenceImage,
)
from astrid_resources.images import read_image
from astrid_tests.end_to_end import (
    check_results,
    every_object,
    every_row,
    installation,
    materialised_partitions,
    run_chain,
)

RA, DEC = 318.1080, -66.0157
STAR_X, STAR_Y = 57, 181


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, astrid_data):
    with installation(tmp_path_factory.mktemp("real")) as pipeline:
        deliver_real(pipeline.settings.drop_folder, data=astrid_data)
        run_chain(pipeline, is_synthetic=False)
        yield pipeline


def _known(pipeline):
    found = list_transients(pipeline.database, is_confirmed_only=True)
    near = [
        entry
        for entry in found
        if np.hypot((entry.ra - RA) * np.cos(np.radians(DEC)), entry.dec - DEC) * 3600 < 0.5
    ]
    assert len(near) == 1
    return near[0]


def test_nights_are_those_of_the_true_dates(pipeline):
    with pipeline.database.read() as session:
        nights = sorted(str(night) for night in session.scalars(sa.select(Observation.night)))
    assert nights == ["2016-08-17"] * 5 + ["2018-08-03"] * 5


def test_the_known_transient_is_in_the_catalog(pipeline):
    entry = _known(pipeline)
    assert entry.confirmation == "confirmed"
    assert entry.n_detections == 5
    assert not entry.is_synthetic


def test_its_light_curve_has_five_points_above_eight_sigma(pipeline):
    entry = _known(pipeline)
    with pipeline.database.read() as session:
        points = session.scalars(
            sa.select(LightCurvePoint).where(LightCurvePoint.transient_id == UUID(entry.id))
        ).all()
    assert len(points) == 5
    assert min(point.flux_adu / point.flux_adu_error for point in points) >= 8
    assert all(point.flux_njy is None for point in points), "no zero point is known: no nJy"


def test_no_other_transient_is_accepted(pipeline):
    others = [
        entry for entry in list_transients(pipeline.database) if entry.id != _known(pipeline).id
    ]
    assert len(others) <= 2


def test_the_bright_stars_residual_is_not_accepted(pipeline):
    with pipeline.database.read() as session:
        accepted = session.scalars(sa.select(Detection).where(Detection.is_accepted)).all()
    for row in accepted:
        assert np.hypot(row.pixel_x - STAR_X, row.pixel_y - STAR_Y) > 10


def test_first_night_has_no_work_and_says_why(pipeline):
    with pipeline.database.read() as session:
        runs = session.scalars(
            sa.select(DifferenceRun).where(DifferenceRun.status == "no_work")
        ).all()
    assert len(runs) == 5
    assert all("no reference yet" in run.reason for run in runs)


def test_the_reference_holds_the_five_frames_of_2016(pipeline):
    with pipeline.database.read() as session:
        (row,) = session.scalars(sa.select(ReferenceImage)).all()
    assert row.is_current
    assert row.n_inputs == 5
    assert row.input_nights == ["2016-08-17"]
    image = read_image(io.BytesIO(ObjectStoreResource().store.get_bytes(row.image_path)))
    assert np.isfinite(image.data).all()


def test_every_asset_of_both_nights_is_materialised(pipeline):
    done = materialised_partitions(pipeline)
    assert {len(found) for name, found in done.items() if name != "reference_images"} == {2}
    assert len(done["reference_images"]) == 1


def test_checks_pass(pipeline):
    failed = [name for name, passed in check_results(pipeline).items() if not passed]
    assert failed == []


def test_a_second_run_changes_no_row_and_no_object(pipeline):
    rows, objects = every_row(pipeline), every_object(pipeline)
    run_chain(pipeline, is_synthetic=False)
    again = every_row(pipeline)
    changed = {name for name in rows if rows[name] != again[name]}
    assert changed == set()
    assert every_object(pipeline) == objects
