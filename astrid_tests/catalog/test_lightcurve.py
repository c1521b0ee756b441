"""Forced light curves: frozen positions, coverage, units, baselines between reference versions."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from matplotlib.image import imread

from astrid_assets.catalog.association import separation_arcsec
from astrid_assets.catalog.figures import light_curve_png
from astrid_assets.catalog.lightcurve import (
    LightCurvePoint,
    baselines,
    forced_point,
    frozen_position,
    pixel_position,
    reference_flux,
    summarise,
)
from astrid_resources.images import DifferenceImage, Image, ImageMeta, MaskPlane, PSFModel
from astrid_tests.catalog.test_association import CENTRES, make, offset
from astrid_tests.catalog.world import PIXEL_ARCSEC, SIZE, gaussian, tan_wcs


def image(ra, dec, *, data=None, zero_point=None, mask=0) -> Image:
    data = np.zeros((SIZE, SIZE), np.float32) if data is None else data
    psf = PSFModel.constant(gaussian(24, 24)[9:40, 9:40], shape=(SIZE, SIZE))
    return Image(
        data,
        np.full((SIZE, SIZE), 4.0),
        np.full((SIZE, SIZE), mask, np.uint32),
        tan_wcs(ra, dec),
        ImageMeta(1.0, 5.0, 6e4, zero_point_ab_mag=zero_point, zero_point_err=0.02),
        psf=psf,
    )


def difference(ra, dec, *, flux=1000.0, x=23.5, y=23.5, error=100.0, **kwargs) -> DifferenceImage:
    plane = flux * gaussian(x, y, 2.1)
    return DifferenceImage(
        image(ra, dec, **kwargs), plane / error, plane, np.full_like(plane, error), 1.0, "zogy"
    )


@pytest.mark.parametrize("centre", CENTRES)
def test_the_frozen_position_is_the_weighted_mean_in_any_order(centre) -> None:
    members = make([offset(*centre, 0.0, 0.0), offset(*centre, 0.3, 0.0), offset(*centre, 0, 0.6)])
    positions = {
        (p.ra, p.dec, p.error_arcsec)
        for order in itertools.permutations(range(3))
        for p in [frozen_position(members.take(order))]
    }
    assert len(positions) == 1
    ((ra, dec, error),) = positions
    assert separation_arcsec(ra, dec, *offset(*centre, 0.1, 0.2)) < 1e-6
    assert error == pytest.approx(0.1 / np.sqrt(3))
    assert 0 <= ra < 360


def test_a_precise_detection_weighs_more() -> None:
    members = make([(10.0, 0.0), offset(10.0, 0.0, 1.0, 0.0)], error=np.array([0.1, 0.3]))
    place = frozen_position(members)
    assert separation_arcsec(place.ra, place.dec, 10.0, 0.0) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("centre", CENTRES)
def test_a_position_is_found_on_the_image_or_is_off_it(centre) -> None:
    wcs, half = tan_wcs(*centre), SIZE * PIXEL_ARCSEC / 2
    place = pixel_position(wcs, (SIZE, SIZE), *offset(*centre, -1.0, 2.0))
    assert place == pytest.approx((23.5 + 2, 23.5 + 4), abs=1e-3)
    assert pixel_position(wcs, (SIZE, SIZE), *offset(*centre, 0, half + 0.1)) is None
    assert pixel_position(wcs, (SIZE, SIZE), *offset(*centre, 0, half - 0.1)) is not None
    assert pixel_position(wcs, (SIZE, SIZE), (centre[0] + 180) % 360, -centre[1]) is None


def test_a_forced_point_has_its_units_and_limit() -> None:
    place = offset(10.0, 20.0, 0, 0)
    point = forced_point(difference(10.0, 20.0, zero_point=30.0), ra=place[0], dec=place[1])
    assert point.flux_adu == pytest.approx(1000, rel=0.01)
    assert point.flux_njy == pytest.approx(point.flux_adu * 10**0.56)
    assert point.limiting_mag_5sigma == pytest.approx(30 - 2.5 * np.log10(500))
    assert (point.is_detection, point.flags) == (True, ())


def test_faint_negative_masked_and_uncovered_positions() -> None:
    faint = forced_point(difference(10.0, 20.0, flux=400), ra=10.0, dec=20.0)
    assert (faint.is_detection, faint.flags) == (False, ("uncalibrated",))
    assert (faint.flux_njy, faint.limiting_mag_5sigma) == (None, None)
    faded = forced_point(difference(10.0, 20.0, flux=-900), ra=10.0, dec=20.0)
    assert faded.is_detection
    masked = forced_point(difference(10, 20, mask=MaskPlane.SATURATED.flag), ra=10.0, dec=20.0)
    assert not masked.is_detection
    assert "masked" in masked.flags
    empty = difference(10, 20, mask=MaskPlane.NO_DATA.reference_flag)
    assert forced_point(empty, ra=10.0, dec=20.0) is None
    assert forced_point(difference(10.0, 20.0), ra=10.1, dec=20.0) is None


def test_the_reference_flux_is_measured_or_absent() -> None:
    star = 500 * gaussian(23.5, 23.5) / gaussian(23.5, 23.5).sum()
    found = reference_flux(image(10.0, 20.0, data=star), ra=10.0, dec=20.0)
    assert found.flux_adu == pytest.approx(500, rel=0.02)
    assert 0 < found.flux_adu_error < 50
    assert reference_flux(image(10, 20, mask=MaskPlane.NO_DATA.flag), ra=10.0, dec=20.0) is None
    assert reference_flux(image(10, 20), ra=11.0, dec=20.0) is None


def point(
    index=0, *, band="i", version="v1", flux=1000.0, error=50.0, scale=None, reference=200.0
) -> LightCurvePoint:
    return LightCurvePoint(
        observation_id=f"o{index}",
        difference_run_id=f"r{index}",
        reference_image_id=version,
        mjd_mid_tai=58334.0 + index,
        band=band,
        flux_adu=flux,
        flux_adu_error=error,
        flux_njy=None if scale is None else flux * scale,
        flux_njy_error=None if scale is None else error * scale,
        reference_flux_adu=reference,
        reference_flux_adu_error=10.0,
        limiting_mag_5sigma=None,
        significance=flux / error,
        flags=(),
        is_detection=flux >= 5 * error,
    )


def test_reference_versions_join_by_their_own_flux_where_calibrated() -> None:
    points = [
        point(0, scale=2.0),
        point(1, scale=2.0),
        point(2, version="v2", flux=900.0, scale=2.0, reference=300.0),
        point(3, band="r", version="v3"),
    ]
    anchor, second, red = baselines(points)
    assert (anchor.reference_image_id, anchor.offset_njy) == ("v1", 0.0)
    assert second.offset_njy == pytest.approx(200.0)
    true_total = 1000 * 2.0
    assert points[2].flux_njy + second.offset_njy == pytest.approx(true_total)
    assert (red.band, red.n_points, red.offset_njy) == ("r", 1, 0.0)


def test_uncalibrated_versions_are_never_mixed() -> None:
    offsets = [item.offset_njy for item in baselines([point(0), point(1, version="v2")])]
    assert offsets == [0.0, None]


def test_a_summary_tells_the_brightest_and_the_last() -> None:
    summary = summarise([point(0), point(1, flux=2000), point(2, flux=10)])["i"]
    assert (summary["n_points"], summary["n_detections"]) == (3, 2)
    assert summary["brightest"]["snr"] == 40
    assert summary["last"]["flux_adu"] == 10
    assert summarise([]) == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_light_curve_is_drawn_the_same_each_time(theme) -> None:
    points = [point(0), point(1, flux=30), point(2, version="v2"), point(3, band="r", scale=2)]
    png = light_curve_png(points, theme=theme)
    assert png == light_curve_png(points, theme=theme)
    drawn = np.asarray(imread(io.BytesIO(png), format="png"))
    assert drawn[2, 2, 3] == 0  # the page shows through
    assert (drawn[..., 3] > 0.5).any()
    assert light_curve_png(points[:1], theme=theme) != png
    with pytest.raises(ValueError, match="without points"):
        light_curve_png([])
