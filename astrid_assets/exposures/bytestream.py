"""Bytes of an untrusted file in order, plain or gzip, never more than the limits allow."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from astrid_assets.exposures.file_limits import Limits
from astrid_assets.exposures.rejection import Reason, RejectedFile

BLOCK = 2880
_CHUNK = BLOCK * 1024
_GZIP = b"\x1f\x8b"


def ones_complement(block: bytes | bytearray) -> int:
    """Return the sum of the big-endian 32-bit words of `block` (4n bytes), unfolded."""
    return int(np.frombuffer(block, dtype=">u4").sum(dtype=np.uint64))


def file_sha256(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class ByteStream:
    """A file read forward in FITS blocks; gzip is recognised by its first bytes.

    Raises RejectedFile where the file is empty, too large, ends too early or unpacks too far.
    """

    def __init__(self, path: Path, *, limits: Limits) -> None:
        self._limits = limits
        self.file_size = path.stat().st_size
        self.position = 0
        if self.file_size == 0:
            raise RejectedFile(
                "the file is empty (0 bytes): deliver it again", reason=Reason.EMPTY_FILE
            )
        if self.file_size > limits.file_bytes_max:
            raise RejectedFile(
                f"the file has {self.file_size} bytes, allowed are {limits.file_bytes_max}",
                reason=Reason.TOO_LARGE,
                size=self.file_size,
                n_allowed=limits.file_bytes_max,
            )
        self._file: BinaryIO = path.open("rb")
        self.is_gzip = self._file.read(2) == _GZIP
        self._file.seek(0)
        self._stream: BinaryIO = (
            gzip.GzipFile(fileobj=self._file, mode="rb") if self.is_gzip else self._file  # type: ignore[assignment]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._file.close()

    def block(self) -> bytes | None:
        """Return the next 2880 bytes, or None at the end; a lone short block is a truncation."""
        block = self._read(BLOCK)
        is_tail = len(block) < BLOCK and self.position > len(block)
        if not block or (is_tail and not block.strip(b"\0 \r\n")):
            return None
        if is_tail:
            raise self._ended(f"a block has {len(block)} of its {BLOCK} bytes")
        return block.ljust(BLOCK, b"\0")

    def expect(self, size: int, *, what: str) -> None:
        """Raise RejectedFile where fewer than `size` bytes can follow; nothing is read."""
        if not self.is_gzip:
            left = self.file_size - self.position
            if size > left:
                raise self._ended(f"{what}, of which {left} are there")
            return
        ceiling = max(
            self._limits.gzip_free_bytes, int(self.file_size * self._limits.gzip_ratio_max)
        )
        if self.position + size > ceiling:
            raise self._bomb(self.position + size)

    def skip(self, size: int, *, is_summed: bool) -> int:
        """Pass over `size` bytes; return the folded sum of their 32-bit words (0 if not asked)."""
        if not is_summed and not self.is_gzip:
            self._stream.seek(size, 1)
            self.position += size
            return 0
        total, left = 0, size
        while left:
            wanted = min(left, _CHUNK)
            chunk = self._read(wanted)
            if len(chunk) < wanted:
                raise self._ended(f"{left - len(chunk)} bytes of the declared data are missing")
            left -= len(chunk)
            total += ones_complement(chunk) if is_summed else 0
        while total > 0xFFFFFFFF:
            total = (total >> 32) + (total & 0xFFFFFFFF)
        return total

    def _read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        left = size
        try:
            while left and (piece := self._stream.read(left)):
                pieces.append(piece)
                left -= len(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            reason = Reason.TRUNCATED if isinstance(error, EOFError) else Reason.UNDECODABLE
            raise RejectedFile(f"the gzip data is broken: {error}", reason=reason) from error
        self.position += size - left
        unpacked = self.position
        if self.is_gzip and unpacked > self._limits.gzip_free_bytes:
            if unpacked > self.file_size * self._limits.gzip_ratio_max:
                raise self._bomb(unpacked)
            if unpacked > self._limits.file_bytes_max:
                raise self._bomb(unpacked)
        return b"".join(pieces)

    def _ended(self, what: str) -> RejectedFile:
        return RejectedFile(
            f"the file is truncated: {what}; it has {self.file_size} bytes; deliver the complete "
            "file",
            reason=Reason.TRUNCATED,
            size=self.file_size,
        )

    def _bomb(self, unpacked: int) -> RejectedFile:
        return RejectedFile(
            f"the gzip file of {self.file_size} bytes unpacks to at least {unpacked} bytes, more "
            f"than {self._limits.gzip_ratio_max:g} times its size or {self._limits.file_bytes_max} "
            "bytes: no image does that",
            reason=Reason.GZIP_BOMB,
            size=self.file_size,
            unpacked=unpacked,
        )
