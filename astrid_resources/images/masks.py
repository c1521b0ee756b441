"""The mask planes: one table of named bits, from which FITS cards and documentation follow."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

_REFERENCE_SHIFT = 16
_ROWS_AT_ONCE = 64


class MaskPlane(Enum):
    """A named bit of a uint32 mask: (bit number, what a set bit means)."""

    NO_DATA = (0, "no measurement: off the detector or outside every input")
    BAD = (1, "defective or not finite pixel")
    SATURATED = (2, "at or above the saturation level, or bled into")
    COSMIC_RAY = (3, "hit by a cosmic ray")
    EDGE = (4, "too close to the edge to be measured")
    STREAK = (5, "satellite or aircraft trail")
    SPIKE = (6, "diffraction spike or halo of a bright star")
    INTERPOLATED = (7, "value filled in from its neighbours")
    DETECTED = (8, "part of a detected source")
    INJECTED = (9, "touched by an injected artificial source")

    @property
    def bit(self) -> int:
        """Bit number, 0 to 15."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """What a set bit says."""
        return self.value[1]

    @property
    def flag(self) -> int:
        """The plane as an integer with its one bit set."""
        return 1 << self.bit

    @property
    def reference_flag(self) -> int:
        """The bit of the same plane inherited from a reference image (`*_REFERENCE`)."""
        return 1 << (self.bit + _REFERENCE_SHIFT)


UNUSABLE = (
    MaskPlane.NO_DATA,
    MaskPlane.BAD,
    MaskPlane.SATURATED,
    MaskPlane.COSMIC_RAY,
    MaskPlane.STREAK,
    MaskPlane.SPIKE,
)
"""Planes whose pixels carry no trustworthy value of the sky."""


def plane_bits(*planes: MaskPlane, reference: bool = True) -> int:
    """Return the union of `planes` as an integer, with their `*_REFERENCE` twins by default."""
    bits = 0
    for plane in planes:
        bits |= plane.flag | (plane.reference_flag if reference else 0)
    return bits


def has_any(
    mask: NDArray[np.uint32], *planes: MaskPlane, reference: bool = True
) -> NDArray[np.bool_]:
    """Return where `mask` [y, x] has a bit of any of `planes` set."""
    bits = np.uint32(plane_bits(*planes, reference=reference))
    out = np.empty(mask.shape, np.bool_)
    for rows in range(0, len(mask), _ROWS_AT_ONCE):  # what is set aside stays in the cache
        part = slice(rows, rows + _ROWS_AT_ONCE)
        np.not_equal(mask[part] & bits, 0, out=out[part])
    return out


def as_reference(mask: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the mask of a reference image moved onto the `*_REFERENCE` planes."""
    shift = np.uint32(_REFERENCE_SHIFT)
    return ((mask | (mask >> shift)) & np.uint32(0xFFFF)) << shift


def plane_names(bits: int) -> tuple[str, ...]:
    """Return the names of the planes set in `bits`, in order of their bit."""
    names = [plane.name for plane in MaskPlane if bits & plane.flag]
    names += [f"{plane.name}_REFERENCE" for plane in MaskPlane if bits & plane.reference_flag]
    return tuple(names)
