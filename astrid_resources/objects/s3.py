"""Objects in an S3 bucket: conditional creation, whole reads, and retries of what passes.

The client itself tries once: every repetition is `Retries`', so that there are never more than its
five tries and a body that was cut off counts as one of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

from pydantic import SecretStr

from astrid_resources.objects.backends import ListedObject, UnfinishedUpload
from astrid_resources.objects.multipart import PART_BYTES, give_up, put_in_parts
from astrid_resources.objects.retries import Retries, is_transient, status_of

_IN_MEMORY_BYTES = 64 << 20
_TEMPORARY = ("astrid-put-", "astrid-get-")


class S3Bucket:
    """Objects in a bucket of any S3-compatible service (AWS, Cloudflare R2, MinIO, ...).

    Lost connections, timeouts, cut-off bodies, 429 and 5xx are tried again with backoff, five
    times at most; other client errors never.
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
        retries: Retries | None = None,
        read_timeout_s: float = 60.0,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.retries = retries or Retries()
        self._endpoint_url = endpoint_url
        self._region = region
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._read_timeout_s = read_timeout_s
        self._part_bytes = part_bytes

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
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=10,
                read_timeout=self._read_timeout_s,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Return botocore's two kinds of errors."""
        from botocore.exceptions import BotoCoreError, ClientError

        return (BotoCoreError, ClientError)

    def staging(self) -> Path:
        """Return the system's folder for temporary files."""
        return Path(tempfile.gettempdir())

    def create(self, key: str, staged: Path) -> bool:
        """Put with `If-None-Match: *`: of two writers one wins, and nothing is overwritten."""
        from botocore.exceptions import ClientError

        def put() -> None:
            with staged.open("rb") as stream:
                self.client.put_object(**self._at(key), Body=stream, IfNoneMatch="*")

        def is_passing(error: Exception) -> bool:
            # 409: another writer of the same key is at work; the service asks to try again.
            is_conflict = isinstance(error, ClientError) and status_of(error) == 409
            return is_conflict or is_transient(error)

        try:
            if staged.stat().st_size <= self._part_bytes:
                self.retries.call(put, is_passing=is_passing)
            elif self.exists(key):
                return False
            else:
                put_in_parts(
                    self.client,
                    self._at(key),
                    staged,
                    retries=self.retries,
                    part_bytes=self._part_bytes,
                    is_passing=is_passing,
                )
        except ClientError as error:
            # An upload that is no more was completed by a request whose answer was lost.
            if status_of(error) == 412 or error.response["Error"]["Code"] == "NoSuchUpload":
                return False
            raise
        return True

    def open(self, key: str) -> IO[bytes] | None:
        """Return the object's bytes, all of them received; None where there is no such object."""
        from botocore.exceptions import ClientError

        def get() -> IO[bytes]:
            answer = self.client.get_object(**self._at(key))
            with closing(answer["Body"]) as body:
                received = tempfile.SpooledTemporaryFile(  # noqa: SIM115  (the caller closes it)
                    _IN_MEMORY_BYTES, prefix=_TEMPORARY[1]
                )
                try:
                    shutil.copyfileobj(body, received)
                    if received.tell() != answer["ContentLength"]:
                        raise _cut_off(answer["ContentLength"], received.tell())
                except BaseException:
                    received.close()
                    raise
            received.seek(0)
            return received

        try:
            return self.retries.call(get)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def exists(self, key: str) -> bool:
        """Ask for the object's head."""
        return self.look_up(key) is not None

    def move(self, key: str, to: str) -> None:
        """Copy, then delete."""
        self._copy(key, to)
        self.delete(key)

    def local_path(self, key: str) -> Path | None:
        """Return None: it is remote."""
        del key
        return None

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Ask for one page of keys after another."""
        where = {"Bucket": self.bucket, "Prefix": self._full(prefix) + "/"}
        n_left_out = len(self._full(""))
        more: dict[str, str] = {}
        while True:
            page = self.retries.call(partial(self.client.list_objects_v2, **where, **more))
            for item in page.get("Contents", ()):
                yield ListedObject(item["Key"][n_left_out:], item["Size"], item["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def look_up(self, key: str) -> ListedObject | None:
        """Ask for the object's head."""
        from botocore.exceptions import ClientError

        try:
            head = self.retries.call(lambda: self.client.head_object(**self._at(key)))
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        return ListedObject(key, head["ContentLength"], head["LastModified"])

    def touch(self, key: str) -> None:
        """Copy the object onto itself within the service."""
        self._copy(key, key, MetadataDirective="REPLACE")

    def delete(self, key: str) -> None:
        """Delete the object."""
        self.retries.call(lambda: self.client.delete_object(**self._at(key)))

    def leftovers(self) -> Iterator[Path]:
        """Yield this user's staging folders among the system's temporary files."""
        for start in _TEMPORARY:
            for path in sorted(self.staging().glob(f"{start}*")):
                if path.stat().st_uid == os.getuid():
                    yield path

    def uploads(self) -> Iterator[UnfinishedUpload]:
        """Ask for one page of uploads after another."""
        n_left_out = len(self._full(""))
        where = {"Bucket": self.bucket, "Prefix": self._full("sha256") + "/"}
        more: dict[str, str] = {}
        while True:
            page = self.retries.call(partial(self.client.list_multipart_uploads, **where, **more))
            for item in page.get("Uploads", ()):
                yield UnfinishedUpload(
                    item["Key"][n_left_out:], item["UploadId"], item["Initiated"]
                )
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def abort(self, upload: UnfinishedUpload) -> None:
        """Give the upload up."""
        where = {**self._at(upload.key), "UploadId": upload.upload_id}
        give_up(self.client, where, retries=self.retries)

    def _copy(self, key: str, to: str, **more: str) -> None:
        from botocore.exceptions import ClientError

        origin = self._at(key)
        try:
            self.retries.call(
                lambda: self.client.copy_object(**self._at(to), CopySource=origin, **more)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._full(key)}

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def _cut_off(expected: int, received: int) -> Exception:
    from botocore.exceptions import IncompleteReadError

    return IncompleteReadError(expected_bytes=expected, actual_bytes=received)
