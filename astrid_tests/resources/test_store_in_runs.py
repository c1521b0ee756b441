"""A store that fails within a run: the step begins again where that may help, and only there."""

from collections.abc import Iterator

import dagster as dg
import pytest

from astrid_assets.cli.instance import failures
from astrid_resources import dagster_resources
from astrid_resources.dagster_resources import ObjectStoreResource
from astrid_resources.objects import Retries
from astrid_resources.objects.retries import MAX_TRIES
from astrid_tests.resources.fault_proxy import FaultProxy, fault_proxy
from astrid_tests.resources.s3_service import BUCKET, S3Service


@pytest.fixture
def proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the S3 service, where the settings of this test point to."""
    with S3Service(s3_endpoint).store(), fault_proxy(s3_endpoint) as running:
        for name, value in {
            "OBJECT_STORE_URL": f"s3://{BUCKET}/runs",
            "S3_ENDPOINT_URL": running.url,
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY_ID": "test",
            "S3_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(f"ASTRID_{name}", value)
        monkeypatch.setitem(Retries.__init__.__kwdefaults__, "first_wait_s", 0.002)
        monkeypatch.setattr(dagster_resources, "STEP_RETRY_WAIT_S", 0)
        yield running


@dg.asset
def stored(object_store: ObjectStoreResource) -> None:
    """An asset that puts an object into the store."""
    object_store.store.put_bytes(b"pixels" * 1000)


def run() -> dg.ExecuteInProcessResult:
    resources = {"object_store": ObjectStoreResource()}
    return dg.materialize([stored], resources=resources, raise_on_error=False)


def begun_again(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type_value == "STEP_RESTARTED" for event in result.all_events)


def test_a_step_that_met_five_failures_begins_again(proxy: FaultProxy):
    proxy.plan = lambda method, number: "503" if number <= MAX_TRIES + 2 else None
    result = run()
    assert result.success
    assert begun_again(result) == 1
    assert max(proxy.asked.values()) == MAX_TRIES + 3


def test_a_store_that_stays_away_fails_the_run_with_its_reason(proxy: FaultProxy):
    proxy.plan = lambda method, number: "503"
    result = run()
    assert not result.success
    assert begun_again(result) == dagster_resources.STEP_RETRIES
    assert max(proxy.asked.values()) == MAX_TRIES * (1 + dagster_resources.STEP_RETRIES)
    (said,) = failures(result)
    assert "InternalError" in said


@pytest.mark.parametrize("status", ["403", "404"])
def test_a_client_error_fails_the_run_at_once(proxy: FaultProxy, status: str):
    proxy.plan = lambda method, number: status
    result = run()
    assert not result.success
    assert begun_again(result) == 0
    assert set(proxy.asked.values()) == {1}
