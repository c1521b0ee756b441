"""The exact median of many values in about three passes, compiled; no NaN among them.

A histogram of each value's leading bits tells in which bucket the middle lies; only the values
of that bucket are put in order. Selection by partitioning alone costs four times as much.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_KEPT_BITS = 13  # sign, exponent and four bits of the mantissa
_DROPPED_BITS = 32 - _KEPT_BITS
_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_ZERO = 1 << (_KEPT_BITS - 1)  # the bucket of +0


def empty_histogram() -> NDArray[np.int32]:
    """Return the scratch that `median` needs: zeros, which it leaves as zeros."""
    return np.zeros(1 << _KEPT_BITS, np.int32)


@njit(cache=True, nogil=True)
def median(values, histogram):  # type: ignore[no-untyped-def]
    """Return the median of float32 `values` (n > 0, contiguous), numpy's to the bit."""
    n = values.size
    ordered = np.empty(n, np.int32)  # integers in the order of the numbers
    bits = values.view(np.int32)
    for k in range(n):
        ordered[k] = bits[k] ^ ((bits[k] >> 31) & _ALL_BUT_SIGN)
    least, most = ordered[0], ordered[0]
    for k in range(n):
        least, most = min(least, ordered[k]), max(most, ordered[k])
    for k in range(n):
        histogram[(ordered[k] >> _DROPPED_BITS) + _ZERO] += 1
    lowest, highest = (least >> _DROPPED_BITS) + _ZERO, (most >> _DROPPED_BITS) + _ZERO
    lower, upper = (n - 1) // 2, n // 2
    before, first = 0, lowest
    while before + histogram[first] <= lower:
        before += histogram[first]
        first += 1
    held, last = histogram[first], first
    while before + held <= upper:
        last += 1
        held += histogram[last]
    histogram[lowest : highest + 1] = 0
    start, stop = (first - _ZERO) << _DROPPED_BITS, ((last + 1 - _ZERO) << _DROPPED_BITS) - 1
    middle = np.empty(held + 1, np.float32)
    m = 0
    for k in range(n):
        middle[m] = values[k]
        m += (ordered[k] >= start) & (ordered[k] <= stop)
    middle = np.sort(middle[:held])
    if lower == upper:
        return middle[upper - before]
    return (middle[lower - before] + middle[upper - before]) * np.float32(0.5)
