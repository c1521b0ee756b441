"""What passes by itself is tried again, five times at most; a client error never."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from astrid_resources.objects import ObjectStore, Retries, S3Bucket
from astrid_resources.objects.retries import MAX_TRIES
from astrid_tests.resources.fault_proxy import SLOW_S, FaultProxy, fault_proxy
from astrid_tests.resources.s3_service import BUCKET

PASSING = ("500", "502", "503", "504", "429", "reset", "lost_answer", "truncated")
FINAL = ("400", "403", "404")
CONTENT = b"pixels" * 5000


@pytest.fixture(scope="module")
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before the S3 service."""
    with fault_proxy(s3_endpoint) as running:
        yield running


def through(proxy: FaultProxy, *, read_timeout_s: float) -> ObjectStore:
    """Return a store whose requests go through the proxy."""
    return ObjectStore(
        S3Bucket(
            BUCKET,
            prefix=uuid.uuid4().hex,
            endpoint_url=proxy.url,
            region="us-east-1",
            access_key_id=SecretStr("test"),
            secret_access_key=SecretStr("test"),
            retries=Retries(first_wait_s=0.002),
            read_timeout_s=read_timeout_s,
        )
    )


@pytest.fixture
def faulty(proxy: FaultProxy) -> Iterator[ObjectStore]:
    """A store behind the proxy, with its bucket, before any fault."""
    proxy.plan = lambda method, number: None
    store = through(proxy, read_timeout_s=30)
    client = store.backend.client  # type: ignore[attr-defined]
    client.create_bucket(Bucket=BUCKET)
    proxy.forget()
    yield store
    client.close()


def test_an_answer_that_does_not_come_is_asked_for_again(faulty: ObjectStore, proxy: FaultProxy):
    key = faulty.put_bytes(CONTENT).key
    impatient = through(proxy, read_timeout_s=SLOW_S / 3)
    impatient.backend.prefix = faulty.backend.prefix  # type: ignore[attr-defined]
    proxy.forget()
    proxy.plan = lambda method, number: "slow" if number == 1 else None
    assert impatient.get_bytes(key) == CONTENT
    assert 2 <= proxy.asked.total() <= MAX_TRIES


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_outlived(faulty: ObjectStore, proxy: FaultProxy, fault: str):
    n_faults = MAX_TRIES - 1
    proxy.plan = lambda method, number: fault if number <= n_faults else None
    key = faulty.put_bytes(CONTENT).key
    if fault != "truncated":
        assert max(proxy.asked.values()) == n_faults + 1
    proxy.forget()
    assert faulty.get_bytes(key) == CONTENT
    assert list(proxy.asked.values()) == [n_faults + 1]
    proxy.forget()
    assert [item.key for item in faulty.list()] == [key]
    assert list(proxy.asked.values()) == [n_faults + 1]
    assert faulty.backend.retries.n_repeated >= 2 * n_faults  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["503", "429", "reset", "truncated"])
def test_a_fault_that_stays_is_raised_after_five_tries(
    faulty: ObjectStore, proxy: FaultProxy, fault: str
):
    key = faulty.put_bytes(CONTENT).key
    proxy.forget()
    proxy.plan = lambda method, number: fault
    with pytest.raises((ClientError, BotoCoreError)):
        faulty.get_bytes(key)
    assert proxy.asked.total() == MAX_TRIES
    proxy.plan = lambda method, number: None
    assert faulty.get_bytes(key) == CONTENT


@pytest.mark.parametrize("fault", FINAL)
def test_a_client_error_is_never_tried_again(faulty: ObjectStore, proxy: FaultProxy, fault: str):
    key = faulty.put_bytes(CONTENT).key
    proxy.forget()
    proxy.plan = lambda method, number: fault
    for ask in (faulty.get_bytes, faulty.delete, lambda _: faulty.put_bytes(b"more")):
        with pytest.raises(ClientError):
            ask(key)
    with pytest.raises(ClientError):
        list(faulty.list())
    assert set(proxy.asked.values()) == {1}


def test_a_put_whose_answer_was_lost_is_one_object(faulty: ObjectStore, proxy: FaultProxy):
    is_first_put = lambda method, number: method == "PUT" and number == 1  # noqa: E731
    proxy.plan = lambda method, number: "lost_answer" if is_first_put(method, number) else None
    stored = faulty.put_bytes(CONTENT)
    proxy.plan = lambda method, number: None
    assert [item.key for item in faulty.list()] == [stored.key]


def test_many_objects_over_a_bad_line(faulty: ObjectStore, proxy: FaultProxy):
    seed = random.Random(42)

    def plan(method: str, number: int) -> str | None:
        chance = seed.random()
        if chance < 0.30:
            return seed.choice(("500", "502", "503", "504", "429"))
        if chance < 0.31:
            return "reset"
        if chance < 0.33:
            return "truncated"
        return None

    proxy.plan = plan
    contents = [seed.randbytes(2000) for _ in range(40)]
    n_repeated_by_hand = 0
    for content in contents:
        for _ in range(3):
            try:
                key = faulty.put_bytes(content).key
                assert faulty.get_bytes(key) == content
            except (ClientError, BotoCoreError):
                n_repeated_by_hand += 1
            else:
                break
    assert n_repeated_by_hand <= 4
    proxy.plan = lambda method, number: None
    assert sorted(faulty.get_bytes(item.key) for item in faulty.list()) == sorted(contents)
    assert proxy.faults.total() > 30
