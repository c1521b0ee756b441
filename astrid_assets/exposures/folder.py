"""What lies in a drop folder: names, sizes and times, without reading any file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astrid_assets.exposures.sidecar import SIDECAR_NAMES

SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".ftz", ".fits.gz", ".fit.gz", ".fts.gz")
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp", "~")


@dataclass(frozen=True, order=True)
class FileStamp:
    """A file as a listing shows it; `name` is relative to the folder, with `/`."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FolderSnapshot:
    """The files of a drop folder: images, sidecars, and what is neither."""

    images: tuple[FileStamp, ...] = ()
    sidecars: tuple[FileStamp, ...] = ()
    ignored: tuple[str, ...] = ()


def snapshot_folder(folder: Path) -> FolderSnapshot:
    """Return what lies in `folder` and below; hidden and unfinished names are left out.

    Linked files count, linked folders are not followed. A folder that is not there is empty.
    """
    images, sidecars, ignored = [], [], []
    for name, path in sorted(_files(folder)):
        try:
            status = path.stat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        stamp = FileStamp(name, status.st_size, max(status.st_mtime_ns, 0))
        if path.name in SIDECAR_NAMES:
            sidecars.append(stamp)
        elif name.lower().endswith(SUFFIXES):
            images.append(stamp)
        else:
            ignored.append(name)
    return FolderSnapshot(tuple(images), tuple(sidecars), tuple(ignored))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(UNFINISHED):
                path = Path(here) / name
                yield path.relative_to(folder).as_posix(), path


def is_settled(stamp: FileStamp, *, now_s: float, quiet_period_s: float) -> bool:
    """Whether the file was last written at least `quiet_period_s` ago (or its time is nonsense).

    now_s: seconds since 1970. A time in the future, by a wrong clock, says nothing: such a file
    settles by being unchanged between two looks.
    """
    return now_s - stamp.mtime_ns / 1e9 >= quiet_period_s


def shown(name: str) -> str:
    """Return a file name as it may be stored and printed: valid UTF-8, no control characters."""
    clean = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in clean)
