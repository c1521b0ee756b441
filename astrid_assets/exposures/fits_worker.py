"""Decoding of one FITS file: the code that runs in the resource-limited child process.

Imports numpy and astropy only, so that the child starts quickly and holds nothing worth stealing.
Files at hand on a command line are read by the same code in the process itself, after the prescan.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.io.fits.verify import VerifyError
from numpy.typing import NDArray

from astrid_assets.exposures.fits_geometry import Geometry, UnreadableError, geometry

MIN_SIDE_PIX = 16
ROLES = {
    "variance": ("VAR", "VARIANCE"),
    "sigma": ("ERR", "ERROR", "SIGMA", "STDDEV", "UNCERT", "RMS"),
    "inverse_variance": ("WGT", "WEIGHT", "IVAR", "INVVAR"),
    "zero_is_bad": ("WHT", "COVERAGE"),
    "mask": ("MASK", "DQ", "BPM", "FLAGS"),
    "other": ("PSF", "SCORE", "PSF_FLUX", "PSF_FLUX_ERR", "BACKGROUND", "SKY"),
}
"""What an extension's name says it is; weights are inverse variances in 1 / (data unit squared)."""

_ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
_STRUCTURE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK|CHECKSUM|"
    r"DATASUM|EXTNAME|EXTVER|EXTLEVEL|INHERIT|END|Z(IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|QUANTIZ|"
    r"DITHER0|SCALE|ZERO|BLANK|VAL\d+|NAME\d+)|T(FORM|TYPE)\d+|TFIELDS|THEAP|"
)
_WCS_KEY = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA)\d+[A-Z]?|(PC|CD|PV|PS)\d+_\d+[A-Z]?|"
    r"(A|B|AP|BP)_(\d+_\d+|ORDER|DMAX)|WCSAXES[A-Z]?|LONPOLE|LATPOLE|WAT\d_\d+|WCSDIM|"
    r"(CPDIS|CQDIS|D2IMDIS|DP|DQ)\d.*|RADE(SYS|CSYS)|EQUINOX"
)
_BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    CfitsioException,
    VerifyError,
    struct.error,
    zlib.error,
)
"""What astropy raises on data that are not what their header says."""

_COMMENTARY = ("COMMENT", "HISTORY", "")


@dataclass
class ScienceHDU:
    """One science image of a file, with the planes delivered beside it.

    header: its own cards, and the primary's where it has none. data: float32 [y, x], NaN where
    nothing was measured; variance: data unit squared; bad: True where a mask or weight says so.
    """

    index: int
    name: str
    header: fits.Header
    geometry: Geometry
    data: NDArray[np.float32]
    variance: NDArray[np.float32] | None = None
    bad: NDArray[np.bool_] | None = None


@dataclass
class Decoded:
    """What a file holds: its science images, and those that could not be taken, with reasons."""

    images: list[ScienceHDU] = field(default_factory=list)
    rejected: list[tuple[int, str, str, str]] = field(default_factory=list)


def decode(
    path: Path,
    *,
    cards: Mapping[str, str] | None = None,
    ignored_bits: int = 0,
    only_hdu: int | None = None,
) -> Decoded:
    """Return the science images of a FITS file: 2-D images with a sane celestial WCS.

    cards: header cards that replace the file's, as text. ignored_bits: bits of an integer mask
    that do not make a pixel bad. only_hdu: the one extension to decode.
    Raises UnreadableError where the file has no such image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
                return _decode(hdus, dict(cards or {}), ignored_bits, only_hdu)
        except _BROKEN as error:
            raise UnreadableError(
                "undecodable", f"the FITS data cannot be decoded: {error}"
            ) from error
        except MemoryError as error:
            raise UnreadableError(
                "too_large", "decoding needs more memory than is allowed"
            ) from error


def _decode(
    hdus: fits.HDUList, cards: dict[str, str], ignored_bits: int, only_hdu: int | None
) -> Decoded:
    images = [(index, hdu) for index, hdu in enumerate(hdus) if hdu.is_image and len(hdu.shape) > 1]
    science = [(index, hdu) for index, hdu in images if hdu.name.upper() not in _ROLE_OF]
    out = Decoded()
    primary = clean_header(hdus[0].header)
    for index, hdu in science:
        if only_hdu is not None and index != only_hdu:
            continue
        try:
            out.images.append(_read(hdu, index, primary, cards))
        except UnreadableError as problem:
            out.rejected.append((index, hdu.name, problem.reason, problem.text))
    if not out.images:
        if not out.rejected:
            text = f"the file holds no image (its {len(hdus)} HDUs are tables, planes or empty)"
            raise UnreadableError("no_image", text)
        _, _, reason, text = out.rejected[0]
        more = f" (and {len(out.rejected) - 1} more extensions)" if len(out.rejected) > 1 else ""
        raise UnreadableError(reason, text + more)
    for index, hdu in images:
        role = _ROLE_OF.get(hdu.name.upper())
        if role not in (None, "other"):
            owner = _owner(index, hdu, science)
            for image in out.images:
                if image.index == owner:
                    _apply(image, hdu, str(role), ignored_bits)
    return out


def clean_header(header: fits.Header) -> fits.Header:
    """Return the cards of `header` that can be read; a card that cannot is told in HISTORY."""
    out = fits.Header()
    for card in header.cards:
        try:
            keyword, value, comment = card.keyword, card.value, card.comment
            if isinstance(value, float) and not np.isfinite(value):
                raise ValueError
            out.append((keyword, value, comment), end=True)
        except (VerifyError, ValueError, UnicodeError):
            raw = "".join(c if 32 <= ord(c) < 127 else "?" for c in str(card.rawkeyword))
            out.add_history(f"AstrID: unreadable card {raw[:8]} left out")
    return out


def _merged(own: fits.Header, primary: fits.Header) -> fits.Header:
    merged = fits.Header()
    for header in (own,) if own is primary else (own, primary):
        for card in header.cards:
            if _STRUCTURE.fullmatch(card.keyword) and card.keyword not in _COMMENTARY:
                continue
            if card.keyword in _COMMENTARY:
                if header is own:
                    merged.append(card, end=True)
            elif card.keyword not in merged and not (
                header is not own and _WCS_KEY.fullmatch(card.keyword)
            ):
                merged.append(card)
    return merged


def _read(hdu: Any, index: int, primary: fits.Header, cards: Mapping[str, str]) -> ScienceHDU:
    label = f"extension {index}" + (f" ({hdu.name})" if hdu.name else "")
    shape = hdu.shape
    if len(shape) != 2:
        axes = " x ".join(str(size) for size in reversed(shape))
        reason = "cube" if len(shape) > 2 else "no_image"
        text = f"{label} is {len(shape)}-dimensional ({axes}), a 2-D image is needed"
        raise UnreadableError(
            reason, text + ("; split the cube into its planes" * (reason == "cube"))
        )
    if min(shape) < MIN_SIDE_PIX:
        text = (
            f"{label} is {shape[1]} x {shape[0]} pixels, at least {MIN_SIDE_PIX} a side are needed"
        )
        raise UnreadableError("too_small", text)
    own = primary if index == 0 else clean_header(hdu.header)
    header = _merged(own, primary)
    for key, text in cards.items():
        header[key] = parsed_card(text)
    place = geometry(header, (shape[0], shape[1]), label)
    data = _as_float(hdu.data)
    lowest, highest = (float(extreme.reduce(data, axis=None)) for extreme in (np.fmin, np.fmax))
    if np.isnan(lowest):
        raise UnreadableError(
            "no_finite_pixels", f"{label} has no finite pixel: all are NaN or blank"
        )
    if lowest == highest:
        text = f"every pixel of {label} has the same value, {lowest:g}"
        raise UnreadableError("constant_pixels", text)
    return ScienceHDU(index, str(hdu.name), header, place, data)


def parsed_card(text: str) -> str | float | int | bool:
    """Return the value a sidecar's cell states for a card: T or F, a number, else the text."""
    if text in ("T", "F"):
        return text == "T"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if np.isfinite(value):
            return value
    return text


def _as_float(array: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.array(array, dtype=np.float32, order="C")
    data[~np.isfinite(data)] = np.nan
    return data


def _owner(index: int, hdu: Any, science: list[tuple[int, Any]]) -> int | None:
    same = [(at, other) for at, other in science if other.shape == hdu.shape]
    by_version = [at for at, other in same if other.ver == hdu.ver]
    if len({other.ver for _, other in science}) == len(science) and len(by_version) == 1:
        return by_version[0]
    before = [at for at, _ in same if at < index]
    if before:
        return before[-1]
    return same[0][0] if len(same) == 1 else None


def _as_variance(values: NDArray[np.float32], role: str) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if role == "variance":
            return values
        return values * values if role == "sigma" else np.float32(1) / values


def _apply(image: ScienceHDU, hdu: Any, role: str, ignored_bits: int) -> None:
    plane = hdu.data
    if role == "mask":
        bad = np.asarray(~np.isfinite(plane) if plane.dtype.kind == "f" else False)
        if plane.dtype.kind in "iu" and ignored_bits:
            plane = plane.astype(np.int64) & ~np.int64(ignored_bits)
        bad = bad | (plane != 0)
    else:
        values = _as_float(plane)
        bad = ~(values > 0)
        if role != "zero_is_bad":
            variance = _as_variance(values, role)
            bad |= ~np.isfinite(variance)
            usual = np.float32(np.median(variance[~bad])) if not bad.all() else np.float32(0)
            if not bad.all():
                image.variance = np.where(bad, usual, variance).astype(np.float32)
    image.bad = bad if image.bad is None else image.bad | bad


def decode_mask(path: Path, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where the first 2-D image of a mask file is not zero (or not a number): bad pixels.

    Raises UnreadableError where no image of the file has the `shape` (ny, nx).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
                shapes = [hdu.shape for hdu in hdus if hdu.is_image and hdu.shape]
                for hdu in hdus:
                    if hdu.is_image and hdu.shape == shape:
                        return np.asarray(hdu.data != 0)
        except _BROKEN as error:
            raise UnreadableError("undecodable", f"the mask cannot be decoded: {error}") from error
    raise UnreadableError(
        "shape_mismatch", f"the mask file has images of {shapes}, the image has {shape} (ny, nx)"
    )
