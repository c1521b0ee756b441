"""The one object store class: content addresses, verification and quarantine over a backend."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from astrid_resources.counts import COUNTS, Count
from astrid_resources.identity import sha256_bytes
from astrid_resources.objects.backends import Backend, ListedObject, LocalFolder
from astrid_resources.objects.errors import (
    MAKE_AGAIN,
    CorruptObjectError,
    MissingObjectError,
    StoreUnwritableError,
)
from astrid_resources.objects.keys import is_object_key, object_key, quarantine_key, sha256_of
from astrid_resources.objects.retries import Retries
from astrid_resources.objects.s3 import S3Bucket
from astrid_resources.products import StoredObject

_CHUNK_BYTES = 1 << 20
_FRESH = timedelta(hours=1)
_READINGS = 2
_log = logging.getLogger("astrid.store")


class ObjectStore:
    """Content-addressed objects: written once, verified on every read.

    The key of an object is `sha256/ab/<sha256 of its bytes>`; what is already there is verified,
    and a bad one goes to quarantine and is written again. What is found damaged when it is read,
    twice in a row, goes to quarantine too, so that the next run makes its product again.
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
        retries: Retries | None = None,
    ) -> ObjectStore:
        """Return the store at a `file://` folder (or plain path) or `s3://bucket/prefix`."""
        parts = urlsplit(url)
        if parts.scheme in {"", "file"}:
            return cls(LocalFolder(Path(unquote(parts.path)).expanduser()))
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError(
                "an object store is file:///folder or s3://bucket/prefix, not "
                f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
            )
        return cls(
            S3Bucket(
                parts.netloc,
                prefix=parts.path,
                endpoint_url=endpoint_url,
                region=region,
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
                retries=retries,
            )
        )

    def put_bytes(self, content: bytes) -> StoredObject:
        """Store `content`; return its key, sha256 and size once it is safely there.

        Raises StoreUnwritableError; nothing of the object is left behind then.
        """
        return self._put_chunks([content])

    def put_file(self, path: str | Path) -> StoredObject:
        """Store a copy of a file; the hash is that of the bytes stored, whatever happens to it.

        Raises StoreUnwritableError, and OSError where the file itself cannot be read.
        """
        with Path(path).open("rb") as stream:
            return self._put_chunks(iter(partial(stream.read, _CHUNK_BYTES), b""))

    def get_bytes(self, key: str) -> bytes:
        """Return an object's bytes, verified; MissingObjectError or CorruptObjectError.

        A damaged object is in quarantine when the error is raised.
        """
        sha256 = sha256_of(key)
        for _ in range(_READINGS):
            with closing(self._opened(key)) as stream:
                content = stream.read()
            found = sha256_bytes(content)
            if found == sha256:
                return content
        raise self._condemned(key, found)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Yield a local file with an object's verified bytes; read it only, and only inside."""
        local = self.backend.local_path(key)
        if local is not None:
            try:
                self.verify(key)
            except CorruptObjectError as damaged:
                raise self._condemned(key, damaged.found_sha256) from None
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="astrid-get-") as folder:
            path = Path(folder) / Path(key).name
            path.write_bytes(self.get_bytes(key))
            yield path

    def verify(self, key: str) -> None:
        """Read an object through; MissingObjectError or CorruptObjectError where it is bad.

        It stays where it is.
        """
        sha256 = sha256_of(key)
        for _ in range(_READINGS):
            digest = hashlib.sha256()
            with closing(self._opened(key)) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
            if digest.hexdigest() == sha256:
                return
        raise CorruptObjectError(key, digest.hexdigest())

    def exists(self, key: str) -> bool:
        """Return whether an object is there, without reading it."""
        sha256_of(key)
        return self.backend.exists(key)

    def quarantine(self, key: str) -> str:
        """Move an object out of the way and return the key it has in the quarantine.

        Nothing is moved where another process moved it at the same moment.
        """
        target = quarantine_key(sha256_of(key))
        self.backend.move(key, target)
        COUNTS.add(Count.STORE_QUARANTINED)
        _log.warning("object %s was put into quarantine as %s", key, target)
        return target

    def list(self) -> Iterator[ListedObject]:
        """Yield every object with its size and when it was last put; what is no object is not."""
        for found in self.backend.list("sha256"):
            if is_object_key(found.key):
                yield found

    def look_up(self, key: str) -> ListedObject | None:
        """Return an object's size and when it was last put, or None where it is not there."""
        sha256_of(key)
        return self.backend.look_up(key)

    def delete(self, key: str) -> None:
        """Remove an object that nothing refers to; nothing happens where there is none."""
        sha256_of(key)
        self.backend.delete(key)

    def _opened(self, key: str) -> IO[bytes]:
        stream = self.backend.open(key)
        if stream is None:
            raise MissingObjectError(f"{self!r} has no object {key}. {MAKE_AGAIN}")
        return stream

    def _condemned(self, key: str, found_sha256: str) -> CorruptObjectError:
        """Put a damaged object into quarantine and return the error that says so."""
        try:
            return CorruptObjectError(key, found_sha256, now_at=self.quarantine(key))
        except self.backend.refusals:
            return CorruptObjectError(key, found_sha256)

    def _put_chunks(self, chunks: Iterable[bytes]) -> StoredObject:
        digest, size = hashlib.sha256(), 0
        with self._staging_folder() as folder:
            copy = Path(folder) / "object"
            with self._writing():
                sink = copy.open("wb", buffering=0)
            with closing(sink):
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    with self._writing():
                        _write_all(sink, chunk)
            with self._writing():
                return self._put(copy, digest.hexdigest(), size)

    @contextmanager
    def _staging_folder(self) -> Iterator[str]:
        with self._writing():
            folder = tempfile.mkdtemp(prefix="astrid-put-", dir=self.backend.staging())
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say of what the file system refuses that it is the store that cannot be written."""
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise
            raise StoreUnwritableError(
                f"{self!r} cannot be written: {error.strerror}; make room, or make it writable for "
                "this user; nothing of the object was kept, and the run can simply be repeated"
            ) from error

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


def _write_all(sink: RawIOBase, chunk: bytes) -> None:
    """Write every byte: a nearly full file system takes the first part and says so only then."""
    left = memoryview(chunk)
    while left:
        left = left[sink.write(left) :]
