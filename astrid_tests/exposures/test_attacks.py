"""Names that attack: kept as they are or escaped, never obeyed, and nothing leaves the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from astrid_assets.exposures.folder import shown
from astrid_assets.exposures.ingest import IngestReport
from astrid_assets.metadata import picture, table
from astrid_assets.observations import labels_of
from astrid_resources.database import Base
from astrid_tests.exposures.conftest import Place
from astrid_tests.exposures.fits_files import as_bytes, image

TEXTS = (
    "'; DROP TABLE observations; --",
    '"); DELETE FROM observations; --',
    "' OR '1'='1",
    "../../../etc/passwd",
    "..\\..\\windows",
    "%s%n%(name)s {0} {name!r}",
    "$(touch pwned) `touch pwned`",
    "=cmd|'C calc'!A0",
    "+1+1",
    "@SUM(1)",
    "-2+3",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "🔭 Ω é",
    "\u202egnp.stif",
    "line\nbreak\ttab",
    "bell\x07 escape\x1b[31m",
    "{{7*7}} ${7*7}",
    "CON",
    "x" * 200,
    "-rf",
    " ",
)  # fmt: skip


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def require_contained(place: Place, before: set[str]) -> None:
    """Only the store and the database have new files, and every table is still there."""
    root = place.folder.parent
    new = {name for name in tree(root) - before if not name.startswith(("objects/", "incoming/"))}
    assert {name.split(".")[0] for name in new} <= {"objects", "astrid"}
    stored = {name for name in tree(root / "objects") if (root / "objects" / name).is_file()}
    assert all(name.startswith("sha256/") and len(name) == 74 for name in stored), stored
    tables = set(sa.inspect(place.database.engine).get_table_names())
    assert set(Base.metadata.tables) <= tables
    assert not Path("pwned").exists()


def test_file_names_are_kept_and_never_obeyed(place: Place):
    before = tree(place.folder.parent)
    names = [text.replace("/", "∕").lstrip(".") + ".fits" for text in TEXTS]
    for number, name in enumerate(names):
        place.put(f"directory/{name}", as_bytes(image(number)))
    raw = os.fsencode(place.folder / "directory") + b"/not-\xff-utf8.fits"
    Path(os.fsdecode(raw)).write_bytes(as_bytes(image(99)))
    os.utime(raw, (1e9, 1e9))
    report = place.look()
    assert len(report.ingested) == len(names) + 1
    kept = {row.file_name for row in place.observations}
    assert kept == {shown(f"directory/{name}") for name in names} | {
        "directory/not-\\udcff-utf8.fits"
    }
    assert "directory/'; DROP TABLE observations; --.fits" in kept, "verbatim"
    assert all(text.isprintable() for text in kept)
    require_contained(place, before)


@pytest.mark.parametrize("card", ["OBJECT", "FILTER", "INSTRUME", "TELESCOP", "DETECTOR"])
def test_header_texts_are_kept_or_refused_and_never_obeyed(place: Place, card: str):
    before = tree(place.folder.parent)
    printable = [text for text in TEXTS if text.isascii() and text.isprintable()]
    texts = [text[:60] for text in printable if text.strip()]
    for number, text in enumerate(texts):
        place.put(f"directory/{number}.fits", as_bytes(image(number, **{card: text})))
    report: IngestReport = place.look()
    assert len(report.ingested) + len(report.quarantined) == len(texts)
    if card == "FILTER":
        assert {entry.reason for entry in report.quarantined} == {"bad_value"}
    if card in ("OBJECT", "TELESCOP"):
        assert not report.quarantined
    if card == "INSTRUME":
        assert {row.instrument for row in place.observations} == {text.strip() for text in texts}
    require_contained(place, before)


@pytest.mark.parametrize("card", [b"OBJECT", b"FILTER", b"DATE-OBS"])
@pytest.mark.parametrize("value", [b"a\x00b", "🔭".encode(), b"\xff\xfe", b"\r\nX: y", b"\x1b[2J"])
def test_bytes_that_no_header_may_hold_are_typed(place: Place, card: bytes, value: bytes):
    before = tree(place.folder.parent)
    content = as_bytes(image(1, OBJECT="name"))
    at = content.index(card.ljust(8) + b"=")
    spoilt = content[: at + 10] + (b"'" + value + b"'").ljust(70) + content[at + 80 :]
    place.put("directory/x.fits", spoilt)
    report = place.look()
    assert len(report.ingested) + len(report.quarantined) == 1
    for row in (*place.observations, *place.quarantined):
        for column in row.__table__.columns:
            assert "\x00" not in str(getattr(row, column.key)), column.key
    require_contained(place, before)


def test_what_the_ui_shows_is_text(place: Place):
    for number, text in enumerate(TEXTS):
        place.put(f"directory/{text.replace('/', '∕')}.fits", as_bytes(image(number)))
    place.look()
    labels = list(labels_of(place.observations).values())
    shown_in_ui = "\n".join(picture(b"", title=label) for label in labels)
    for sign in ("<script", "<img", "](javascript"):
        assert sign not in shown_in_ui
    rows = [{"exposure": label, "verdict": "passed"} for label in labels]
    assert {record.data["exposure"] for record in table(rows).records} == set(labels)
