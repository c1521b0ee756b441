"""Which failures of a database pass by themselves, and how long they are waited for.

A lost connection, a server that restarts, a transaction that lost against another one. Bad data, a
wrong password or a missing table are never tried again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from astrid_resources.counts import COUNTS, Count

Result = TypeVar("Result")

_LOST = ("08", "57P01", "57P02", "57P03", "53300")
_BEATEN = ("40001", "40P01")
_UNREACHABLE = (
    "connection refused",
    "no such file or directory",
    "connection reset",
    "server closed the connection",
    "connection timed out",
    "timeout expired",
    "temporary failure in name resolution",
    "the database system is",
    "too many clients",
    "connection slots are reserved",
)


@dataclass(frozen=True)
class Patience:
    """How long a database that is away is waited for, and how often a transaction is repeated.

    away_s: from the first refused connection on; 60 s outlast a restart. first_wait_s: the longest
    first wait, doubled with each further one up to longest_wait_s (full jitter). max_tries: of one
    transaction.
    """

    away_s: float = 60.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    max_tries: int = 5

    def wait_s(self, n_failed: int) -> float:
        """Return how long to wait after the n-th failure in a row (from 1)."""
        longest = min(self.first_wait_s * 2 ** (n_failed - 1), self.longest_wait_s)
        return random.uniform(0, longest)  # noqa: S311  (spreads load; no secret depends on it)


def is_unreachable(error: Exception) -> bool:
    """Return whether PostgreSQL's driver was refused a connection for a reason that passes.

    The driver gives no code for a connection that was never made: its words are all there is.
    """
    words = str(error).lower()
    return any(part in words for part in _UNREACHABLE)


def is_transient(error: BaseException) -> bool:
    """Return whether a transaction that ended with this error may succeed when it is repeated."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    code = str(getattr(error.orig, "pgcode", None) or "")
    return error.connection_invalidated or code.startswith(_LOST) or code in _BEATEN


def connected(connect: Callable[[], Any], patience: Patience, *, refused: type[Exception]) -> Any:
    """Return what `connect` returns, waiting for a server that is away; its error at the end.

    refused: the driver's error for a connection that was not made.
    """
    until = time.monotonic() + patience.away_s
    n_failed = 0
    while True:
        try:
            return connect()
        except refused as error:
            n_failed += 1
            wait_s = patience.wait_s(n_failed)
            if not is_unreachable(error) or time.monotonic() + wait_s > until:
                raise
        COUNTS.add(Count.DATABASE_WAIT_S, wait_s)
        time.sleep(wait_s)


def repeated(work: Callable[[], Result], patience: Patience) -> tuple[Result, int]:
    """Return what `work` returns and how often it was repeated; its last error where it stays."""
    n_failed = 0
    while True:
        try:
            return work(), n_failed
        except sa.exc.DBAPIError as error:
            n_failed += 1
            if not is_transient(error) or n_failed == patience.max_tries:
                raise
        time.sleep(patience.wait_s(n_failed))
