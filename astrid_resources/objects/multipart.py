"""Large objects go to S3 in parts, and appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from astrid_resources.objects.retries import Retries

PART_BYTES = 64 << 20
"""Larger objects are sent in parts of this size; a part is what is sent again after a failure."""


def put_in_parts(
    client: Any,
    where: dict[str, str],
    staged: Path,
    *,
    retries: Retries,
    part_bytes: int,
    is_passing: Callable[[Exception], bool],
) -> None:
    """Upload a file to `where` (bucket and key), created only where nothing stands there.

    What was sent is given up when anything fails; a process that is killed leaves an upload that
    the collection of garbage gives up. Raises ClientError, 412 where the key is taken.
    is_passing: says of an error of the last request whether it may be sent again.
    """
    answer = retries.call(partial(client.create_multipart_upload, **where))
    upload = {**where, "UploadId": answer["UploadId"]}
    try:
        parts: list[dict[str, Any]] = []
        with staged.open("rb") as stream:
            while chunk := stream.read(part_bytes):
                number = len(parts) + 1
                send = partial(client.upload_part, **upload, PartNumber=number, Body=chunk)
                parts.append({"PartNumber": number, "ETag": retries.call(send)["ETag"]})
        retries.call(
            partial(
                client.complete_multipart_upload,
                **upload,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            ),
            is_passing=is_passing,
        )
    except BaseException:
        give_up(client, upload, retries=retries)
        raise


def give_up(client: Any, upload: dict[str, str], *, retries: Retries) -> None:
    """Abort an upload; nothing happens where it is no more."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        retries.call(partial(client.abort_multipart_upload, **upload))
    except (BotoCoreError, ClientError):
        # It is listed and given up by the collection of garbage; what failed first is the news.
        return
