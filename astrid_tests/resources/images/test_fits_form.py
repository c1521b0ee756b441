"""The FITS form: what is written is read again, byte-reproducibly, with any distortion."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from astrid_resources.images import (
    DifferenceImage,
    Image,
    ImageMeta,
    MaskPlane,
    PSFModel,
    RawExposure,
    read_difference,
    read_image,
    write_difference,
    write_image,
)
from astrid_resources.images.fits_form import wcs_from_header

SHAPE = (60, 80)
META = ImageMeta(
    4.0, 7.0, 45000.0, 80.0, 58334.1, "i", "decam", "o", "p", 30.1, 0.02, 12.0, True, True
)


def header_of(kind: str) -> fits.Header:
    """A header with a linear, SIP or TPV projection around RA 0 at Dec −66."""
    suffix = {"linear": "", "sip": "-SIP", "tpv": ""}[kind]
    projection = "TPV" if kind == "tpv" else "TAN"
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = f"RA---{projection}{suffix}", f"DEC--{projection}{suffix}"
    header["CRVAL1"], header["CRVAL2"] = 0.001, -66.0
    header["CRPIX1"], header["CRPIX2"] = 40.5, 30.5
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -7e-5, 1e-6, 2e-6, 7e-5
    if kind == "sip":
        header["A_ORDER"], header["B_ORDER"] = 2, 2
        header["A_2_0"], header["B_1_1"] = 3e-4, -2e-4
    if kind == "tpv":
        header["PV1_0"], header["PV1_1"], header["PV1_2"] = 1e-5, 1.01, 1e-3
        header["PV2_0"], header["PV2_1"], header["PV2_2"] = -1e-5, 0.99, 2e-3
    return header


def image_of(kind: str = "linear", *, seed: int = 1, psf: bool = True) -> Image:
    rng = np.random.default_rng(seed)
    header = header_of(kind)
    header["OBSERVER"] = "Ada"
    header["HISTORY"] = "flat-fielded"
    stamp = np.exp(-(np.hypot(*(np.mgrid[:11, :11] - 5)) ** 2) / 4)
    return Image(
        rng.normal(0, 5, SHAPE),
        np.full(SHAPE, 25.0),
        rng.integers(0, 2, SHAPE) * (MaskPlane.BAD.flag | MaskPlane.EDGE.reference_flag),
        wcs_from_header(header),
        META,
        psf=PSFModel.constant(stamp, shape=SHAPE) if psf else None,
        header=header,
    )


def written(image: Image) -> bytes:
    stream = io.BytesIO()
    write_image(image, stream)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["linear", "sip", "tpv"])
@pytest.mark.parametrize("psf", [True, False])
def test_round_trip(kind: str, psf: bool, tmp_path: Path):
    image = image_of(kind, psf=psf)
    path = tmp_path / "image.fits"
    write_image(image, path)
    back = read_image(path)
    for name in ("data", "variance", "mask"):
        np.testing.assert_array_equal(getattr(back, name), getattr(image, name))
    assert back.meta == META
    assert back.header["OBSERVER"] == "Ada"
    assert list(back.header["HISTORY"]) == ["flat-fielded"]
    assert (back.psf is None) is not psf
    if psf:
        np.testing.assert_array_equal(back.psf.stamps, image.psf.stamps)
    y, x = np.mgrid[: SHAPE[0] : 7, : SHAPE[1] : 7]
    before, after = image.wcs.pixel_to_world(x, y), back.wcs.pixel_to_world(x, y)
    assert before.separation(after).arcsec.max() < 1e-6


def test_distortion_is_real_in_the_fixtures():
    plain = image_of().wcs.pixel_to_world(0, 0)
    for kind in ("sip", "tpv"):
        assert plain.separation(image_of(kind).wcs.pixel_to_world(0, 0)).arcsec > 0.05


@pytest.mark.parametrize("kind", ["linear", "sip", "tpv"])
def test_equal_images_give_equal_bytes(kind: str, monkeypatch: pytest.MonkeyPatch):
    first = written(image_of(kind))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400 * 40)
    assert written(image_of(kind)) == first
    assert written(image_of(kind, seed=2)) != first


@pytest.mark.parametrize("kind", ["linear", "sip", "tpv"])
def test_what_was_read_is_written_to_the_same_bytes(kind: str):
    first = written(image_of(kind))
    assert written(read_image(io.BytesIO(first))) == first


def test_the_file_is_what_astronomers_expect():
    with fits.open(io.BytesIO(written(image_of())), checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "VAR", "MASK", "PSF"]
        assert hdus[0].data is None
        assert (hdus["SCI"].header["BUNIT"], hdus["VAR"].header["BUNIT"]) == ("adu", "adu2")
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
        assert hdus["SCI"].header["TIMESYS"] == "TAI"
        assert hdus["SCI"].header["RADESYS"] == "ICRS"
        assert hdus["MASK"].header["MP_03"] == "COSMIC_RAY"
        assert hdus["SCI"].data.dtype == np.dtype(">f4")
        assert not {"DATE", "DATE-OBS"} & set(hdus[0].header)


def test_the_time_is_the_exposure_s_not_its_wcs_header_s():
    header = header_of("tpv")
    header["MJD-AVG"], header["DATE-OBS"] = 57000.0, "2014-12-09T00:00:00"
    image = image_of().with_(wcs=wcs_from_header(header), header=header)
    with fits.open(io.BytesIO(written(image))) as hdus:
        assert hdus["SCI"].header["MJD-AVG"] == META.mjd_mid_tai
        assert "MJD-AVG" not in hdus["VAR"].header
        assert hdus["SCI"].header.get("DATE-OBS") != header["DATE-OBS"], "it was not in TAI"
        shown = Time(hdus["SCI"].header["DATE-AVG"], scale="tai").mjd
        assert abs(shown - META.mjd_mid_tai) * 86400 < 1e-3
    assert read_image(io.BytesIO(written(image))).meta == META


@pytest.mark.parametrize("extension", [1, 2, 3, 4])
def test_a_damaged_product_is_refused(extension: int):
    content = bytearray(written(image_of()))
    with fits.open(io.BytesIO(bytes(content))) as hdus:
        place = hdus.info(output=False) and hdus[extension].fileinfo()["datLoc"]
    content[place + 5] ^= 0x10
    with pytest.raises(ValueError, match="damaged"):
        read_image(io.BytesIO(bytes(content)))


def test_a_truncated_product_is_refused():
    content = written(image_of())
    for length in (len(content) - 2880, len(content) // 2, 3000, 100, 0):
        with pytest.raises(ValueError, match="damaged"):
            read_image(io.BytesIO(content[:length]))


def test_a_changed_header_is_refused():
    content = written(image_of()).replace(
        b"GAIN    =                  4.0", b"GAIN    =                  5.0"
    )
    with pytest.raises(ValueError, match="wrong checksum of SCI"):
        read_image(io.BytesIO(content))


def test_a_difference_round_trip(tmp_path: Path):
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=SHAPE).astype(np.float32) for _ in range(3)]
    difference = DifferenceImage(image_of("tpv"), *maps, 1.07, "zogy")
    path = tmp_path / "difference.fits"
    write_difference(difference, path)
    back = read_difference(path)
    for name in ("score_corrected", "psf_flux", "psf_flux_error"):
        np.testing.assert_array_equal(getattr(back, name), getattr(difference, name))
    assert (back.noise_scale_factor, back.algorithm) == (1.07, "zogy")
    again = tmp_path / "again.fits"
    write_difference(back, again)
    assert again.read_bytes() == path.read_bytes()


def test_arrays_are_settled_once_and_read_only():
    data = np.arange(SHAPE[0] * SHAPE[1], dtype=">f8").reshape(SHAPE[::-1]).T
    image = image_of().with_(data=data)
    assert image.data.dtype == np.float32
    assert image.data.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0] = 1
    with pytest.raises(AttributeError):
        image.data = data  # type: ignore[misc]
    data[0, 0] = 99
    own = np.zeros(SHAPE, np.float32)
    raw = RawExposure(own, WCS(naxis=2), META)
    own[0, 0] = 1
    assert own.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        raw.data[0, 0] = 1


@pytest.mark.parametrize("name", ["variance", "mask"])
def test_planes_of_another_shape_are_refused(name: str):
    with pytest.raises(ValueError, match=f"{name} must be 2-D"):
        image_of().with_(**{name: np.zeros((3, 4))})


def test_ccddata_both_ways():
    image = image_of()
    ccd = image.to_ccddata()
    back = Image.from_ccddata(ccd, meta=META, psf=image.psf)
    np.testing.assert_array_equal(back.data, image.data)
    np.testing.assert_array_equal(back.variance, image.variance)
    np.testing.assert_array_equal(back.mask != 0, image.mask != 0)
    ccd.data[2, 3] = np.nan
    spoilt = Image.from_ccddata(ccd, meta=META)
    assert np.isfinite(spoilt.data).all()
    assert spoilt.mask[2, 3] == MaskPlane.BAD.flag
    ccd.uncertainty = None
    with pytest.raises(ValueError, match="uncertainty"):
        Image.from_ccddata(ccd, meta=META)
