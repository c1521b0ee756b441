"""Headers as they come from real telescopes and from the synthetic sky, and ways to spoil them."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from hypothesis import strategies as st

from astrid_tests.exposures.fits_files import SIDE, as_bytes, header, image, pixels

CARD = 80
N_REAL_FILES = 40
_HOSTILE_VALUES = (
    b"2147483648", b"-2147483649", b"9223372036854775808", b"1" * 68, b"0", b"-1", b"1E400",
    b"-1E-400", b"NaN", b"Infinity", b"(1.0, 2.0)", b"T", b"F", b"''", b"'", b"'''", b"'a''b'",
    b"'&'", b"' '", b"'0000-00-00'", b"'9999-99-99T99:99:99'", b"'2018-08-04T05:26:54.999999999'",
    b"'-2018-08-04'", b"'TAI'", b"'RA---TPV'", b"'RA---SIP'", b"'DEC--ZPN-SIP'", b"'GLON-CAR'",
    b"'STOKES'", b"'FREQ'", b"'pc'", b"'deg deg'", b"'%s%n%x'", b"'../../../etc/passwd'",
    b"'=cmd|A0'", b"'; DROP TABLE observations; --'", b"'\x00'", b"'\xff\xfe'",
    b"'\xf0\x9f\x94\xad'",
    b"/ only a comment", b"= = =", b"0x10", b"1,5", b"1D5", b"1.D+308", b"'1 / 2' / 3", b"' / ",
)  # fmt: skip
_STRUCTURE = ("NAXIS", "BITPIX", "Z", "TF", "TT", "CHECKSUM", "DATASUM", "EXTNAME", "FILTER")
_KEYWORDS = (
    "SIMPLE BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 EXTEND BSCALE BZERO BLANK BUNIT PCOUNT GCOUNT GROUPS "
    "XTENSION EXTNAME EXTVER CTYPE1 CTYPE2 CUNIT1 CRVAL1 CRVAL2 CRPIX1 CRPIX2 CDELT1 CROTA2 CD1_1 "
    "CD1_2 CD2_1 CD2_2 PC1_1 PV1_0 PV1_1 PV2_39 A_ORDER A_3_0 B_ORDER AP_ORDER LONPOLE LATPOLE "
    "WCSAXES RADESYS EQUINOX DATE-OBS MJD-OBS TIMESYS EXPTIME FILTER OBJECT GAIN RDNOISE SATURATE "
    "AIRMASS OBSGEO-L OBSGEO-X LONG LAT INSTRUME TELESCOP CHECKSUM DATASUM ZIMAGE ZCMPTYPE ZBITPIX "
    "ZNAXIS ZNAXIS1 ZTILE1 ZQUANTIZ ZDITHER0 TFIELDS TFORM1 TTYPE1 THEAP CONTINUE HIERARCH "
    "COMMENT HISTORY END CPDIS1 D2IMDIS1 DP1 LONGSTRN"
).split()


@functools.cache
def corpus() -> tuple[bytes, ...]:
    """Return whole small files: ours of every kind, and real headers over our pixels.

    Real headers come from the files of ASTRID_DATA, where it is set.
    """
    variance = fits.ImageHDU(pixels(3), name="VAR")
    made = [
        as_bytes(image(1)),
        as_bytes(image(1), checksum=True),
        as_bytes(fits.PrimaryHDU(), fits.CompImageHDU(pixels(2), header()), variance),
        as_bytes(fits.PrimaryHDU((pixels(4) * 50).astype(np.uint16), header())),
        as_bytes(fits.PrimaryHDU(), fits.ImageHDU(pixels(5), header(), name="SCI"), variance),
    ]
    return (*made, *(as_bytes(hdu) for hdu in _real_headers()))


def _real_headers() -> list[fits.PrimaryHDU]:
    folder = os.environ.get("ASTRID_DATA")
    if not folder:
        return []
    found = []
    for path in sorted(Path(folder).rglob("*.fit*"))[:N_REAL_FILES]:
        with fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
            headers = [hdu.header.copy() for hdu in hdus[:4]]
        for own in headers:
            for key in {key for key in own if key.startswith(_STRUCTURE)}:
                own.remove(key, ignore_missing=True, remove_all=True)
            if "CTYPE1" in own:
                own.extend(header(), unique=True)
                found.append(fits.PrimaryHDU(pixels(9), own))
    return found


@st.composite
def spoilt_files(draw: st.DrawFn) -> bytes:
    """Return a file of the corpus with some of its cards or bytes spoilt."""
    content = bytearray(draw(st.sampled_from(corpus())))
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(("value", "value", "value", "keyword", "copy", "byte", "drop")))
        n_cards = max(1, min(len(content) // CARD, 36 * 8))
        at = draw(st.integers(0, n_cards - 1)) * CARD
        if kind == "value":
            value = draw(st.sampled_from(_HOSTILE_VALUES) | st.binary(max_size=70))
            content[at + 8 : at + CARD] = (b"= " + value).ljust(72)[:72]
        elif kind == "keyword":
            content[at : at + 8] = draw(st.sampled_from(_KEYWORDS)).encode().ljust(8)
        elif kind == "copy":
            other = draw(st.integers(0, n_cards - 1)) * CARD
            content[at : at + CARD] = content[other : other + CARD]
        elif kind == "byte":
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        else:
            del content[at : at + CARD * draw(st.sampled_from((1, 36, SIDE)))]
        if not content:
            return b""
    return bytes(content)
