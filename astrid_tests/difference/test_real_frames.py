"""The DECam frames: a real transient found, a real high-proper-motion star not reported."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.difference.forced import forced_flux
from astrid_assets.difference.subtract import SubtractionSettings, subtract
from astrid_resources.images import ImageMeta, RawExposure
from astrid_resources.images.fits_form import wcs_from_header

TRANSIENT = (318.1080, -66.0157)
DIPOLE_XY = (57.0, 181.0)


def load(folder, name):
    file = f"DEC-OBS{name}.mini.fits"
    with (folder / "decam_2018" / "frames.csv").open() as stream:
        row = next(r for r in csv.DictReader(stream) if r["file"] == file)
    with fits.open(folder / "decam_2018" / file) as hdus:
        data, header = hdus[0].data.astype(np.float32), hdus[0].header
        wcs = wcs_from_header(header)
    gain, saturation = float(row["gain_e_per_adu"]), float(row["saturation_adu"])
    meta = ImageMeta(gain, 7.0, saturation, float(row["exptime_s"]), is_resampled=True)
    return calibrate(RawExposure(data, wcs, meta, is_sky_subtracted=True)).image


@pytest.fixture(scope="module")
def reference(astrid_data):
    return load(astrid_data, "18a")


@pytest.mark.parametrize("name", ["04a", "04b", "04c", "04d", "04e"])
def test_transient_is_accepted_and_the_bright_star_is_not(astrid_data, reference, name):
    science = load(astrid_data, name)
    made = subtract(science, reference)
    assert made.quality.is_passed, made.quality.reasons
    found = find_candidates(made, science)
    accepted = [c for c in found if c.is_accepted]
    ra, dec = TRANSIENT
    near = [
        c
        for c in accepted
        if np.hypot((c.ra - ra) * np.cos(np.radians(dec)), c.dec - dec) * 3600 < 0.5
    ]
    assert len(near) == 1
    assert near[0].snr >= 8
    assert near[0].significance >= 8
    x, y = DIPOLE_XY
    assert not any(np.hypot(c.pixel_x - x, c.pixel_y - y) < 15 for c in accepted)
    assert len(accepted) <= 2


@pytest.mark.parametrize("name", ["04a", "04b", "04c", "04d", "04e"])
def test_a_kernel_from_four_stars_sees_the_transient_as_well(astrid_data, reference, name):
    science = load(astrid_data, name)
    made = subtract(science, reference, settings=SubtractionSettings(algorithm="alard_lupton"))
    assert made.quality.is_passed, made.quality.reasons
    x, y = science.wcs.all_world2pix(*TRANSIENT, 0)
    assert forced_flux(made.difference, x, y).score >= 8
    accepted = [c for c in find_candidates(made, science) if c.is_accepted]
    x, y = DIPOLE_XY
    assert not any(np.hypot(c.pixel_x - x, c.pixel_y - y) < 15 for c in accepted)
    assert len(accepted) <= 3


def test_undeclared_resampling_is_not_scaled(astrid_data, reference):
    science = load(astrid_data, "04a")
    plain = science.with_(meta=replace(science.meta, is_resampled=False))
    other = reference.with_(meta=replace(reference.meta, is_resampled=False))
    made = subtract(plain, other)
    assert made.metrics.noise_scale_factor == 1.0
    scaled = subtract(science, reference)
    assert scaled.metrics.noise_scale_factor == pytest.approx(scaled.metrics.score_std)
