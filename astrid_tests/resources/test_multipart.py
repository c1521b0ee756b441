"""Large objects on S3: in parts, whole or not at all, and nothing of a failed upload stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from astrid_resources.database import Database
from astrid_resources.integrity import collect_garbage, find_garbage
from astrid_resources.objects import ObjectStore, object_key
from astrid_tests.resources.garbage import own

MB = 1 << 20
CONTENT = bytes(range(256)) * (12 * MB // 256)


@pytest.fixture
def parted(s3_store: ObjectStore) -> ObjectStore:
    """A store that sends in parts of the smallest size that the service takes."""
    s3_store.backend._part_bytes = 5 * MB  # type: ignore[attr-defined]
    return s3_store


def failing(client: Any, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def fail(**asked: Any) -> None:
        raise error

    monkeypatch.setattr(client, name, fail)


def test_a_large_object_is_one_object(parted: ObjectStore):
    stored = parted.put_bytes(CONTENT)
    assert parted.get_bytes(stored.key) == CONTENT
    assert parted.put_bytes(CONTENT) == stored
    assert [item.size for item in parted.list()] == [12 * MB]
    assert list(parted.backend.uploads()) == []


def test_of_two_writers_one_wins(parted: ObjectStore, tmp_path: Path, monkeypatch: Any):
    staged = tmp_path / "staged"
    staged.write_bytes(CONTENT)
    key = object_key("ab" * 32)
    monkeypatch.setattr(type(parted.backend), "exists", lambda self, key: False)
    assert parted.backend.create(key, staged)
    assert not parted.backend.create(key, staged)
    assert list(parted.backend.uploads()) == []


def test_what_failed_leaves_nothing(parted: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    client = parted.backend.client  # type: ignore[attr-defined]
    refused = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "x"
    )
    failing(client, monkeypatch, "complete_multipart_upload", refused)
    with pytest.raises(ClientError, match="AccessDenied"):
        parted.put_bytes(CONTENT)
    assert list(parted.list()) == []
    assert list(parted.backend.uploads()) == []


def test_an_upload_that_a_killed_process_left_is_garbage(
    parted: ObjectStore, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
):
    client = parted.backend.client  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        failing(client, patched, "upload_part", KeyboardInterrupt())
        failing(client, patched, "abort_multipart_upload", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            parted.put_bytes(CONTENT)
    assert len(list(parted.backend.uploads())) == 1
    later = datetime.now(UTC) + timedelta(days=2)
    found = find_garbage(Database(sqlite_url), parted, age=timedelta(days=1), now=later)
    assert len(found.uploads) == 1
    collect_garbage(parted, own(found, parted))
    assert list(parted.backend.uploads()) == []
