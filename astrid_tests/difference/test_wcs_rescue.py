"""A WCS that is off is corrected by the reference's stars where that is safe, never believed."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from astrid_assets.difference.overlap import NoOverlapError
from astrid_assets.difference.subtract import subtract
from astrid_assets.difference.wcs_rescue import WCSContradictedError, corrected_by_stars
from astrid_assets.difference.wcs_turned import WCSNotTurnableError, turned_wcs
from astrid_assets.imaging.smoothing import within
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import Image, KnownFailure, has_any
from astrid_resources.images.masks import UNUSABLE

SHAPE = (400, 420)
POINTS = np.array([[5.0, 5.0], [415.0, 8.0], [200.0, 390.0], [210.0, 200.0]])


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    made = make_pair(7, SHAPE, n_transients=6, science=Epoch(shape=SHAPE, distortion_pix=2.0))
    return made.science.image(), made.reference.image()


def wrong(
    wcs: WCS, *, arcsec: float = 0.0, towards_deg: float = 0.0, linear: np.ndarray | None = None
) -> WCS:
    out = wcs.deepcopy()
    east, north = (f(np.radians(towards_deg)) * arcsec / 3600 for f in (np.sin, np.cos))
    ra, dec = wcs.wcs.crval
    out.wcs.crval = [ra + east / np.cos(np.radians(dec)), dec + north]
    if linear is not None:
        out.wcs.cd = wcs.wcs.cd @ linear
    out.wcs.set()
    return out


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


def missed_arcsec(wcs: WCS, true: WCS) -> float:
    a, b = (np.column_stack(w.all_pix2world(POINTS[:, 0], POINTS[:, 1], 0)) for w in (wcs, true))
    return float(np.abs((a - b) * 3600).max())


def test_a_right_wcs_stays_as_it_is(pair):
    science, reference = pair
    image, correction = corrected_by_stars(science, reference)
    assert image is science
    assert (correction.arcsec, correction.reason) == (0.0, "")
    assert correction.n_stars >= 10


@pytest.mark.parametrize("towards_deg", [0, 72, 144, 216, 288])
@pytest.mark.parametrize("arcsec", [5.0, 30.0, 60.0])
def test_an_offset_is_corrected(pair, arcsec, towards_deg):
    science, reference = pair
    off = science.with_(wcs=wrong(science.wcs, arcsec=arcsec, towards_deg=towards_deg))
    image, correction = corrected_by_stars(off, reference)
    assert missed_arcsec(image.wcs, science.wcs) < 0.05
    assert correction.arcsec == pytest.approx(arcsec, abs=0.05)
    assert f"{arcsec:.0f}" in f"{float(correction.reason.split('off by ')[1].split()[0]):.0f}"


@pytest.mark.parametrize("linear", [turned(0.5), turned(-0.8), np.eye(2) * 1.008])
def test_a_small_turn_or_stretch_is_corrected(pair, linear):
    science, reference = pair
    image, correction = corrected_by_stars(
        science.with_(wcs=wrong(science.wcs, arcsec=8.0, linear=linear)), reference
    )
    assert missed_arcsec(image.wcs, science.wcs) < 0.05
    assert correction.reason


MIRRORS = (np.diag([-1.0, 1.0]), np.diag([1.0, -1.0]), -np.eye(2))
TURNS_AND_SCALES = (turned(90), turned(5), *(np.eye(2) * scale for scale in (0.5, 0.9, 1.1, 2.0)))


@pytest.mark.parametrize("linear", [*MIRRORS, *TURNS_AND_SCALES])
def test_flips_and_wrong_scales_are_failures_of_the_exposure(pair, linear):
    science, reference = pair
    for arcsec in (0.0, 5.0, 30.0):
        off = science.with_(wcs=wrong(science.wcs, arcsec=arcsec, linear=linear))
        with pytest.raises(WCSContradictedError, match="solve the field's astrometry") as failure:
            subtract(off, reference)
        assert failure.value.numbers["n_stars"] >= 3


def test_a_degree_is_no_overlap_or_a_failure_where_the_field_is_wide():
    science, reference = (
        make_pair(7, SHAPE).science.image(),
        make_pair(7, SHAPE).reference.image(),
    )
    with pytest.raises(NoOverlapError):
        subtract(science.with_(wcs=wrong(science.wcs, arcsec=3600)), reference)
    wide = Epoch(shape=SHAPE, pixel_scale_arcsec=20.0)
    made = make_pair(8, SHAPE, science=wide, reference=wide)
    science, reference = made.science.image(), made.reference.image()
    with pytest.raises(WCSContradictedError):
        subtract(science.with_(wcs=wrong(science.wcs, arcsec=3600)), reference)


def test_another_field_is_never_taken_for_this_one():
    """Also where many stars make chance agreements common."""
    for seed in range(6):
        one, other = (
            make_pair(10 * seed + k, SHAPE, stars_per_mpix=2500.0, galaxies_per_mpix=500.0)
            for k in (0, 1)
        )
        with pytest.raises(KnownFailure):
            corrected_by_stars(one.science.image(), other.reference.image())


@pytest.mark.parametrize("arcsec", [0.0, 1.5])
def test_a_field_that_is_bent_otherwise_is_left_to_the_alignment(arcsec):
    """Distortion of some pixels that the header does not state: no turn or stretch explains it."""
    shape = (1000, 1000)
    made = make_pair(3, shape, science=Epoch(shape=shape, distortion_pix=9.0))
    science, reference = made.science.image(), made.reference.image()
    true = science.wcs
    plain = true.deepcopy()
    plain.sip = None
    plain.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    image, correction = corrected_by_stars(
        science.with_(wcs=wrong(plain, arcsec=arcsec)), reference
    )
    assert correction.n_stars >= 10
    middle = np.array([[500.0, 500.0]])
    a, b = (np.column_stack(w.all_pix2world(*middle.T, 0)) for w in (image.wcs, true))
    assert np.abs((a - b) * 3600).max() < 0.5


def test_the_difference_of_a_corrected_exposure_is_that_of_a_right_one(pair):
    science, reference = pair
    right = subtract(science, reference)
    off = subtract(science.with_(wcs=wrong(science.wcs, arcsec=30, towards_deg=40)), reference)
    assert off.metrics.wcs_correction_arcsec == pytest.approx(30, abs=0.05)
    assert any("the WCS was off by" in note for note in off.quality.notes)
    assert right.metrics.wcs_correction_arcsec == 0
    assert off.difference.image.shape == science.shape
    assert missed_arcsec(off.difference.image.wcs, science.wcs) < 0.05
    assert off.metrics.score_std == pytest.approx(right.metrics.score_std, abs=0.01)
    lost = has_any(off.difference.image.mask | right.difference.image.mask, *UNUSABLE)
    clean = ~within(lost, 2 * right.metrics.fwhm_difference_pix)
    fluxes = [made.difference.psf_flux[clean] for made in (off, right)]
    assert clean.mean() > 0.7
    assert np.corrcoef(*fluxes)[0, 1] > 0.999


@pytest.mark.parametrize(("ra", "dec"), [(0.0001, 2.0), (359.9999, -60.0), (30.0, 89.95)])
@pytest.mark.parametrize("ctype", ["TAN", "SIN", "ZEA"])
def test_turning_is_right_everywhere_on_the_sky(ra, dec, ctype):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{ctype}", f"DEC--{ctype}"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [3000.0, -2000.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    wcs.wcs.set()
    at = np.random.default_rng(1).uniform(0, 1000, (12, 2))
    target = wcs.deepcopy()
    target.wcs.crval = [ra + 0.01 / np.cos(np.radians(dec)), dec - 0.01]
    target.wcs.set()
    goal = np.column_stack(target.all_pix2world(at[:, 0], at[:, 1], 0))
    found = turned_wcs(wcs, at, goal, turn_max_deg=180, scale_off_max=0.02)
    x, y = target.all_world2pix(*found.all_pix2world(at[:, 0], at[:, 1], 0), 0)
    assert np.abs(np.column_stack([x, y]) - at).max() < 1e-4


def test_what_cannot_be_turned_says_so():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---CAR", "DEC--CAR"], [10.0, 40.0]
    wcs.wcs.cdelt = [-1e-3, 1e-3]
    wcs.wcs.set()
    at = np.random.default_rng(1).uniform(0, 3000, (12, 2))
    sky = np.column_stack(wcs.all_pix2world(at[:, 0], at[:, 1], 0))
    plane = WCS(naxis=2)
    plane.wcs.ctype, plane.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, 40.0]
    plane.wcs.cd = turned(30) @ np.diag([-1e-3, 1e-3])
    elsewhere = np.column_stack(plane.all_pix2world(at[:, 0], at[:, 1], 0))
    with pytest.raises(WCSNotTurnableError, match="CAR"):
        turned_wcs(wcs, at, elsewhere, turn_max_deg=180, scale_off_max=1.0)
    stretched = sky.mean(axis=0) + (sky - sky.mean(axis=0)) * 1.5
    with pytest.raises(WCSNotTurnableError, match="another pixel scale"):
        turned_wcs(wcs, at, stretched, turn_max_deg=1, scale_off_max=0.02)
