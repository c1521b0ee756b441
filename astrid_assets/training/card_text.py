"""Numbers of a record as Markdown: shares, intervals, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def share(value: float | None) -> str:
    """Return a share in per cent, a dash where there is none."""
    return "—" if value is None else f"{100 * value:.2f} %"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number, a dash where there is none."""
    return "—" if value is None else f"{value:.{digits}f}"


def interval(figure: Record, text: Any = number) -> str:
    """Return a value with its interval."""
    return f"{text(figure['value'])} ({text(figure['low'])} to {text(figure['high'])})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table and an empty one."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def edge(value: float | None) -> str:
    """Return the edge of a bin; beyond 1e8 it is infinite."""
    return "∞" if value is None or abs(value) > 1e8 else f"{value:g}"


def share_row(name: str, row: Record) -> tuple[str, str, str, str]:
    """Return name, n, accepted share and its interval."""
    interval = "—"
    if row.get("low_95") is not None:
        interval = f"{share(row['low_95'])} to {share(row['high_95'])}"
    return name, str(row["n"]), share(row["share_accepted"]), interval
