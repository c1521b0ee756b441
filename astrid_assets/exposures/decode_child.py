"""The child process that decodes untrusted files: limits first, then one request after another.

Run as `python -m astrid_assets.exposures.decode_child MEMORY_BYTES`. A request is a length and a
JSON text; the answer a length, a JSON text, and the raw arrays it announces. No pickle, no shared
memory: a file that takes over this process finds no secret and gives its parent bytes only.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from astrid_assets.exposures.fits_worker import Decoded, ScienceHDU, UnreadableError, decode

LENGTH = struct.Struct("<Q")
READY = b"ready\n"
_FILE_BYTES_MAX = 1 << 20


def limit_resources(memory_bytes: int) -> None:
    """Bound this process's address space and what it may write; no core dumps."""
    wanted = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _FILE_BYTES_MAX),
        (resource.RLIMIT_AS, memory_bytes),
    )
    for kind, limit in wanted:
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (allowed, allowed))
        except (ValueError, OSError):
            print(f"limit {kind} is not supported here", file=sys.stderr)  # noqa: T201


def allow_memory(extra_bytes: int) -> None:
    """Let this process take so many bytes beyond its present address space, not more.

    Where the system does not tell its size the limit of `limit_resources` alone holds.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * resource.getpagesize() + extra_bytes
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def describe(decoded: Decoded, *, with_pixels: bool) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return the JSON form of what was decoded and, if asked for, the arrays it announces."""
    arrays: list[NDArray[Any]] = []
    images = [_describe_image(image, arrays, with_pixels=with_pixels) for image in decoded.images]
    return {"images": images, "rejected": decoded.rejected}, arrays


def _describe_image(
    image: ScienceHDU, arrays: list[NDArray[Any]], *, with_pixels: bool
) -> dict[str, Any]:
    place = image.geometry
    planes = {"data": image.data, "variance": image.variance, "bad": image.bad}
    present = {name: plane for name, plane in planes.items() if plane is not None}
    if with_pixels:
        arrays.extend(present.values())
    return {
        "index": image.index,
        "name": image.name,
        "header": image.header.tostring(sep="\n", endcard=False, padding=False),
        "geometry": [place.ra, place.dec, place.corners, place.pixel_scale_arcsec],
        "shape": image.data.shape,
        "finite_fraction": float(np.isfinite(image.data).mean()),
        "planes": [[name, plane.dtype.str] for name, plane in present.items()],
    }


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return the answer to one request: what was decoded, or why it could not be."""
    try:
        decoded = decode(
            Path(request["path"]),
            cards=request["cards"],
            ignored_bits=request["ignored_bits"],
            only_hdu=request["only_hdu"],
        )
    except UnreadableError as problem:
        return {"reason": problem.reason, "text": problem.text}, []
    return describe(decoded, with_pixels=request["with_pixels"])


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while head := requests.read(LENGTH.size):
        request = json.loads(requests.read(LENGTH.unpack(head)[0]))
        allow_memory(request["memory_bytes"])
        reply, arrays = answer(request)
        text = json.dumps(reply).encode()
        answers.write(LENGTH.pack(len(text)) + text)
        for array in arrays:
            answers.write(np.ascontiguousarray(array).data)
        answers.flush()


def main() -> None:
    """Set the limits and serve standard input; nothing else can reach the answers' pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit_resources(int(sys.argv[1]))
    answers.write(READY)
    answers.flush()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
