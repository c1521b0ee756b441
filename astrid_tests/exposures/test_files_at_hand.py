"""Images opened on the command line, and the demo frames found on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.exposures.demo_data import (
    DemoFramesUnavailableError,
    demo_frames,
    demo_registry,
)
from astrid_assets.exposures.open_image import open_raw
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_tests.exposures.fits_files import SIDE, header, hostile, image, pixels, write


def test_a_detrended_image_opens_with_its_facts(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path / "a.fits", image(1)))
    assert (raw.meta.gain_e_per_adu, raw.meta.read_noise_e) == (2.0, 5.0)
    assert raw.meta.saturation_adu == 60000.0
    assert raw.meta.filter_band == "r"
    assert raw.wcs.array_shape == (SIDE, SIDE)
    np.testing.assert_array_equal(raw.data, pixels(1))
    assert raw.bad is None
    assert raw.variance is None


def test_a_bare_image_needs_only_wcs_and_noise(tmp_path: Path) -> None:
    bare = image(1, FILTER=None, EXPTIME=None, TIMESYS=None, **{"DATE-OBS": None})
    raw = open_raw(write(tmp_path / "a.fits", bare))
    assert raw.meta.exposure_time_s is None
    assert raw.meta.mjd_mid_tai is None
    for key in ("GAIN", "RDNOISE", "SATURATE"):
        with pytest.raises(RejectedFile) as caught:
            open_raw(write(tmp_path / "b.fits", image(1, **{key: None})))
        assert caught.value.reason == Reason.MISSING_VALUE


def test_a_mask_file_marks_bad_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", image(1))
    mask = np.zeros((SIDE, SIDE), np.int16)
    mask[4, 9] = 2
    where = write(tmp_path / "m.fits", fits.PrimaryHDU(mask))
    raw = open_raw(path, mask_path=where)
    assert raw.bad is not None
    assert np.argwhere(raw.bad).tolist() == [[4, 9]]
    small = write(tmp_path / "s.fits", fits.PrimaryHDU(mask[:20]))
    with pytest.raises(RejectedFile) as caught:
        open_raw(path, mask_path=small)
    assert caught.value.reason == Reason.SHAPE_MISMATCH


def test_var_and_mask_replace_the_noise_cards(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    side, gain, read_noise = 200, 2.5, 9.0
    y, x = np.mgrid[:side, :side]
    truth = 500 + 2e4 * np.exp(-np.hypot(x - 100, y - 90) / 9)
    variance = truth / gain + (read_noise / gain) ** 2
    data = truth + rng.normal(size=truth.shape) * np.sqrt(variance)
    top = header(GAIN=None, RDNOISE=None, SATURATE=None)
    path = write(
        tmp_path / "a.fits",
        fits.PrimaryHDU(data.astype("f4"), top),
        fits.ImageHDU(variance.astype("f4"), name="VAR"),
        fits.ImageHDU((data > 15000).astype("u1"), name="MASK"),
    )
    raw = open_raw(path)
    assert raw.variance is not None
    assert raw.meta.gain_e_per_adu == pytest.approx(gain, rel=0.02)
    assert raw.meta.read_noise_e == pytest.approx(read_noise, rel=0.2)
    assert data[data <= 15000].max() < raw.meta.saturation_adu <= 15001
    assert "fitted to the variance plane" in str(raw.header["HISTORY"])


@pytest.mark.parametrize("name", ["text.fits", "truncated.fits", "cube.fits", "bomb.fits.gz"])
def test_the_same_checks_hold_for_files_at_hand(name: str, tmp_path: Path) -> None:
    content, reason = hostile()[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RejectedFile) as caught:
        open_raw(path)
    assert caught.value.reason == Reason(reason)


def test_one_of_several_images_must_be_chosen(tmp_path: Path) -> None:
    hdus = [fits.ImageHDU(pixels(n), header(), name=f"CCD{n}") for n in (1, 2)]
    path = write(tmp_path / "m.fits", fits.PrimaryHDU(), *hdus)
    with pytest.raises(RejectedFile, match=r"1 \(CCD1\), 2 \(CCD2\)"):
        open_raw(path)
    np.testing.assert_array_equal(open_raw(path, hdu=2).data, pixels(2))


def test_a_demo_frame_is_recognised_by_its_hash(astrid_data: Path) -> None:
    raw = open_raw(astrid_data / "decam_2018" / "DEC-OBS18a.mini.fits")
    assert raw.is_sky_subtracted
    assert raw.meta.is_resampled
    assert raw.header["DATE-OBS"] == "2016-08-18T04:33:31"
    assert raw.meta.gain_e_per_adu == 4.1505
    assert "CHECKSUM" in str(raw.header["HISTORY"][-1])


def test_demo_frames_are_found_verified_and_never_written(
    astrid_data: Path, tmp_path: Path
) -> None:
    found = demo_frames(data_folder=astrid_data, cache=tmp_path, may_download=False)
    assert len(found) == 10
    assert {path.name for path in found} == set(demo_registry())
    assert not list(tmp_path.iterdir())
    damaged = tmp_path / "data" / "decam_2018"
    shutil.copytree(astrid_data / "decam_2018", damaged, copy_function=shutil.copyfile)
    damaged.chmod(0o755)
    (damaged / found[0].name).write_bytes(b"damaged")
    with pytest.raises(DemoFramesUnavailableError, match="1 of the demo frames"):
        demo_frames(data_folder=tmp_path / "data", cache=tmp_path / "c", may_download=False)
    cache = tmp_path / "c"
    cache.mkdir()
    shutil.copyfile(found[0], cache / found[0].name)
    got = demo_frames(data_folder=tmp_path / "data", cache=cache, may_download=False)
    assert got[0].parent == cache


def test_absent_demo_frames_are_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DemoFramesUnavailableError, match="10 of the demo frames"):
        demo_frames(data_folder=tmp_path, cache=tmp_path, may_download=False)
