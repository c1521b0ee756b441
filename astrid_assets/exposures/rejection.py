"""Why a file or an extension is not taken: one table of reasons, one typed failure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from astrid_resources.images import KnownFailure


class Reason(StrEnum):
    """The code under which a rejected file is filed; the text beside it carries the numbers."""

    EMPTY_FILE = "empty_file"
    NOT_FITS = "not_fits"
    TRUNCATED = "truncated"
    BAD_STRUCTURE = "bad_structure"
    TOO_LARGE = "too_large"
    TOO_MANY_CARDS = "too_many_cards"
    TOO_MANY_HDUS = "too_many_hdus"
    GZIP_BOMB = "gzip_bomb"
    WRONG_CHECKSUM = "wrong_checksum"
    UNDECODABLE = "undecodable"
    DECODE_TIMEOUT = "decode_timeout"
    DECODER_DIED = "decoder_died"
    NO_IMAGE = "no_image"
    CUBE = "cube"
    TOO_SMALL = "too_small"
    NO_FINITE_PIXELS = "no_finite_pixels"
    CONSTANT_PIXELS = "constant_pixels"
    NO_WCS = "no_wcs"
    BAD_WCS = "bad_wcs"
    UNSUPPORTED_WCS = "unsupported_wcs"
    UNSUPPORTED_FRAME = "unsupported_frame"
    UNSUPPORTED_UNIT = "unsupported_unit"
    SHAPE_MISMATCH = "shape_mismatch"
    AMBIGUOUS_IMAGE = "ambiguous_image"
    NOT_SCIENCE = "not_science"
    NO_SURVEY = "no_survey"
    NO_SITE = "no_site"
    ID_CONFLICT = "id_conflict"
    BAD_TIME = "bad_time"
    BAD_TILE = "bad_tile"
    MISSING_VALUE = "missing_value"
    BAD_VALUE = "bad_value"
    PARTLY_ACCEPTED = "partly_accepted"


class RejectedFile(KnownFailure):
    """A delivered file (or one extension of it) that cannot be taken; others go on.

    `reason` is the stable code; the message says what, the value got, what was allowed, what to do.
    """

    def __init__(self, message: str, *, reason: Reason, **numbers: Any) -> None:
        super().__init__(message, reason=str(reason), **numbers)

    @property
    def reason(self) -> Reason:
        """The stable code of this rejection."""
        return Reason(self.numbers["reason"])

    @property
    def code(self) -> str:
        """The stable code, as every outcome has one."""
        return str(self.reason)
