"""How the command line speaks: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from astrid_resources.identity import plain_json

EXIT_KNOWN_FAILURE = 1
_WIDEST = 400


def console(*, width: int | None = None) -> Console:
    """Return the console of people: standard output, without guesses at colours."""
    return Console(width=width, highlight=False, emoji=False)


def say(text: str) -> None:
    """Print one line for people, verbatim."""
    console().print(text, markup=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print `value` as JSON with sorted keys, nothing else."""
    sys.stdout.write(json.dumps(plain_json(value), indent=2, sort_keys=True) + "\n")


def say_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print `rows` (equal keys) as a table; the keys are the headings, nothing is cut off."""
    if not rows:
        say(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for key, value in rows[0].items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        table.add_column(key, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console(width=_WIDEST).print(table)


def fail(message: str) -> NoReturn:
    """Print why it could not be done, on standard error, and end with exit status 1."""
    sys.stderr.write(f"astrid: {message}\n")
    raise SystemExit(EXIT_KNOWN_FAILURE)


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield a folder; what is written there comes to stand in `folder` at the end, all or nothing.

    Ends the program with one line where the place is full or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".astrid-", dir=folder) as staging:
            yield Path(staging)
            for path in sorted(Path(staging).iterdir()):
                path.replace(folder / path.name)
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror or error}; nothing was left there")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
