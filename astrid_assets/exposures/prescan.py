"""The first look at an untrusted file: its structure, before anything is believed.

It is read in plain Python. Nothing is allocated by what a header claims: sizes are compared with
the file's own, cards and HDUs are counted, gzip is unpacked in pieces under a limit, CHECKSUM and
DATASUM are added up. Pixels are decoded elsewhere (`decode`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from astrid_assets.exposures.bytestream import BLOCK, ByteStream, ones_complement
from astrid_assets.exposures.file_limits import STANDARD_LIMITS, Limits
from astrid_assets.exposures.rejection import Reason, RejectedFile

_ALL_ONES = 0xFFFFFFFF
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_IMAGES = ("PRIMARY", "IMAGE", "COMPRESSED_IMAGE")
_BITPIX = (8, 16, 32, 64, -32, -64)
_LOOKS = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "a bzip2 file: unpack it first"),
    (b"\xfd7zXZ", "an xz file: unpack it first"),
    (b"\x1f\x9d", "a compress (.Z) file: unpack it first"),
    (b"\x89HDF", "an HDF5 file"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True)
class HDUScan:
    """The declared structure of one HDU: what it is, how large, and whether its sums are right."""

    index: int
    kind: str
    name: str
    shape: tuple[int, ...]
    bitpix: int
    n_cards: int
    data_bytes: int
    is_compressed_image: bool
    is_checksum_wrong: bool

    @property
    def declared_bytes(self) -> int:
        """Memory of its pixels, as they are stored and as float32; of a table, its bytes."""
        if self.kind in _IMAGES:
            stored = self.data_bytes if self.is_compressed_image else 0
            return stored + prod(self.shape) * (abs(self.bitpix) // 8 + 4) if self.shape else 0
        return self.data_bytes


@dataclass(frozen=True)
class FileScan:
    """The structure of a whole file that passed the first look."""

    size_bytes: int
    is_gzip: bool
    hdus: tuple[HDUScan, ...]

    @property
    def declared_bytes(self) -> int:
        """Memory that the headers declare: see `HDUScan.declared_bytes`."""
        return sum(hdu.declared_bytes for hdu in self.hdus)

    @property
    def has_wrong_checksum(self) -> bool:
        """Whether the CHECKSUM or DATASUM of any HDU is wrong."""
        return any(hdu.is_checksum_wrong for hdu in self.hdus)


def prescan(path: Path, *, limits: Limits = STANDARD_LIMITS) -> FileScan:
    """Return the structure of a FITS file (plain or gzip), every size checked against the file.

    Wrong checksums are reported, not refused: see `require_checksums`.
    Raises RejectedFile with a reason for everything that is not a sound FITS file.
    """
    with ByteStream(path, limits=limits) as stream:
        hdus: list[HDUScan] = []
        while (block := stream.block()) is not None:
            if not hdus:
                _check_beginning(block)
            elif not block.startswith(b"XTENSION"):
                if block.strip(b"\0 "):
                    raise _broken(stream, f"unknown bytes follow extension {len(hdus) - 1}")
                continue
            if len(hdus) == limits.n_hdus_max:
                raise RejectedFile(
                    f"the file has more than {limits.n_hdus_max} extensions, which is the limit",
                    reason=Reason.TOO_MANY_HDUS,
                    n_allowed=limits.n_hdus_max,
                )
            hdus.append(_scan_hdu(stream, block, len(hdus), limits))
            if sum(hdu.n_cards for hdu in hdus) > limits.n_cards_total_max:
                raise RejectedFile(
                    f"the headers have more than {limits.n_cards_total_max} cards in all, which is "
                    "the limit",
                    reason=Reason.TOO_MANY_CARDS,
                    n_allowed=limits.n_cards_total_max,
                )
        return FileScan(stream.file_size, stream.is_gzip, tuple(hdus))


def require_checksums(scan: FileScan) -> None:
    """Raise RejectedFile where the CHECKSUM or DATASUM of any HDU is wrong."""
    wrong = [hdu.index for hdu in scan.hdus if hdu.is_checksum_wrong]
    if wrong:
        raise RejectedFile(
            f"CHECKSUM or DATASUM is wrong in extension {', '.join(map(str, wrong[:10]))}: the "
            "file was damaged or edited after its checksum was written; deliver it again, or name "
            "its sha256 in the survey's sidecar if it is known to be right",
            reason=Reason.WRONG_CHECKSUM,
            extensions=wrong[:10],
        )


def _check_beginning(block: bytes) -> None:
    if block.startswith(b"SIMPLE  ="):
        return
    start = block.rstrip(b"\0").lstrip(b"\xef\xbb\xbf \t\r\n")[:200]
    looks = next((text for magic, text in _LOOKS if start.startswith(magic)), None)
    if looks is None and start[:1] == b"<":
        looks = "an HTML or XML page, perhaps an error page of a download"
    if looks is None and start and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        looks = f"plain text beginning {start[:40].decode('ascii')!r}"
    raise RejectedFile(
        f"the file is not FITS: it does not begin with 'SIMPLE  ='; it looks like "
        f"{looks or 'unknown binary data'}",
        reason=Reason.NOT_FITS,
    )


def _broken(stream: ByteStream, what: str) -> RejectedFile:
    return RejectedFile(
        f"{what} (at byte {stream.position} of the FITS data): the file is not sound FITS",
        reason=Reason.BAD_STRUCTURE,
        position=stream.position,
    )


def _scan_hdu(stream: ByteStream, block: bytes, index: int, limits: Limits) -> HDUScan:
    cards, n_cards, header_sum = _read_header(stream, block, index, limits)
    shape, bitpix, data_bytes = _declared_size(stream, cards, index, limits)
    is_compressed = _text(cards.get("ZIMAGE", "")) == "T"
    if is_compressed:
        shape = _axes(stream, cards, "ZNAXIS", index, limits)
        bitpix = _integer(stream, cards, "ZBITPIX", index)
        _check_pixels(shape, index, limits)
    padded = -(-data_bytes // BLOCK) * BLOCK
    stream.expect(padded, what=f"extension {index} declares {data_bytes} bytes of data")
    has_sums = "CHECKSUM" in cards or "DATASUM" in cards
    data_sum = stream.skip(padded, is_summed=has_sums)
    kind = "PRIMARY" if index == 0 else _text(cards.get("XTENSION", "")).upper()
    return HDUScan(
        index=index,
        kind="COMPRESSED_IMAGE" if is_compressed else kind,
        name=_text(cards.get("EXTNAME", "")),
        shape=shape,
        bitpix=bitpix,
        n_cards=n_cards,
        data_bytes=data_bytes,
        is_compressed_image=is_compressed,
        is_checksum_wrong=has_sums and _is_sum_wrong(cards, header_sum, data_sum),
    )


def _is_sum_wrong(cards: dict[str, str], header_sum: int, data_sum: int) -> bool:
    datasum = _text(cards.get("DATASUM", ""))
    is_sum = _INTEGER.fullmatch(datasum) is not None
    if datasum and not (is_sum and int(datasum) % _ALL_ONES == data_sum % _ALL_ONES):
        return True
    checksum = _text(cards.get("CHECKSUM", ""))
    is_stated = bool(checksum.strip("0"))
    return is_stated and (header_sum + data_sum) % _ALL_ONES != 0


def _read_header(
    stream: ByteStream, block: bytes, index: int, limits: Limits
) -> tuple[dict[str, str], int, int]:
    cards: dict[str, str] = {}
    n_cards, total = 0, 0
    while True:
        total += ones_complement(block)
        for start in range(0, BLOCK, 80):
            card = block[start : start + 80].decode("latin-1")
            key = card[:8].rstrip()
            if key == "END" and not card[8:].strip("\0 "):
                return cards, n_cards, total
            n_cards += 1
            if card[8:10] == "= " and key not in cards:
                cards[key] = card[10:]
        if n_cards > limits.n_cards_max:
            raise RejectedFile(
                f"the header of extension {index} has more than {limits.n_cards_max} cards, which "
                "is the limit",
                reason=Reason.TOO_MANY_CARDS,
                n_allowed=limits.n_cards_max,
            )
        following = stream.block()
        if following is None:
            raise RejectedFile(
                f"the file ends inside the header of extension {index}: its END card is missing; "
                "deliver the complete file",
                reason=Reason.TRUNCATED,
            )
        block = following


def _declared_size(
    stream: ByteStream, cards: dict[str, str], index: int, limits: Limits
) -> tuple[tuple[int, ...], int, int]:
    bitpix = _integer(stream, cards, "BITPIX", index)
    if bitpix not in _BITPIX:
        raise _broken(stream, f"BITPIX of extension {index} is {bitpix}, not one of {_BITPIX}")
    shape = _axes(stream, cards, "NAXIS", index, limits)
    is_image = index == 0 or _text(cards.get("XTENSION", "")).upper() == "IMAGE"
    is_groups = index == 0 and _text(cards.get("GROUPS", "")) == "T"
    if is_groups and shape and shape[-1] == 0:
        shape = shape[:-1]
    elif is_image and shape:
        _check_pixels(shape, index, limits)
    groups = _integer(stream, cards, "GCOUNT", index, default=1)
    heap = _integer(stream, cards, "PCOUNT", index, default=0)
    if groups < 0 or heap < 0:
        raise _broken(stream, f"PCOUNT {heap} or GCOUNT {groups} of extension {index} is negative")
    elements = prod(shape) if shape else 0
    return shape, bitpix, abs(bitpix) // 8 * groups * (heap + elements)


def _axes(
    stream: ByteStream, cards: dict[str, str], key: str, index: int, limits: Limits
) -> tuple[int, ...]:
    n_axes = _integer(stream, cards, key, index)
    if not 0 <= n_axes <= limits.n_axes_max:
        raise _broken(
            stream, f"{key} of extension {index} is {n_axes}, allowed are 0 to {limits.n_axes_max}"
        )
    axes = [_integer(stream, cards, f"{key}{axis}", index) for axis in range(1, n_axes + 1)]
    if any(axis < 0 for axis in axes):
        raise _broken(stream, f"an axis of extension {index} is negative: {axes}")
    return tuple(reversed(axes))


def _check_pixels(shape: tuple[int, ...], index: int, limits: Limits) -> None:
    if prod(shape) > limits.n_pixels_max:
        raise RejectedFile(
            f"extension {index} declares {' x '.join(map(str, reversed(shape)))} pixels "
            f"({prod(shape):.3g}), allowed are {limits.n_pixels_max:.3g}",
            reason=Reason.TOO_LARGE,
            n_pixels=prod(shape),
            n_allowed=limits.n_pixels_max,
        )


def _integer(
    stream: ByteStream, cards: dict[str, str], key: str, index: int, default: Any = None
) -> int:
    stated = cards.get(key)
    if stated is None and default is not None:
        return int(default)
    text = "" if stated is None else stated.split("/")[0].strip()
    if _INTEGER.fullmatch(text) is None:
        raise _broken(
            stream, f"{key} of extension {index} must be an integer, got {text[:30] or 'no card'!r}"
        )
    return int(text)


def _text(value: str) -> str:
    stripped = value.strip()
    if not stripped.startswith("'"):
        return stripped.split("/")[0].strip()
    return stripped[1:].split("'")[0].strip()
