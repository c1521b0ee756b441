"""The mask planes: one table, from which bits, names and reference twins follow."""

from __future__ import annotations

import numpy as np

from astrid_resources.images import MaskPlane, as_reference, has_any, plane_bits
from astrid_resources.images.masks import UNUSABLE, plane_names

NAMES = (
    "NO_DATA", "BAD", "SATURATED", "COSMIC_RAY", "EDGE", "STREAK", "SPIKE", "INTERPOLATED",
    "DETECTED", "INJECTED",
)  # fmt: skip


def test_the_table_of_planes():
    assert tuple(plane.name for plane in MaskPlane) == NAMES
    assert [plane.bit for plane in MaskPlane] == list(range(len(NAMES)))
    assert len({plane.meaning for plane in MaskPlane}) == len(NAMES)
    flags = [plane.flag for plane in MaskPlane] + [plane.reference_flag for plane in MaskPlane]
    assert len(set(flags)) == 2 * len(NAMES)
    assert max(flags) < 2**32
    assert MaskPlane.DETECTED not in UNUSABLE


def test_names_of_bits_are_the_planes():
    for plane in MaskPlane:
        assert plane_names(plane.flag) == (plane.name,)
        assert plane_names(plane.reference_flag) == (f"{plane.name}_REFERENCE",)
    assert plane_names(0) == ()


def test_a_reference_arrives_on_its_own_planes():
    mask = np.array([[0, MaskPlane.BAD.flag, MaskPlane.EDGE.flag | MaskPlane.BAD.flag]], np.uint32)
    moved = as_reference(mask)
    assert moved.dtype == np.uint32
    assert moved[0, 1] == MaskPlane.BAD.reference_flag
    assert not has_any(moved, MaskPlane.BAD, reference=False).any()
    assert has_any(moved, MaskPlane.BAD).tolist() == [[False, True, True]]
    np.testing.assert_array_equal(as_reference(moved), moved)


def test_union_of_planes():
    both = plane_bits(MaskPlane.BAD, MaskPlane.EDGE, reference=False)
    assert both == MaskPlane.BAD.flag | MaskPlane.EDGE.flag
