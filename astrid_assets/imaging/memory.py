"""How a process that works on whole images holds memory; for the programs, not for libraries."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_OWN_MAPPING_BYTES = 8 << 20


def return_freed_memory() -> bool:
    """Let every array of 8 MiB and more go back to the system when it is freed; say if it is so.

    Left to itself, glibc keeps freed arrays of up to 32 MiB, in every thread's own heap: masks and
    binned maps of a pair calibrated side by side then hold a quarter more memory than is in use.
    Source: mallopt(3), M_MMAP_THRESHOLD. Other C libraries are left alone.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES))
