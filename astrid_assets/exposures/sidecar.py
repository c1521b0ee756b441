"""Sidecars: small tables (CSV or ECSV) that state what a header has wrong or leaves out.

A row belongs to a file by `sha256`, or by `file` name where no sha256 is given. Lower-case columns
are facts (`fields.FIELDS`, `time_start_utc`), upper-case columns header cards, `note_*` remarks.
An empty cell states nothing.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from astrid_assets.exposures.fields import FIELDS, TIME_FIELD
from astrid_assets.exposures.survey import SurveyError

SIDECAR_NAMES = ("sidecar.csv", "sidecar.ecsv")
"""What a sidecar is called in a survey's drop folder."""

_CARD = re.compile(r"[A-Z0-9_-]{1,8}")
_STRUCTURE = re.compile(r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|END)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class SidecarRow:
    """What one row states: facts by field name and cards by key, as text.

    sha256: of the file it speaks of, or None where it goes by name.
    """

    file: str | None
    sha256: str | None
    facts: tuple[tuple[str, str], ...] = ()
    cards: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str | None:
        """A hash of what the row states; None where it states nothing."""
        if not self.facts + self.cards:
            return None
        return hashlib.sha256(json.dumps([self.facts, self.cards]).encode()).hexdigest()


NOTHING = SidecarRow(None, None)
"""The row of a file that no sidecar mentions."""


@dataclass(frozen=True)
class Sidecar:
    """The rows of one or more sidecars, in order of rising authority."""

    rows: tuple[SidecarRow, ...] = ()

    def row_for(self, *, file: str, sha256: str) -> SidecarRow:
        """Return what is stated of a file: rows by sha256 win over rows by name.

        A row that names another sha256 says nothing of this file, whatever its name.
        """
        name = PurePosixPath(file).name
        by_name = self._index.get((name, None), [])
        by_hash = self._index.get((None, sha256), [])
        if not by_name and not by_hash:
            return NOTHING
        facts: dict[str, str] = {}
        cards: dict[str, str] = {}
        for row in by_name + by_hash:
            facts.update(row.facts)
            cards.update(row.cards)
        return SidecarRow(
            name,
            sha256 if by_hash else None,
            tuple(sorted(facts.items())),
            tuple(sorted(cards.items())),
        )

    def names(self, sha256: str) -> bool:
        """Whether a row names a file by this sha256: stronger evidence than its own checksum."""
        return (None, sha256) in self._index

    @cached_property
    def _index(self) -> dict[tuple[str | None, str | None], list[SidecarRow]]:
        index: dict[tuple[str | None, str | None], list[SidecarRow]] = {}
        for row in self.rows:
            key = (None, row.sha256) if row.sha256 else (row.file, None)
            index.setdefault(key, []).append(row)
        return index

    def __add__(self, other: Sidecar) -> Sidecar:
        return Sidecar(self.rows + other.rows)


def read_sidecar(path: Path) -> Sidecar:
    """Return the sidecar in a CSV or ECSV file (comments `#`, delimiter `,` or blank for ECSV).

    Raises SurveyError for an unknown column, a row of nothing, a wrong sha256 or a double row.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise SurveyError(f"the sidecar {path.name} is larger than {_MAX_BYTES} bytes")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    table = [line for line in lines if line.strip() and not line.startswith("#")]
    is_blank_separated = (
        comments[:1]
        and comments[0].startswith("# %ECSV")
        and not any("delimiter: ','" in line for line in comments)
    )
    reader = csv.DictReader(table, delimiter=" " if is_blank_separated else ",", strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        _check_columns(path, columns)
        rows = [_row(path, dict(zip(columns, row.values(), strict=True))) for row in reader]
    except (csv.Error, AttributeError, ValueError) as error:
        raise SurveyError(f"the sidecar {path.name} cannot be read: {error}") from error
    keys = [row.sha256 or row.file for row in rows]
    double = sorted(str(key) for key, count in Counter(keys).items() if count > 1)
    if double:
        raise SurveyError(f"the sidecar {path.name} has more than one row for {double[:5]}")
    return Sidecar(tuple(rows))


def _check_columns(path: Path, columns: list[str]) -> None:
    known = {"file", "sha256", TIME_FIELD, *FIELDS}
    unknown = [
        name
        for name in columns
        if name not in known
        and not name.startswith("note_")
        and (_CARD.fullmatch(name) is None or _STRUCTURE.fullmatch(name) is not None)
    ]
    if unknown or not {"file", "sha256"} & set(columns):
        raise SurveyError(
            f"the sidecar {path.name} needs a column file or sha256, and knows "
            f"{sorted(known)}, header cards in capitals and note_*; got {unknown or columns}"
        )


def _row(path: Path, cells: dict[str, str]) -> SidecarRow:
    stated = {key: value.strip() for key, value in cells.items() if value.strip()}
    file, sha256 = stated.pop("file", None), stated.pop("sha256", None)
    if (file is None and sha256 is None) or (sha256 and not _SHA256.fullmatch(sha256)):
        raise SurveyError(
            f"a row of the sidecar {path.name} needs a file name or a sha256 of 64 hex digits, "
            f"got file {file!r}, sha256 {sha256!r}"
        )
    facts = {key: value for key, value in stated.items() if key in FIELDS or key == TIME_FIELD}
    cards = {key: value for key, value in stated.items() if _CARD.fullmatch(key)}
    return SidecarRow(file, sha256, tuple(sorted(facts.items())), tuple(sorted(cards.items())))
