"""What this process had to repeat, wait for or put aside: counted here, shown as asset metadata.

Process-wide, since a run is a process: whoever repeats or waits adds, and the commit of an asset's
products takes what came together since the last one.
"""

from __future__ import annotations

import threading
from enum import StrEnum


class Count(StrEnum):
    """What is counted; the value is the key of the metadata."""

    STORE_RETRIES = "store_retries"
    STORE_WAIT_S = "store_wait_s"
    STORE_QUARANTINED = "store_quarantined"
    DATABASE_WAIT_S = "database_wait_s"


class Counts:
    """Numbers that only grow until they are taken; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[Count, float] = {}

    def add(self, count: Count, amount: float = 1) -> None:
        """Add `amount` to a count."""
        with self._lock:
            self._sums[count] = self._sums.get(count, 0) + amount

    def take(self) -> dict[str, float]:
        """Return every count, and begin again from nothing."""
        with self._lock:
            taken = {count.value: round(self._sums.get(count, 0), 3) for count in Count}
            self._sums.clear()
        return taken


COUNTS = Counts()
