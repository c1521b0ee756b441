"""Pictures: right colours, no source lost when shrunk, the same bytes every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from astrid_assets.imaging.figures import Circle, panel, preview_png, shrunk, stamp_png


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(imread(io.BytesIO(png), format="png"))


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(3).normal(100, 5, (65, 63)).astype(np.float32)


def test_a_preview_depends_on_its_arguments_alone(noise) -> None:
    arguments = (noise, noise, noise - 100, (noise - 100) / 5)
    circles = [Circle(10, 20, "accepted", "a"), Circle(40, 20, "rejected", "r")]
    one = preview_png(*arguments, circles=circles, title="t")
    assert one == preview_png(*arguments, circles=circles, title="t")
    assert one != preview_png(*arguments, title="t")


def test_a_preview_without_reference_is_made(noise) -> None:
    height, width = pixels(preview_png(noise, None, None, None)).shape[:2]
    assert 3 < width / height < 4.5


def test_empty_masked_and_flat_images_are_drawn() -> None:
    dark = np.full((20, 21), np.nan, np.float32)
    flat = np.zeros((20, 21), np.float32)
    assert preview_png(dark, flat, flat, flat, unusable=np.ones((20, 21), bool))


def test_a_large_image_keeps_its_single_bright_pixel() -> None:
    data = np.random.default_rng(0).normal(0, 1, (1001, 999)).astype(np.float32)
    data[500, 700], data[100, 30] = 50, -50
    small, factor = shrunk(data, max_size_pix=256)
    assert factor == 4
    assert small.shape == (251, 250)
    assert (small[125, 175], small[25, 7]) == (50, -50)
    quiet = np.abs(small) < 5
    assert small[quiet].std() == pytest.approx(1 / factor, rel=0.05)


def test_a_stamp_shows_y_upwards_and_red_as_positive() -> None:
    score = np.zeros((63, 63), np.float32)
    score[50:55, 10:15] = 20
    image = pixels(stamp_png(score, "score", size_px=63))
    assert image.shape[:2] == (63, 63)
    red, _, blue = image[62 - 52, 12, :3]
    assert red > blue + 0.2


def test_a_stamp_is_bright_where_the_sky_is(noise) -> None:
    source = noise.copy()
    source[30:34, 30:34] += 500
    assert panel(source, "science")[0][32, 32] > 0.9
    assert np.median(panel(source, "science")[0]) < 0.6


def test_unknown_kinds_are_refused(noise) -> None:
    with pytest.raises(ValueError, match="difference"):
        stamp_png(noise, "other")
    with pytest.raises(ValueError, match="accepted"):
        Circle(1, 1, "other")
