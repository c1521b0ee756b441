"""What is asked for again by itself: runs that failed in passing, a few times; repairs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError, EndpointConnectionError

from astrid_assets.repeats import (
    ATTEMPT_TAG,
    ATTEMPTS_MAX,
    WAITS,
    due_repeats,
    failed_runs,
    withdrawn_products,
)
from astrid_resources.dagster_resources import DatabaseResource
from astrid_resources.database import ProductRow, utc_now
from astrid_tests.catalog.world import World
from astrid_tests.resources.rows import NIGHT, TILE

KEY = f"{NIGHT}|{TILE}"
AWAY = sa.exc.OperationalError("SELECT 1", None, psycopg2.OperationalError("connection refused"))
SLOW_DOWN = ClientError({"Error": {"Code": "SlowDown", "Message": "less, please"}}, "PutObject")
FORBIDDEN = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


def run(instance, error, *, job="night_chain", partition=KEY, attempt=None):
    """Run a job that fails with `error`, or succeeds."""

    @dg.op
    def step():
        if error is not None:
            raise error

    @dg.job(name=job)
    def failing():
        step()

    tags = {"dagster/partition": partition} if partition else {}
    tags |= {ATTEMPT_TAG: str(attempt)} if attempt else {}
    return failing.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def due(instance, *, after):
    return list(due_repeats(instance, now=datetime.now(UTC) + after))


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [
        (AWAY, True),
        (EndpointConnectionError(endpoint_url="http://s3"), True),
        (SLOW_DOWN, True),
        (ConnectionResetError("lost"), True),
        (FORBIDDEN, False),
        (ValueError("a bug"), False),
        (dg.Failure("a check did not pass"), False),
        (None, False),
    ],
)
def test_only_what_passes_by_itself_is_asked_for_again(instance, error, is_repeated):
    done = run(instance, error)
    assert due(instance, after=WAITS[0] / 2) == []
    requests = due(instance, after=WAITS[0] * 1.1)
    assert len(requests) == is_repeated
    for request in requests:
        assert (request.job_name, request.partition_key) == ("night_chain", KEY)
        assert request.tags[ATTEMPT_TAG] == "2"
        assert done.run_id in request.run_key


def test_waits_grow_and_end(instance):
    for attempt in range(1, ATTEMPTS_MAX + 1):
        run(instance, AWAY, attempt=attempt)
        for wait in WAITS:
            found = due(instance, after=wait * 0.9)
            expected = attempt < ATTEMPTS_MAX and wait > WAITS[attempt - 1]
            assert len(found) == expected, (attempt, wait)
    assert due(instance, after=timedelta(hours=20)) == []


def test_what_was_run_again_since_is_left_alone(instance):
    run(instance, AWAY)
    run(instance, AWAY, partition="2018-08-04|other")
    run(instance, None)
    (request,) = due(instance, after=WAITS[0] * 2)
    assert request.partition_key == "2018-08-04|other"


def test_an_ingest_has_no_partition(instance):
    run(instance, AWAY, job="ingest", partition=None)
    (request,) = due(instance, after=WAITS[0] * 2)
    assert (request.job_name, request.partition_key) == ("ingest", None)


def test_the_sensor_says_when_there_is_nothing(instance):
    run(instance, AWAY)
    with dg.build_sensor_context(instance=instance) as context:
        assert isinstance(failed_runs(context), dg.SkipReason), "it waits a while first"


def test_what_a_repair_withdrew_is_run_in_order(tmp_path):
    world = World.new(tmp_path)
    resource = DatabaseResource(url=str(world.database.engine.url))

    def withdraw(*entries):
        with world.database.session() as session:
            session.execute(sa.delete(ProductRow))
            for asset, night in entries:
                session.add(
                    ProductRow(
                        asset=asset, night=night, tile=TILE, product_id=asset, code_version="1",
                        objects={}, sha256="0" * 64, bytes=0, metrics={}, verdict="passed",
                        reasons=[], rows_sha256="0" * 64, is_current=False,
                        withdrawn_at=utc_now(),
                    )
                )  # fmt: skip

    def asked():
        with dg.build_sensor_context(resources={"database": resource}) as context:
            found = withdrawn_products(context)
        if isinstance(found, dg.SkipReason):
            return []
        return [(item.job_name, str(item.partition_key)) for item in found.run_requests]

    old, new = date(2016, 8, 17), NIGHT
    assert asked() == []
    calibrated = ("calibrated_exposures", old)
    reference = ("reference_images", None)
    difference = ("difference_images", new)
    withdraw(calibrated, reference, difference)
    assert asked() == [("night_chain", f"{old}|{TILE}")]
    withdraw(reference, difference)
    assert asked() == [("tile_references", TILE)]
    withdraw(difference)
    assert asked() == [("night_chain", f"{new}|{TILE}")]
    withdraw(("difference_images", date(1999, 1, 1)))
    assert asked() == [], "a night outside the calendar has no run"
    resource.database.dispose()
