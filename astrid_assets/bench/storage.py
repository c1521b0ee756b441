"""What storing and reading objects costs, against plain copies of the same bytes.

Ours hashes what it writes, stages it, syncs it to disk and verifies every read; the plain way
writes a file and syncs it, and reads it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astrid_assets.bench.measure import Cost, measured
from astrid_resources.objects.store import ObjectStore

N_TURNS = 3
SIZES_MB = (1, 128)
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ObjectRate:
    """Megabytes per second of one action, ours and the plain one's, medians of turns."""

    action: str
    size_mb: int
    ours_mb_per_s: float
    plain_mb_per_s: float

    @property
    def share(self) -> float:
        """Our speed over the plain one's."""
        return self.ours_mb_per_s / self.plain_mb_per_s


def bench_storage(*, say: Callable[[str], None]) -> list[ObjectRate]:
    """Return the rates for a small and a large object in a local folder, in turns."""
    rng = np.random.default_rng(0)
    rates = []
    with tempfile.TemporaryDirectory(prefix="astrid-bench-") as name:
        store = ObjectStore.from_url(f"{name}/objects")
        plain = Path(name) / "plain.bin"
        for size_mb in SIZES_MB:
            say(f"objects of {size_mb} MB")
            turns = [_turn(store, plain, rng.bytes(size_mb * _MEGABYTE)) for _ in range(N_TURNS)]
            put, copied, got, read = (
                size_mb / statistics.median(cost.wall_s for cost in costs)
                for costs in zip(*turns, strict=True)
            )
            rates.append(ObjectRate("store", size_mb, put, copied))
            rates.append(ObjectRate("read", size_mb, got, read))
    return rates


def _turn(store: ObjectStore, plain: Path, content: bytes) -> tuple[Cost, Cost, Cost, Cost]:
    stored, put = measured(lambda: store.put_bytes(content))
    _, copied = measured(lambda: _write(plain, content))
    _, got = measured(lambda: store.get_bytes(stored.key))
    _, read = measured(plain.read_bytes)
    store.delete(stored.key)
    return put, copied, got, read


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def storage_table(rates: list[ObjectRate]) -> str:
    """Return the rates as a Markdown table."""
    lines = ["| objects | MB | MB/s | plain file, MB/s | share |", "|---|---|---|---|---|"]
    lines += [
        f"| {rate.action} | {rate.size_mb} | {rate.ours_mb_per_s:.0f} "
        f"| {rate.plain_mb_per_s:.0f} | {rate.share:.2f} |"
        for rate in rates
    ]
    return "\n".join(lines) + "\n"
