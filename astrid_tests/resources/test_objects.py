"""Objects are written once, whole or not at all, and never read damaged; locally and on S3."""

from __future__ import annotations

import io
import uuid
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from astrid_resources.identity import sha256_bytes
from astrid_resources.objects import (
    CorruptObjectError,
    LocalFolder,
    MissingObjectError,
    ObjectStore,
    object_key,
)


def spoil(store: ObjectStore, key: str) -> None:
    backend = store.backend
    if isinstance(backend, LocalFolder):
        path = backend.folder / key
        path.unlink()
        path.write_bytes(b"spoilt")
    else:
        backend.client.put_object(Bucket=backend.bucket, Key=backend._full(key), Body=b"spoilt")


def test_round_trip(store: ObjectStore, tmp_path: Path):
    content = bytes(range(256)) * 5000
    path = tmp_path / "file.fits"
    path.write_bytes(content)
    stored = store.put_file(path)
    assert stored.key == object_key(sha256_bytes(content))
    assert (stored.sha256, stored.size) == (sha256_bytes(content), len(content))
    assert store.get_bytes(stored.key) == content
    with store.fetch(stored.key) as local:
        assert local.read_bytes() == content
    assert store.put_bytes(content) == stored
    assert store.put_bytes(b"").size == 0


def test_a_missing_object_is_an_error(store: ObjectStore):
    key = object_key("0" * 64)
    assert not store.exists(key)
    with pytest.raises(MissingObjectError):
        store.get_bytes(key)
    with pytest.raises(MissingObjectError), store.fetch(key):
        pass


def test_a_damaged_object_is_never_read(store: ObjectStore):
    key = store.put_bytes(b"sound").key
    spoil(store, key)
    with pytest.raises(CorruptObjectError, match="damaged"):
        store.verify(key)
    assert store.exists(key), "verifying moves nothing"
    with pytest.raises(CorruptObjectError, match="now in quarantine") as damaged:
        store.get_bytes(key)
    assert not store.exists(key)
    with closing(store.backend.open(damaged.value.now_at)) as kept:
        assert kept.read() == b"spoilt"
    with pytest.raises(MissingObjectError, match="Run the partition"):
        store.get_bytes(key)
    assert store.put_bytes(b"sound").key == key
    spoil(store, key)
    with pytest.raises(CorruptObjectError, match="now in quarantine"), store.fetch(key):
        pass
    assert not store.exists(key)


def test_a_reading_error_that_passes_is_no_damage(
    local_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    key = local_store.put_bytes(b"sound").key
    real, answers = LocalFolder.open, [io.BytesIO(b"sounf")]

    def flaky(self: LocalFolder, asked: str) -> IO[bytes] | None:
        return answers.pop() if answers else real(self, asked)

    monkeypatch.setattr(LocalFolder, "open", flaky)
    assert local_store.get_bytes(key) == b"sound"
    assert not answers


def test_a_damaged_object_goes_to_quarantine_when_it_is_put_again(store: ObjectStore):
    stored = store.put_bytes(b"sound")
    spoil(store, stored.key)
    assert store.put_bytes(b"sound") == stored
    assert store.get_bytes(stored.key) == b"sound"
    backend = store.backend
    if isinstance(backend, LocalFolder):
        kept = [path.read_bytes() for path in (backend.folder / "quarantine").iterdir()]
    else:
        listed = backend.client.list_objects_v2(
            Bucket=backend.bucket, Prefix=backend._full("quarantine/")
        )
        kept = [
            backend.client.get_object(Bucket=backend.bucket, Key=item["Key"])["Body"].read()
            for item in listed["Contents"]
        ]
    assert kept == [b"spoilt"]


def test_quarantine_moves_an_object_away(store: ObjectStore):
    key = store.put_bytes(b"doubtful").key
    assert store.quarantine(key).startswith("quarantine/")
    assert not store.exists(key)


@pytest.mark.parametrize(
    "key",
    ["../etc/passwd", "sha256/aa/../../x", "sha256/ab/" + "a" * 64, "", "sha256/AA/" + "A" * 64],
)
def test_only_content_addresses_are_keys(local_store: ObjectStore, key: str):
    with pytest.raises(ValueError, match="object key"):
        local_store.get_bytes(key)


def test_a_kill_while_writing_leaves_no_object(
    local_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        local_store.put_bytes(b"half")
    assert not local_store.exists(object_key(sha256_bytes(b"half")))


def test_stored_files_are_read_only_and_staging_is_empty(local_store: ObjectStore):
    key = local_store.put_bytes(b"x").key
    backend = local_store.backend
    assert isinstance(backend, LocalFolder)
    assert (backend.folder / key).stat().st_mode & 0o222 == 0
    assert list((backend.folder / "staging").iterdir()) == []


def test_two_writers_of_one_object_on_s3(s3_store: ObjectStore, tmp_path: Path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"same")
    key = object_key(sha256_bytes(b"same"))
    assert s3_store.backend.create(key, staged)
    assert not s3_store.backend.create(key, staged)


def test_s3_errors_that_do_not_pass_are_raised(
    s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    from botocore.exceptions import ClientError

    monkeypatch.setattr(s3_store.backend, "bucket", f"there-is-no-{uuid.uuid4().hex}")
    for ask in (lambda: s3_store.put_bytes(b"x"), lambda: s3_store.get_bytes(object_key("0" * 64))):
        with pytest.raises(ClientError, match=r"NoSuchBucket|AccessDenied"):
            ask()


@pytest.mark.parametrize("url", ["http://x/y", "s3:///prefix", "ftp://x"])
def test_other_urls_are_refused(url: str):
    with pytest.raises(ValueError, match="object store"):
        ObjectStore.from_url(url)
