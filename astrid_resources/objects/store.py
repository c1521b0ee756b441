"""The one object store class: content addresses, verification and quarantine over a backend."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from astrid_resources.identity import sha256_bytes
from astrid_resources.objects.backends import (
    Backend,
    ListedObject,
    LocalFolder,
    quarantine_key,
)
from astrid_resources.objects.s3 import S3Bucket
from astrid_resources.products import StoredObject

_KEY = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_CHUNK_BYTES = 1 << 20
_FRESH = timedelta(hours=1)


class MissingObjectError(LookupError):
    """There is no object under the key."""


class CorruptObjectError(RuntimeError):
    """The bytes of a stored object do not have the hash its key names."""


def object_key(sha256: str) -> str:
    """Return the key of the object whose bytes have this sha256 (hex)."""
    key = f"sha256/{sha256[:2]}/{sha256}"
    _sha256_of(key)
    return key


class ObjectStore:
    """Content-addressed objects: written once, verified on every read.

    The key of an object is `sha256/ab/<sha256 of its bytes>`; what is already there is verified,
    and a bad one goes to quarantine and is written again.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __repr__(self) -> str:
        return f"ObjectStore({self.backend!r})"

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        access_key_id: SecretStr | None = None,
        secret_access_key: SecretStr | None = None,
    ) -> ObjectStore:
        """Return the store at a `file://` folder (or plain path) or `s3://bucket/prefix`."""
        parts = urlsplit(url)
        if parts.scheme in {"", "file"}:
            return cls(LocalFolder(Path(unquote(parts.path)).expanduser()))
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError(f"an object store is file:///folder or s3://bucket/prefix, not {url}")
        return cls(
            S3Bucket(
                parts.netloc,
                prefix=parts.path,
                endpoint_url=endpoint_url,
                region=region,
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
            )
        )

    def put_bytes(self, content: bytes) -> StoredObject:
        """Store `content`; return its key, sha256 and size once it is safely there."""
        with self._staging_folder() as folder:
            path = Path(folder) / "object"
            path.write_bytes(content)
            return self._put(path, sha256_bytes(content), len(content))

    def put_file(self, path: str | Path) -> StoredObject:
        """Store a copy of a file; the hash is that of the bytes stored, whatever happens to it."""
        with self._staging_folder() as folder:
            copy = Path(folder) / "object"
            digest, size = hashlib.sha256(), 0
            with Path(path).open("rb") as stream, copy.open("wb") as sink:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    sink.write(chunk)
            return self._put(copy, digest.hexdigest(), size)

    def get_bytes(self, key: str) -> bytes:
        """Return an object's bytes, verified; MissingObjectError or CorruptObjectError."""
        sha256 = _sha256_of(key)
        stream = self.backend.open(key)
        if stream is None:
            raise MissingObjectError(f"{self!r} has no object {key}")
        with closing(stream):
            content = stream.read()
        _require_hash(key, sha256, sha256_bytes(content))
        return content

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Yield a local file with an object's verified bytes; read it only, and only inside."""
        local = self.backend.local_path(key)
        if local is not None:
            self.verify(key)
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="astrid-get-") as folder:
            path = Path(folder) / Path(key).name
            path.write_bytes(self.get_bytes(key))
            yield path

    def verify(self, key: str) -> None:
        """Read an object through; MissingObjectError or CorruptObjectError where it is bad."""
        sha256 = _sha256_of(key)
        stream = self.backend.open(key)
        if stream is None:
            raise MissingObjectError(f"{self!r} has no object {key}")
        digest = hashlib.sha256()
        with closing(stream):
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        _require_hash(key, sha256, digest.hexdigest())

    def exists(self, key: str) -> bool:
        """Return whether an object is there, without reading it."""
        _sha256_of(key)
        return self.backend.exists(key)

    def quarantine(self, key: str) -> str:
        """Move an object out of the way and return the key it has in the quarantine.

        Nothing is moved where another process moved it at the same moment.
        """
        target = quarantine_key(_sha256_of(key))
        self.backend.move(key, target)
        return target

    def list(self) -> Iterator[ListedObject]:
        """Yield every object with its size and when it was last put; what is no object is not."""
        for found in self.backend.list("sha256"):
            if _KEY.fullmatch(found.key):
                yield found

    def look_up(self, key: str) -> ListedObject | None:
        """Return an object's size and when it was last put, or None where it is not there."""
        _sha256_of(key)
        return self.backend.look_up(key)

    def delete(self, key: str) -> None:
        """Remove an object that nothing refers to; nothing happens where there is none."""
        _sha256_of(key)
        self.backend.delete(key)

    def _staging_folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="astrid-put-", dir=self.backend.staging())

    def _put(self, path: Path, sha256: str, size: int) -> StoredObject:
        key = object_key(sha256)
        while not self.backend.create(key, path):
            try:
                self.verify(key)
                self._keep(key)
            except CorruptObjectError:
                self.quarantine(key)
            except MissingObjectError:
                continue
            else:
                break
        return StoredObject(key, sha256, size)

    def _keep(self, key: str) -> None:
        """Make an object that was put again count as new: the collection of garbage spares it."""
        found = self.backend.look_up(key)
        if found is None:
            raise MissingObjectError(f"{self!r} no longer has object {key}")
        if datetime.now(UTC) - found.modified > _FRESH:
            self.backend.touch(key)


def is_object_key(text: str) -> bool:
    """Return whether `text` is the key of an object."""
    return _KEY.fullmatch(text) is not None


def _sha256_of(key: str) -> str:
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"an object key reads sha256/ab/<64 hex digits>, got {key!r}")
    return match.group(2)


def _require_hash(key: str, wanted: str, got: str) -> None:
    if wanted != got:
        raise CorruptObjectError(
            f"object {key} is damaged: its bytes have sha256 {got}. Make its product again, or "
            f"deliver the file again: the bad object is then put into quarantine"
        )
