"""What a delivered file may be, and what looking at it may cost: every limit, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a delivered file may be at most.

    n_cards_max: of one header; n_cards_total_max: of all headers of the file.
    gzip_ratio_max holds once more than `gzip_free_bytes` were unpacked: small headers of blanks
    compress well and do no harm.
    """

    file_bytes_max: int = 4 << 30
    n_cards_max: int = 10_000
    n_cards_total_max: int = 100_000
    n_hdus_max: int = 1_000
    n_axes_max: int = 9
    n_pixels_max: int = 1 << 28
    gzip_ratio_max: float = 100.0
    gzip_free_bytes: int = 64 << 20


@dataclass(frozen=True)
class DecodeLimits:
    """What decoding one file may take, by the memory that its headers declare.

    Declared is each pixel as it is stored and as the float32 that it becomes.
    memory_factor: times the declared memory, beside `memory_free_bytes` for what is not pixels;
    memory_bytes: never more than this, all in all (address space of the child).
    wall_time_s: for a file of up to `bytes_per_s` times this of declared memory; larger ones get
    the time in proportion.
    """

    memory_bytes: int = 6 << 30
    memory_factor: float = 2.0
    memory_free_bytes: int = 256 << 20
    wall_time_s: float = 10.0
    bytes_per_s: float = 100e6

    def memory_for(self, declared_bytes: int | None) -> int:
        """Return the bytes that a file which declares so many may take beyond the idle child."""
        if declared_bytes is None:
            return self.memory_bytes
        wanted = int(self.memory_factor * declared_bytes) + self.memory_free_bytes
        return min(self.memory_bytes, wanted)

    def time_for_s(self, declared_bytes: int | None) -> float:
        """Return how long a file which declares so many bytes may take."""
        return max(self.wall_time_s, (declared_bytes or 0) / self.bytes_per_s)


STANDARD_LIMITS = Limits()
STANDARD_DECODE_LIMITS = DecodeLimits()
