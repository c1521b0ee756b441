"""The S3 service of the tests: one on this machine, or any real one that the environment names.

`make test-s3` sets TEST_S3_ENDPOINT and the others; on a real service the bucket must exist, and
everything the tests put there is removed again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from astrid_resources.objects import ObjectStore

BUCKET = "astrid"
_ANY_KEY = SecretStr("test")


@dataclass(frozen=True)
class S3Service:
    """An S3-compatible service and the bucket to use."""

    endpoint: str
    bucket: str = BUCKET
    region: str = "us-east-1"
    access_key_id: SecretStr = _ANY_KEY
    secret_access_key: SecretStr = _ANY_KEY
    is_real: bool = False

    @contextmanager
    def store(self) -> Iterator[ObjectStore]:
        """Yield an object store under a prefix of its own."""
        store = ObjectStore.from_url(
            f"s3://{self.bucket}/astrid-tests/{uuid.uuid4().hex}",
            endpoint_url=self.endpoint,
            region=self.region,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
        )
        client = store.backend.client  # type: ignore[attr-defined]
        if not self.is_real:
            client.create_bucket(Bucket=self.bucket)
        try:
            yield store
        finally:
            if self.is_real:
                _empty(store.backend)
            client.close()


def named_service() -> S3Service | None:
    """Return the service that the environment names, if any."""
    endpoint = os.environ.get("TEST_S3_ENDPOINT")
    if not endpoint:
        return None
    return S3Service(
        endpoint,
        bucket=os.environ.get("TEST_S3_BUCKET") or BUCKET,
        region=os.environ.get("TEST_S3_REGION") or "auto",
        access_key_id=SecretStr(os.environ.get("S3_ACCESS_KEY_ID", "")),
        secret_access_key=SecretStr(os.environ.get("S3_SECRET_ACCESS_KEY", "")),
        is_real=True,
    )


def _empty(backend: Any) -> None:
    """Remove everything under the store's prefix, unfinished uploads too."""
    for folder in ("sha256", "quarantine"):
        for item in list(backend.list(folder)):
            backend.delete(item.key)
    for upload in list(backend.uploads()):
        backend.abort(upload)
