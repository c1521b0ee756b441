"""The mask planes of an aligned pair in one pass: what is usable where, and the mask of both."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import MaskPlane, plane_bits
from astrid_resources.images.masks import UNUSABLE

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class PairMasks:
    """Masks of an aligned pair, [y, x].

    mask: uint32, the science planes and the reference's own as `*_REFERENCE`.
    science, reference: True where that image is unusable; either: where one of them is.
    saturated_reference: where the reference is unusable because it is saturated.
    n_usable_science: number of usable science pixels; n_covered: of these, on reference data.
    """

    mask: NDArray[np.uint32] = field(repr=False)
    science: BoolArray = field(repr=False)
    reference: BoolArray = field(repr=False)
    either: BoolArray = field(repr=False)
    saturated_reference: BoolArray = field(repr=False)
    n_usable_science: int
    n_covered: int


def pair_masks(science: NDArray[np.uint32], reference: NDArray[np.uint32]) -> PairMasks:
    """Return what two masks [y, x] of one grid say together."""
    mask = np.empty(science.shape, np.uint32)
    flags = [np.empty(science.shape, np.bool_) for _ in range(4)]
    counted = np.zeros((science.shape[0], 2), np.int64)
    bits = np.uint32(plane_bits(*UNUSABLE))
    absent, full = (
        np.uint32(plane_bits(plane)) for plane in (MaskPlane.NO_DATA, MaskPlane.SATURATED)
    )
    shift = np.uint32((MaskPlane.NO_DATA.reference_flag // MaskPlane.NO_DATA.flag).bit_length() - 1)

    inputs = (science, reference, bits, absent, full, shift)
    outputs = (mask, *flags, counted)

    def band(first: int, stop: int) -> None:
        _masks(*inputs, first, stop, *outputs)

    over_rows(band, science.shape[0])
    n_usable, n_covered = (int(n) for n in counted.sum(axis=0))
    return PairMasks(mask, flags[0], flags[1], flags[2], flags[3], n_usable, n_covered)


@njit(cache=True, nogil=True)
def _masks(  # type: ignore[no-untyped-def]
    science,
    reference,
    bits,
    absent,
    full,
    shift,
    first,
    stop,
    mask,
    bad_n,
    bad_r,
    bad,
    full_r,
    counted,
):
    low = (np.uint32(1) << shift) - np.uint32(1)
    for y in range(first, stop):
        n_usable, n_covered = 0, 0
        for x in range(science.shape[1]):
            n, r = science[y, x], reference[y, x]
            mask[y, x] = n | (((r | (r >> shift)) & low) << shift)
            is_bad_n, is_bad_r = (n & bits) != 0, (r & bits) != 0
            bad_n[y, x] = is_bad_n
            bad_r[y, x] = is_bad_r
            bad[y, x] = is_bad_n | is_bad_r
            full_r[y, x] = (r & full) != 0
            n_usable += not is_bad_n
            n_covered += (not is_bad_n) & ((r & absent) == 0)
        counted[y, 0] = n_usable
        counted[y, 1] = n_covered
