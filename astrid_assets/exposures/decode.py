"""Decoding of untrusted files in a child process with limits on memory and time.

One child serves many files; it is killed and started again where it takes too long or dies.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from astropy.io import fits

import astrid_assets
from astrid_assets.exposures.decode_child import LENGTH, READY
from astrid_assets.exposures.file_limits import STANDARD_DECODE_LIMITS, DecodeLimits
from astrid_assets.exposures.fits_worker import (
    Decoded,
    Geometry,
    ScienceHDU,
    UnreadableError,
    decode,
)
from astrid_assets.exposures.rejection import Reason, RejectedFile

_CHILD = "astrid_assets.exposures.decode_child"
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
_JSON_BYTES_MAX = 256 << 20
_START_S = 120.0


@dataclass(frozen=True)
class InspectedImage:
    """A science image that can be decoded, without its pixels.

    header: its own cards and the primary's where it has none. shape: (ny, nx).
    planes: which of data, variance, bad the file delivers.
    """

    index: int
    name: str
    header: fits.Header
    geometry: Geometry
    shape: tuple[int, int]
    finite_fraction: float
    planes: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """The science images of a file, and the extensions that could not be taken, with reasons."""

    images: tuple[InspectedImage, ...]
    rejected: tuple[tuple[int, str, str, str], ...]


class Decoder:
    """The parent's end of the decoding child; use as a context manager, from one thread."""

    def __init__(self, limits: DecodeLimits = STANDARD_DECODE_LIMITS) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self.n_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def inspect(
        self,
        path: Path,
        *,
        cards: Mapping[str, str] | None = None,
        ignored_bits: int = 0,
        declared_bytes: int | None = None,
    ) -> Inspection:
        """Decode a file completely and return what it holds, without the pixels.

        cards: header cards that replace the file's. ignored_bits: mask bits that are not bad.
        declared_bytes: memory that its headers declare; memory and time are limited by it.
        Raises RejectedFile where the file holds no science image, or decoding broke a limit.
        """
        reply, _ = self._ask(
            path,
            cards,
            ignored_bits,
            only_hdu=None,
            with_pixels=False,
            declared_bytes=declared_bytes,
        )
        images = tuple(_inspected(item) for item in reply["images"])
        return Inspection(images, tuple(tuple(item) for item in reply["rejected"]))

    def read(
        self,
        path: Path,
        *,
        cards: Mapping[str, str] | None = None,
        ignored_bits: int = 0,
        only_hdu: int | None = None,
    ) -> Decoded:
        """Decode a file and return its science images with pixels; raises RejectedFile."""
        reply, deadline = self._ask(path, cards, ignored_bits, only_hdu=only_hdu, with_pixels=True)
        decoded = Decoded(rejected=[tuple(item) for item in reply["rejected"]])
        for item in reply["images"]:
            seen = _inspected(item)
            planes = {
                name: np.frombuffer(
                    self._receive(prod(seen.shape) * np.dtype(kind).itemsize, deadline, path), kind
                ).reshape(seen.shape)
                for name, kind in item["planes"]
            }
            decoded.images.append(
                ScienceHDU(seen.index, seen.name, seen.header, seen.geometry, **planes)
            )
        return decoded

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, self._errors):
                if stream is not None:
                    stream.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        root = Path(astrid_assets.__file__).parents[1]
        environment |= {
            "PYTHONPATH": str(root),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-s", "-m", _CHILD, str(self._limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            bufsize=0,
        )
        self.n_starts += 1
        stdout = self._process.stdout
        is_there = stdout is not None and select.select([stdout], [], [], _START_S)[0]
        if stdout is None or not is_there or stdout.read(len(READY)) != READY:
            self.close()
            raise RuntimeError(f"the decoding child did not start within {_START_S:g} s")
        return self._process

    def _ask(
        self,
        path: Path,
        cards: Mapping[str, str] | None,
        ignored_bits: int,
        *,
        only_hdu: int | None,
        with_pixels: bool,
        declared_bytes: int | None = None,
    ) -> tuple[dict[str, Any], float]:
        process = self._start()
        time_s = self._limits.time_for_s(declared_bytes)
        request = {
            "path": str(path.absolute()),
            "cards": dict(cards or {}),
            "ignored_bits": ignored_bits,
            "only_hdu": only_hdu,
            "with_pixels": with_pixels,
            "memory_bytes": self._limits.memory_for(declared_bytes),
        }
        text = json.dumps(request).encode()
        deadline = time.monotonic() + time_s
        if process.stdin is None:
            raise RuntimeError("the decoding child was started without a pipe")
        try:
            process.stdin.write(LENGTH.pack(len(text)) + text)
        except BrokenPipeError:
            raise self._died(path) from None
        size = LENGTH.unpack(self._receive(LENGTH.size, deadline, path))[0]
        if size > _JSON_BYTES_MAX:
            raise self._died(path)
        reply: dict[str, Any] = json.loads(bytes(self._receive(size, deadline, path)))
        if "reason" in reply:
            raise RejectedFile(reply["text"], reason=Reason(reply["reason"]))
        return reply, deadline

    def _receive(self, size: int, deadline: float, path: Path) -> bytearray:
        process = self._process
        if process is None or process.stdout is None:
            raise self._died(path)
        if size > self._limits.memory_bytes:
            process.kill()
            raise self._died(path)
        out, filled = bytearray(size), 0
        view = memoryview(out)
        while filled < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                self.close()
                raise RejectedFile(
                    "decoding took longer than the time that a file of its size is given "
                    f"({self._limits.wall_time_s:g} s for a small one) and was stopped",
                    reason=Reason.DECODE_TIMEOUT,
                    limit_s=self._limits.wall_time_s,
                )
            got = os.readv(process.stdout.fileno(), [view[filled:]])
            if got == 0:
                raise self._died(path)
            filled += got
        return out

    def _died(self, path: Path) -> RejectedFile:
        code, last = None, ""
        if self._process is not None and self._errors is not None:
            code = self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            last = lines[-1][:200] if lines else ""
        self.close()
        return RejectedFile(
            f"decoding ended the decoder (exit status {code}; {last or 'no message'}): the file is "
            "damaged, hostile or too large",
            reason=Reason.DECODER_DIED,
            exit_status=code,
            file=path.name,
        )


def _inspected(item: Mapping[str, Any]) -> InspectedImage:
    ra, dec, corners, scale = item["geometry"]
    ny, nx = item["shape"]
    return InspectedImage(
        index=item["index"],
        name=item["name"],
        header=fits.Header.fromstring(item["header"], sep="\n"),
        geometry=Geometry(ra, dec, tuple((a, d) for a, d in corners), scale),
        shape=(ny, nx),
        finite_fraction=item["finite_fraction"],
        planes=tuple(name for name, _ in item["planes"]),
    )


def read_in_process(
    path: Path,
    *,
    cards: Mapping[str, str] | None = None,
    ignored_bits: int = 0,
    only_hdu: int | None = None,
) -> Decoded:
    """Decode a file in this process, where its bytes were accepted before; raises RejectedFile."""
    try:
        return decode(path, cards=cards, ignored_bits=ignored_bits, only_hdu=only_hdu)
    except UnreadableError as problem:
        raise RejectedFile(problem.text, reason=Reason(problem.reason)) from problem
