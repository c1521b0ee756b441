"""Tiles at the poles, at RA 0, and their size against the survey's field."""

from __future__ import annotations

import numpy as np
import pytest

from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.tiles import (
    FIELDS_PER_SIDE,
    TILE_PATTERN,
    cell_side_deg,
    checked_tile,
    field_tile,
    healpix_order_for,
    healpix_tile,
)


@pytest.mark.parametrize("field_deg", [14.6, 9.6, 2.2, 1.0, 0.3, 0.05, 1e-3, 1e-7])
def test_side_is_at_least_four_fields_and_the_next_order_is_too_small(field_deg: float) -> None:
    order = healpix_order_for(field_deg)
    assert cell_side_deg(order) >= FIELDS_PER_SIDE * field_deg
    assert cell_side_deg(order + 1) < FIELDS_PER_SIDE * field_deg


def test_exact_ratio_is_taken() -> None:
    assert healpix_order_for(cell_side_deg(5) / FIELDS_PER_SIDE) == 5


@pytest.mark.parametrize("field_deg", [0.0, -1.0, 15.0, float("nan")])
def test_impossible_fields_are_refused(field_deg: float) -> None:
    with pytest.raises(ValueError, match="HEALPix"):
        healpix_order_for(field_deg)


@pytest.mark.parametrize("order", [0, 5, 29])
def test_tiles_exist_everywhere_and_are_valid_keys(order: int) -> None:
    for ra, dec in [(0, 90), (0, -90), (123.4, 90), (0, 0), (360, 0), (359.9999999, -66), (0, 66)]:
        tile = healpix_tile(ra, dec, order=order)
        assert TILE_PATTERN.fullmatch(tile)
        prefix, ipix = tile.split("-")
        assert int(prefix) == order
        assert 0 <= int(ipix) < 12 * 4**order


def test_right_ascension_wraps() -> None:
    for dec in np.linspace(-89, 89, 31):
        assert healpix_tile(0, dec, order=6) == healpix_tile(360, dec, order=6)
        assert healpix_tile(-10, dec, order=6) == healpix_tile(350, dec, order=6)


def test_pole_has_one_tile_per_quadrant_at_most() -> None:
    ra = np.linspace(0, 360, 60, endpoint=False)
    assert len({healpix_tile(value, 89.9, order=4) for value in ra}) == 4
    assert len({healpix_tile(value, -89.9, order=4) for value in ra}) == 4


def test_nonsense_positions_are_refused() -> None:
    for ra, dec in [(float("nan"), 0), (0, 90.1), (0, float("nan"))]:
        with pytest.raises(ValueError, match="position"):
            healpix_tile(ra, dec, order=3)


def test_field_tiles_are_joined_and_checked() -> None:
    assert field_tile(["M 31", "c07"]) == "M_31-c07"
    for parts in (["a|b"], ["a/b"], [".."], [""], ["é"], ["x" * 65]):
        with pytest.raises(RejectedFile) as caught:
            field_tile(parts)
        assert caught.value.reason == Reason.BAD_TILE
    assert checked_tile("5-123") == "5-123"
