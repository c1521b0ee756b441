"""The first look at untrusted files, and their decoding in a limited child process."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.exposures.decode import Decoder, read_in_process
from astrid_assets.exposures.file_limits import DecodeLimits
from astrid_assets.exposures.prescan import prescan, require_checksums
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_tests.exposures.fits_files import SIDE, as_bytes, header, hostile, image, pixels, write

HOSTILE = hostile()


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_every_bad_file_has_its_own_reason(name: str, tmp_path: Path, decoder: Decoder) -> None:
    content, reason = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content)

    def look() -> None:
        require_checksums(prescan(path))
        decoder.inspect(path)

    with pytest.raises(RejectedFile) as caught:
        look()
    assert caught.value.reason == Reason(reason), caught.value.message
    assert len(caught.value.message) > 20
    assert str(tmp_path) not in caught.value.message


def test_reasons_say_what_a_person_can_do(tmp_path: Path) -> None:
    path = tmp_path / "page.fits"
    path.write_bytes(HOSTILE["page.fits"][0])
    with pytest.raises(RejectedFile, match="HTML or XML page"):
        prescan(path)
    path.write_bytes(HOSTILE["text.fits"][0])
    with pytest.raises(RejectedFile, match="plain text beginning 'Dear observer"):
        prescan(path)
    path.write_bytes(HOSTILE["tall.fits"][0])
    with pytest.raises(RejectedFile, match="declares 400000000 bytes of data, of which 0"):
        prescan(path)


@pytest.mark.parametrize("content", [*(HOSTILE[n][0] for n in ("huge.fits", "bomb.fits.gz"))])
def test_declared_sizes_cost_nothing(content: bytes, tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x.fits"
    path.write_bytes(content)
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(RejectedFile):
        prescan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
    assert time.monotonic() - started < 10


def test_any_damaged_byte_breaks_the_checksum(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    good = as_bytes(image(1), fits.ImageHDU(pixels(2), header(), name="VAR"), checksum=True)
    path = tmp_path / "x.fits"
    path.write_bytes(good)
    require_checksums(prescan(path))
    data_at = len(good) - 2 * 8640 + 2880
    for position in rng.integers(data_at, data_at + SIDE * SIDE * 2, 20):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        assert prescan(path).has_wrong_checksum


def test_our_sums_agree_with_astropy_for_compressed_and_gzip_files(tmp_path: Path) -> None:
    compressed = fits.CompImageHDU(pixels(1), header(), compression_type="RICE_1")
    content = as_bytes(fits.PrimaryHDU(), compressed, checksum=True)
    for name, stored in (("c.fits.fz", content), ("c.fits.gz", gzip.compress(content))):
        path = tmp_path / name
        path.write_bytes(stored)
        scan = prescan(path)
        assert not scan.has_wrong_checksum
        assert scan.hdus[1].shape == (SIDE, SIDE)
        assert scan.hdus[1].is_compressed_image


def test_tile_compressed_bomb_is_refused_by_its_declared_pixels(tmp_path: Path) -> None:
    hdu = fits.CompImageHDU(np.zeros((64, 64), np.int16), compression_type="GZIP_2")
    content = as_bytes(fits.PrimaryHDU(), hdu).replace(
        b"ZNAXIS1 =                   64", b"ZNAXIS1 =              6400000"
    )
    path = tmp_path / "x.fits"
    path.write_bytes(content)
    with pytest.raises(RejectedFile) as caught:
        prescan(path)
    assert caught.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">i4", "u1", "uint16", "uint32"])
def test_every_pixel_type_becomes_native_float32(
    dtype: str, tmp_path: Path, decoder: Decoder
) -> None:
    data = (pixels(4) + 40).astype(dtype)
    path = write(tmp_path / "x.fits", fits.PrimaryHDU(data, header()))
    got = decoder.read(path).images[0].data
    assert got.dtype == np.dtype("float32")
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, data.astype(np.float32))


def test_unsigned_integers_above_the_sign_bit_survive(tmp_path: Path, decoder: Decoder) -> None:
    data = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    path = write(tmp_path / "x.fits", fits.PrimaryHDU(data, header()))
    assert fits.getheader(path)["BZERO"] == 32768
    np.testing.assert_array_equal(decoder.read(path).images[0].data, data.astype(np.float32))


def test_blank_and_infinite_pixels_become_nan(tmp_path: Path, decoder: Decoder) -> None:
    data = pixels(5).astype(np.int16)
    data[3, 4] = -32768
    hdu = fits.PrimaryHDU(data, header())
    hdu.header["BLANK"] = -32768
    got = decoder.read(write(tmp_path / "a.fits", hdu)).images[0].data
    assert np.isnan(got[3, 4])
    assert np.isnan(got).sum() == 1
    floats = pixels(6).astype(np.float64)
    floats[0, 0], floats[1, 1] = np.inf, 1e300
    got = decoder.read(write(tmp_path / "b.fits", fits.PrimaryHDU(floats, header()))).images[0].data
    assert np.isnan(got[0, 0])
    assert np.isnan(got[1, 1])


def test_tile_compressed_images_are_read(tmp_path: Path, decoder: Decoder) -> None:
    data = pixels(7).astype(np.int32)
    hdu = fits.CompImageHDU(data, header(), name="CCD3")
    found = decoder.inspect(write(tmp_path / "x.fits.fz", fits.PrimaryHDU(), hdu))
    assert found.images[0].name == "CCD3"
    assert found.images[0].shape == (SIDE, SIDE)


def test_primary_cards_are_inherited_but_not_its_coordinates(
    tmp_path: Path, decoder: Decoder
) -> None:
    primary = fits.PrimaryHDU(header=fits.Header({"TELESCOP": "T", "CRVAL1": 10.0, "FILTER": "u"}))
    extension = fits.ImageHDU(pixels(1), header(), name="A")
    bare = fits.ImageHDU(pixels(2), name="B")
    found = decoder.inspect(write(tmp_path / "x.fits", primary, extension, bare))
    assert [item.name for item in found.images] == ["A"]
    assert found.images[0].header["TELESCOP"] == "T"
    assert found.images[0].header["FILTER"] == "r"
    assert found.images[0].header["CRVAL1"] == 150.0
    assert [(item[0], item[2]) for item in found.rejected] == [(2, "no_wcs")]


def test_planes_of_the_same_file_are_used(tmp_path: Path) -> None:
    data, variance = pixels(1), np.full((SIDE, SIDE), 25, np.float32)
    mask = np.zeros((SIDE, SIDE), np.int32)
    mask[2, 3], mask[5, 6] = 4, 1 << 5
    variance[7, 8] = 0
    path = write(
        tmp_path / "x.fits",
        fits.PrimaryHDU(),
        fits.ImageHDU(data, header(), name="SCI"),
        fits.ImageHDU(variance, name="VAR"),
        fits.ImageHDU(mask, name="DQ"),
        fits.ImageHDU(np.ones((5, 5), np.float32), name="PSF"),
    )
    image_ = read_in_process(path).images[0]
    assert image_.variance is not None
    assert image_.bad is not None
    assert sorted(zip(*np.nonzero(image_.bad), strict=True)) == [(2, 3), (5, 6), (7, 8)]
    assert np.all(image_.variance == 25)
    bad = read_in_process(path, ignored_bits=1 << 5).images[0].bad
    assert bad is not None
    assert not bad[5, 6]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("VARIANCE", 4.0, 4.0), ("ERR", 4.0, 16.0), ("WGT", 4.0, 0.25), ("IVAR", 4.0, 0.25)],
)
def test_each_kind_of_noise_plane_becomes_a_variance(
    name: str, value: float, expected: float, tmp_path: Path
) -> None:
    plane = np.full((SIDE, SIDE), value, np.float32)
    path = write(tmp_path / "x.fits", image(1), fits.ImageHDU(plane, header(), name=name))
    decoded = read_in_process(path)
    assert len(decoded.images) == 1
    assert decoded.images[0].variance is not None
    assert np.all(decoded.images[0].variance == expected)


def test_planes_find_their_image_by_version_or_by_order(tmp_path: Path) -> None:
    def mask(at: int) -> np.ndarray:
        out = np.zeros((SIDE, SIDE), np.uint8)
        out[at, at] = 1
        return out

    for versions in ((1, 2, 1, 2), (1, 1, 1, 1)):
        order = (0, 2, 1, 3) if versions == (1, 1, 1, 1) else (0, 1, 2, 3)
        hdus = [
            fits.ImageHDU(pixels(1), header(), name="SCI", ver=versions[0]),
            fits.ImageHDU(pixels(2), header(), name="SCI", ver=versions[1]),
            fits.ImageHDU(mask(5), name="MASK", ver=versions[2]),
            fits.ImageHDU(mask(9), name="MASK", ver=versions[3]),
        ]
        path = write(tmp_path / "x.fits", fits.PrimaryHDU(), *(hdus[i] for i in order))
        first, second = read_in_process(path).images
        assert first.bad is not None
        assert second.bad is not None
        assert first.bad[5, 5]
        assert second.bad[9, 9]
        assert first.bad.sum() == second.bad.sum() == 1


def test_unreadable_cards_are_left_out_and_told(tmp_path: Path, decoder: Decoder) -> None:
    content = as_bytes(image(1, INSTRUME="abcdefgh")).replace(b"'abcdefgh'", b"'abcdefgh\xff")
    path = tmp_path / "x.fits"
    path.write_bytes(content)
    found = decoder.inspect(path).images[0]
    assert "INSTRUME" not in found.header or found.header["INSTRUME"] != "abcdefgh"


def test_a_child_that_takes_too_long_is_stopped_and_another_one_serves(tmp_path: Path) -> None:
    path = write(tmp_path / "x.fits", image(1))
    slow = tmp_path / "slow.fits"
    os.mkfifo(slow)
    with Decoder(DecodeLimits(wall_time_s=2.0)) as child:
        child.inspect(path)
        with pytest.raises(RejectedFile) as caught:
            child.inspect(slow)
        assert caught.value.reason == Reason.DECODE_TIMEOUT
        assert child.inspect(path).images[0].shape == (SIDE, SIDE)
        assert child.n_starts == 2


def test_memory_is_limited_in_the_child(tmp_path: Path) -> None:
    path = write(tmp_path / "x.fits", fits.PrimaryHDU(np.zeros((9000, 9000), np.uint8), header()))
    with Decoder(DecodeLimits(memory_bytes=600 << 20)) as child:
        with pytest.raises(RejectedFile) as caught:
            child.inspect(path)
        assert caught.value.reason in (Reason.TOO_LARGE, Reason.DECODER_DIED)
        assert child.inspect(write(tmp_path / "y.fits", image(1))).images


def test_one_child_serves_many_files_and_starts_quickly(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.fits", image(n)) for n in range(5)]
    with Decoder() as child:
        for path in paths:
            child.inspect(path)
        assert child.n_starts == 1


def test_the_child_knows_no_secrets_and_imports_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", "never")
    with Decoder() as child:
        child.inspect(write(tmp_path / "x.fits", image(1)))
        process = child._process
        assert process is not None
        environment = Path(f"/proc/{process.pid}/environ")
        if environment.exists():
            assert b"never" not in environment.read_bytes()
    program = (
        "import sys, astrid_assets.exposures.decode_child\n"
        "heavy = {'dagster', 'sqlalchemy', 'pydantic', 'scipy', 'pandas'} & set(sys.modules)\n"
        "sys.exit(bool(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
