"""How a process that works on whole images holds memory; for the programs, not for libraries."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_HELD_BYTES = 1 << 30


def reuse_freed_memory() -> bool:
    """Let every freed array make room for the next one, whichever thread asks; say if it is so.

    Left to itself, glibc gives large arrays back to the system and asks for them again, page by
    page: a quarter of the time of a pair of 3072 x 3072 pixels. Up to 1 GiB is kept, in one heap
    for all threads, so that hardly more memory is held than is in use. To be called before any
    thread starts. Source: mallopt(3). Other C libraries are left alone.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = (  # an old glibc refuses the first one: then nothing is changed
        (_M_MMAP_THRESHOLD, _HELD_BYTES),
        (_M_TRIM_THRESHOLD, _HELD_BYTES),
        (_M_ARENA_MAX, 1),
    )
    return all(bool(mallopt(option, value)) for option, value in wanted)


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Import modules without looking for garbage: they are a million objects, and all stay.

    Later collections leave these objects alone, too (a sixth of the time of the imports). To be
    used before any thread starts: what lives at its end is not collected any more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
