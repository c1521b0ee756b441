"""Small FITS files for the tests of this room: sound ones, and every kind of broken one."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from astropy.io import fits

SIDE = 40
FIRST = ["SIMPLE  =                    T", "BITPIX  =                  -32"]
COUNTS = ["PCOUNT  =                    0", "GCOUNT  =                    1"]


def header(**cards: object) -> fits.Header:
    """A complete header of a detrended image, east-positive longitude by the standard's card."""
    out = fits.Header()
    values = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 150.0,
        "CRVAL2": 2.2,
        "CRPIX1": 20.5,
        "CRPIX2": 20.5,
        "CD1_1": -1e-4,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 1e-4,
        "RADESYS": "ICRS",
        "DATE-OBS": "2020-06-10T06:00:00",
        "TIMESYS": "UTC",
        "EXPTIME": 60.0,
        "FILTER": "r",
        "GAIN": 2.0,
        "RDNOISE": 5.0,
        "SATURATE": 60000.0,
        "OBSGEO-L": -70.8,
        "INSTRUME": "cam",
    }
    for key, value in {**values, **cards}.items():
        if value is not None:
            out[key] = value
    return out


def pixels(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, (side, side)).astype(np.float32)


def image(seed: int = 0, **cards: object) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(pixels(seed), header(**cards))


def write(path: Path, *hdus: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(*hdus))
    return path


def as_bytes(*hdus: object, checksum: bool = False) -> bytes:
    stream = io.BytesIO()
    out = fits.HDUList(list(hdus))  # type: ignore[arg-type]
    if checksum:
        for hdu in out:
            hdu.add_checksum(when="never")
    out.writeto(stream)
    return stream.getvalue()


def raw_header(cards: list[str]) -> bytes:
    text = "".join(card.ljust(80) for card in [*cards, "END"])
    return text.ljust(-(-len(text) // 2880) * 2880).encode("ascii")


def hostile() -> dict[str, tuple[bytes, str]]:
    """Bytes of bad files by name, each with the reason code it must be filed under."""
    good = as_bytes(image(1), checksum=True)
    flipped = bytearray(good)
    flipped[-SIDE * 4 * SIDE // 2 - 500] ^= 0x40
    nan = image(2)
    nan.data[:] = np.nan
    cube = fits.PrimaryHDU(np.zeros((3, SIDE, SIDE), np.float32), header())
    no_wcs = image(3, CTYPE1=None, CTYPE2=None)
    galactic = image(4, CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", RADESYS=None)
    singular = image(5, CD1_1=0.0, CD2_2=0.0)
    huge = primary(-32, 2147483648, 2147483648)
    tall = primary(-32, 10000, 10000)
    axes = raw_header([*FIRST, "NAXIS   =           2147483648"])
    empty = [*FIRST, "NAXIS   =                    0"]
    cards = raw_header([*empty, *(f"HISTORY card number {number}" for number in range(100_000))])
    no_end = b"".join(card.ljust(80).encode() for card in FIRST).ljust(2880)
    extension = raw_header(["XTENSION= 'IMAGE   '", *empty[1:], *COUNTS])
    flood = raw_header(empty) + extension * 1200
    return {
        "truncated.fits": (good[:-2880], "truncated"),
        "cut_in_header.fits": (good[:1000], "truncated"),
        "text.fits": (b"Dear observer,\nthe telescope was closed.\n", "not_fits"),
        "page.fits": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not_fits"),
        "photo.fits": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(4000), "not_fits"),
        "archive.fits": (b"PK\x03\x04" + bytes(4000), "not_fits"),
        "noise.fits": (np.random.default_rng(7).bytes(9000), "not_fits"),
        "empty.fits": (b"", "empty_file"),
        "nan.fits": (as_bytes(nan), "no_finite_pixels"),
        "constant.fits": (
            as_bytes(fits.PrimaryHDU(np.ones((SIDE, SIDE), "f4"), header())),
            "constant_pixels",
        ),
        "no_wcs.fits": (as_bytes(no_wcs), "no_wcs"),
        "galactic.fits": (as_bytes(galactic), "unsupported_frame"),
        "singular.fits": (as_bytes(singular), "bad_wcs"),
        "cube.fits": (as_bytes(cube), "cube"),
        "table.fits": (as_bytes(fits.PrimaryHDU(), fits.BinTableHDU.from_columns([])), "no_image"),
        "flipped.fits": (bytes(flipped), "wrong_checksum"),
        "cards.fits": (cards, "too_many_cards"),
        "flood.fits": (flood, "too_many_hdus"),
        "huge.fits": (huge, "too_large"),
        "tall.fits": (tall, "truncated"),
        "axes.fits": (axes, "bad_structure"),
        "no_end.fits": (no_end, "truncated"),
        "junk_behind.fits": (good + b"\x01" * 2880, "bad_structure"),
        "bomb.fits.gz": (gzip.compress(primary(8, 10000, 10000) + bytes(80 << 20), 1), "gzip_bomb"),
        "cut.fits.gz": (gzip.compress(good)[:-900], "truncated"),
        "tiny.fits": (
            as_bytes(fits.PrimaryHDU(pixels(8)[:8, :8], header())),
            "too_small",
        ),
    }


def primary(bitpix: int, *axes: int) -> bytes:
    """A header that declares an image of any size; no data follow."""
    sizes = [f"NAXIS{n}  = {size:>20}" for n, size in enumerate(axes, 1)]
    return raw_header([FIRST[0], f"BITPIX  = {bitpix:>20}", f"NAXIS   = {len(axes):>20}", *sizes])
