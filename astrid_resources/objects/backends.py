"""Where objects are kept: a local folder or an S3 bucket. Keys are checked by the caller."""

from __future__ import annotations

import os
import tempfile
import uuid
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from pydantic import SecretStr

_CONFLICT_RETRIES = 5


class Backend(Protocol):
    """What an object store needs of the place that holds its objects."""

    def staging(self) -> Path:
        """Return a folder in which new objects are written before they are created."""

    def create(self, key: str, staged: Path) -> bool:
        """Put the staged file under `key`, whole or not at all; False if `key` is taken."""

    def open(self, key: str) -> IO[bytes] | None:
        """Return a stream of the object's bytes, or None where there is no such object."""

    def exists(self, key: str) -> bool:
        """Return whether there is an object under `key`."""

    def move(self, key: str, to: str) -> None:
        """Move the object to the key `to`."""

    def local_path(self, key: str) -> Path | None:
        """Return the object's own file, where it is a local one."""


class LocalFolder:
    """Objects as read-only files under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"LocalFolder({str(self.folder)!r})"

    def staging(self) -> Path:
        """Return the store's own staging folder, on the file system of the objects."""
        folder = self.folder / "staging"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def create(self, key: str, staged: Path) -> bool:
        """Sync the staged file and rename it: a kill leaves nothing half-written."""
        target = self.folder / key
        if target.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("rb") as stream:
            os.fsync(stream.fileno())
        staged.chmod(0o444)
        staged.replace(target)
        _sync_folder(target.parent)
        return True

    def open(self, key: str) -> IO[bytes] | None:
        """Return the open file, or None."""
        try:
            return (self.folder / key).open("rb")
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        """Return whether the file is there."""
        return (self.folder / key).is_file()

    def move(self, key: str, to: str) -> None:
        """Rename the file."""
        target = self.folder / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).replace(target)
        _sync_folder(target.parent)

    def local_path(self, key: str) -> Path | None:
        """Return the file's path."""
        return self.folder / key


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class S3Bucket:
    """Objects in a bucket of any S3-compatible service (AWS, Cloudflare R2, MinIO, ...).

    Lost connections, timeouts and 5xx are tried again with backoff by the client; 4xx never.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint_url: str | None = None,
        region: str | None = None,
        access_key_id: SecretStr | None = None,
        secret_access_key: SecretStr | None = None,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._endpoint_url = endpoint_url
        self._region = region
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key

    def __repr__(self) -> str:
        return f"S3Bucket({self.bucket!r}, prefix={self.prefix!r})"

    @cached_property
    def client(self) -> Any:
        """The boto3 client, made on first use."""
        import boto3
        from botocore.config import Config

        secrets = (self._access_key_id, self._secret_access_key)
        access, secret = (item.get_secret_value() if item else None for item in secrets)
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint_url,
            region_name=self._region,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 6},
                connect_timeout=10,
                read_timeout=60,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def staging(self) -> Path:
        """Return the system's folder for temporary files."""
        return Path(tempfile.gettempdir())

    def create(self, key: str, staged: Path) -> bool:
        """Put with `If-None-Match: *`: of two writers one wins, and nothing is overwritten."""
        from botocore.exceptions import ClientError

        for attempt in range(_CONFLICT_RETRIES):
            try:
                with staged.open("rb") as stream:
                    self.client.put_object(
                        Bucket=self.bucket, Key=self._full(key), Body=stream, IfNoneMatch="*"
                    )
            except ClientError as error:
                status = _status(error)
                if status == 412:
                    return False
                if status != 409 or attempt == _CONFLICT_RETRIES - 1:
                    raise
            else:
                return True
        return False

    def open(self, key: str) -> IO[bytes] | None:
        """Return the response's body, or None."""
        from botocore.exceptions import ClientError

        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return answer["Body"]

    def exists(self, key: str) -> bool:
        """Ask for the object's head."""
        from botocore.exceptions import ClientError

        try:
            self.client.head_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise
        return True

    def move(self, key: str, to: str) -> None:
        """Copy, then delete."""
        origin = {"Bucket": self.bucket, "Key": self._full(key)}
        self.client.copy_object(Bucket=self.bucket, Key=self._full(to), CopySource=origin)
        self.client.delete_object(**origin)

    def local_path(self, key: str) -> Path | None:
        """Return None: it is remote."""
        del key
        return None

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def quarantine_key(sha256: str) -> str:
    """Return a new key in the quarantine for a bad object that stood under `sha256`."""
    return f"quarantine/{sha256}.{uuid.uuid4().hex}"
