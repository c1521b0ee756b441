"""Which failures of a remote store pass by themselves, and how they are tried again.

Client errors are never tried again: the same question has the same answer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from astrid_resources.counts import COUNTS, Count

MAX_TRIES = 5
_TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown"})
_LONGEST_WAIT_S = 20.0
_log = logging.getLogger("astrid.store")

Result = TypeVar("Result")


def status_of(error: Any) -> int:
    """Return the HTTP status that a botocore ClientError carries."""
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def is_transient(error: Exception) -> bool:
    """Return whether a failure may pass: 429, 5xx, timeouts, lost connections, cut-off bodies."""
    from botocore.exceptions import (
        ClientError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
    )

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        return status_of(error) in _TRANSIENT_STATUS or code in _TRANSIENT_CODES
    return isinstance(error, (HTTPClientError, IncompleteReadError, ResponseStreamingError))


class Retries:
    """Tries an operation up to MAX_TRIES times, with exponential backoff and full jitter.

    first_wait_s: the longest wait after the first failure; it doubles with each further one.
    exhausted: makes what is raised after the last try, from what that raised; None: that itself.
    """

    def __init__(
        self,
        *,
        first_wait_s: float = 0.5,
        exhausted: Callable[[Exception], Exception] | None = None,
    ) -> None:
        self._first_wait_s = first_wait_s
        self._exhausted = exhausted
        self._random = random.Random()  # noqa: S311  (spreads load; no secret depends on it)
        self._lock = threading.Lock()
        self._n_repeated = 0

    @property
    def n_repeated(self) -> int:
        """How many tries were repetitions, since this was made."""
        return self._n_repeated

    def call(
        self,
        operation: Callable[[], Result],
        *,
        is_passing: Callable[[Exception], bool] = is_transient,
    ) -> Result:
        """Return what `operation` returns; raise its error once it is final or the last try.

        is_passing: says of an error whether the operation may be tried again.
        """
        n_failed = 0
        while True:
            try:
                return operation()
            except Exception as error:
                n_failed += 1
                if not is_passing(error):
                    raise
                if n_failed == MAX_TRIES:
                    if self._exhausted is None:
                        raise
                    raise self._exhausted(error) from error
                _log.warning("try %d of %d failed: %s", n_failed, MAX_TRIES, error)
            longest = min(_LONGEST_WAIT_S, self._first_wait_s * 2 ** (n_failed - 1))
            wait_s = self._random.uniform(0, longest)
            with self._lock:
                self._n_repeated += 1
            COUNTS.add(Count.STORE_RETRIES)
            COUNTS.add(Count.STORE_WAIT_S, wait_s)
            time.sleep(wait_s)
