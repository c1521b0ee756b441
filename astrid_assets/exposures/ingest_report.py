"""What one look at the drop folder found, for people, logs and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class IngestedFile:
    """A file whose exposures were registered, or whose facts changed (`is_new` False)."""

    name: str
    sha256: str
    survey: str
    exposures: tuple[str, ...]
    partitions: tuple[tuple[date, str], ...]
    n_superseded: int
    is_new: bool


@dataclass(frozen=True)
class QuarantinedEntry:
    """A file (or some extensions of it) that was not taken, and why."""

    name: str
    sha256: str
    reason: str
    text: str


@dataclass(frozen=True)
class WaitingFile:
    """A file that is not taken yet, and what it waits for."""

    name: str
    why: str


@dataclass
class IngestReport:
    """The outcome of one ingest; `unchanged` files were dealt with at an earlier look.

    partitions: every night and tile that gained, lost or changed an exposure.
    """

    ingested: list[IngestedFile] = field(default_factory=list)
    quarantined: list[QuarantinedEntry] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    waiting: list[WaitingFile] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    n_unchanged: int = 0

    @property
    def partitions(self) -> tuple[tuple[date, str], ...]:
        """The nights and tiles that need a run, in order."""
        return tuple(sorted({key for item in self.ingested for key in item.partitions}))

    def counts(self) -> dict[str, int]:
        """Return the numbers of files by outcome, and of exposures registered or changed."""
        return {
            "n_ingested": sum(item.is_new for item in self.ingested),
            "n_changed": sum(not item.is_new for item in self.ingested),
            "n_exposures": sum(len(item.exposures) for item in self.ingested),
            "n_known": len(self.known),
            "n_quarantined": len(self.quarantined),
            "n_waiting": len(self.waiting),
            "n_ignored": len(self.ignored),
            "n_unchanged": self.n_unchanged,
        }

    def lines(self) -> tuple[str, ...]:
        """Return one line a file that was dealt with, for a log."""
        lines = [
            f"{'ingested' if item.is_new else 'changed'} {item.name} ({item.survey}): "
            f"{', '.join(item.exposures)}"
            for item in self.ingested
        ]
        lines += [f"known already: {name}" for name in self.known]
        lines += [
            f"quarantined {item.name}: {item.reason}: {item.text}" for item in self.quarantined
        ]
        lines += [f"waiting: {item.name}: {item.why}" for item in self.waiting]
        return tuple(lines)
