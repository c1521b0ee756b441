"""The real DECam frames: calibrated and coadded, blank sky is blank and stars keep their cores."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.calibration.calibrate import Calibration, calibrate
from astrid_assets.reference.coadd import coadd
from astrid_resources.images import Image, ImageMeta, MaskPlane, RawExposure, has_any
from astrid_resources.images.fits_form import wcs_from_header

STARS = ((57, 181), (101, 73), (104, 234), (178, 203), (4, 126))
GALAXY = (129, 128)
REFERENCE_SHA256 = "0764386079f121ce18ca465781d6313292bac9e8e396ecb5bc2d09e864669cde"


@pytest.fixture(scope="module")
def calibrated(astrid_data: Path) -> dict[str, tuple[Calibration, dict[str, str]]]:
    folder = astrid_data / "decam_2018"
    if not folder.is_dir():
        pytest.skip(f"the demo frames are not in {astrid_data}")
    first = (folder / "DEC-OBS18a.mini.fits").read_bytes()
    assert hashlib.sha256(first).hexdigest() == REFERENCE_SHA256
    made: dict[str, tuple[Calibration, dict[str, str]]] = {}
    with (folder / "frames.csv").open() as table:
        for row in csv.DictReader(table):
            with fits.open(folder / row["file"]) as hdus:
                header, data = hdus[0].header, hdus[0].data.astype(np.float32)
            meta = ImageMeta(
                float(row["gain_e_per_adu"]),
                float(header["RDNOISE"]),
                float(row["saturation_adu"]),
                float(row["exptime_s"]),
                filter_band=row["filter"],
                survey="decam_demo",
                observation_id=row["exposure"],
                is_resampled="04a" not in row["file"],
            )
            raw = RawExposure(
                data, wcs_from_header(header), meta, header=header, is_sky_subtracted=True
            )
            made[row["file"].partition(".")[0]] = (calibrate(raw), row)
    return made


def _core(image: Image, x: int, y: int) -> np.ndarray:
    return image.mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]


def test_ten_frames_pass_with_their_published_seeing_and_noise(calibrated) -> None:
    assert len(calibrated) == 10
    for calibration, row in calibrated.values():
        metrics = calibration.metrics
        assert calibration.passed, calibration.reasons
        assert metrics.psf_fwhm_pix == pytest.approx(float(row["fwhm_pix"]), rel=0.12)
        assert metrics.sky_sigma_adu == pytest.approx(float(row["noise_adu"]), rel=0.10)
        assert metrics.n_psf_stars >= 4
        assert metrics.pixel_scale_arcsec == pytest.approx(0.262, abs=0.002)
        assert metrics.saturation_level_adu < float(row["saturation_adu"]) - 2000
        assert calibration.image.meta.zero_point_ab_mag is None
        assert metrics.limiting_mag_5sigma is None


def test_blank_sky_is_blank(calibrated) -> None:
    for calibration, _ in calibrated.values():
        metrics = calibration.metrics
        assert metrics.blank_std == pytest.approx(1, abs=0.05)
        assert abs(metrics.blank_median) < 0.03
        assert abs(metrics.flux_median_sigma) < 0.3
        assert 0.9 < metrics.noise_correlation < 1.3


def test_hits_are_masked_and_cores_are_not(calibrated) -> None:
    for calibration, _ in calibrated.values():
        for x, y in (*STARS, GALAXY):
            core = _core(calibration.image, x, y)
            assert not has_any(core, MaskPlane.COSMIC_RAY, MaskPlane.SATURATED).any()
    track = calibrated["DEC-OBS04e"][0].image.mask[45:90, 65:95]
    assert has_any(track, MaskPlane.COSMIC_RAY).sum() > 150


def test_the_reference_is_deeper_and_clean(calibrated) -> None:
    inputs = [c.image for key, (c, _) in calibrated.items() if "OBS18" in key]
    best = min(
        c.metrics.flux_limit_5sigma_adu for key, (c, _) in calibrated.items() if "OBS18" in key
    )
    made = coadd(inputs)
    assert made.n_inputs == 5
    assert made.image.shape == (256, 256)
    assert made.coverage_fraction == 1.0
    assert made.flux_limit_5sigma_adu < 0.6 * best
    assert made.blank.std == pytest.approx(1, abs=0.05)
    assert abs(made.blank.median) < 0.03
    for entry in made.inputs:
        assert entry.relative.flux_ratio == pytest.approx(1, abs=0.05)
        assert np.hypot(*entry.relative.shift_pix) < 0.1
    for x, y in (*STARS, GALAXY):
        assert (made.coverage[y - 1 : y + 2, max(x - 1, 0) : x + 2] == 5).all()
