"""What an object store needs of the place that holds its objects, and the one on local files.

Keys are checked by the caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol


@dataclass(frozen=True)
class ListedObject:
    """An object as its place lists it: key, size in bytes, when it was last put (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class UnfinishedUpload:
    """Parts of an object that were sent and never put together; when it was begun (UTC)."""

    key: str
    upload_id: str
    started: datetime


class Backend(Protocol):
    """What an object store needs of the place that holds its objects.

    refusals: what it raises where it does not let something be done.
    """

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors of this place."""

    def staging(self) -> Path:
        """Return a folder in which new objects are written before they are created."""

    def create(self, key: str, staged: Path) -> bool:
        """Put the staged file under `key`, whole or not at all; False if `key` is taken."""

    def open(self, key: str) -> IO[bytes] | None:
        """Return a stream of the object's bytes, or None where there is no such object."""

    def exists(self, key: str) -> bool:
        """Return whether there is an object under `key`."""

    def move(self, key: str, to: str) -> None:
        """Move the object to the key `to`; nothing happens where there is none."""

    def local_path(self, key: str) -> Path | None:
        """Return the object's own file, where it is a local one."""

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object whose key starts with the folder `prefix` (no slash at its end)."""

    def look_up(self, key: str) -> ListedObject | None:
        """Return one object as it would be listed now, or None."""

    def touch(self, key: str) -> None:
        """Make the object count as put just now; nothing happens where there is none."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""

    def leftovers(self) -> Iterator[Path]:
        """Yield the staging folders that stand at this moment, those in use too."""

    def uploads(self) -> Iterator[UnfinishedUpload]:
        """Yield the uploads that are not finished at this moment, those at work too."""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Remove the parts of an upload; nothing happens where it is no more."""


class LocalFolder:
    """Objects as read-only files under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"LocalFolder({str(self.folder)!r})"

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Return OSError."""
        return (OSError,)

    def staging(self) -> Path:
        """Return the store's own staging folder, on the file system of the objects."""
        folder = self.folder / "staging"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def create(self, key: str, staged: Path) -> bool:
        """Sync the staged file and rename it: a kill leaves nothing half-written."""
        target = self.folder / key
        if target.exists():
            return False
        _make_folder(target.parent, within=self.folder)
        with staged.open("rb") as stream:
            os.fsync(stream.fileno())
        staged.chmod(0o444)
        staged.replace(target)
        _sync_folder(target.parent)
        return True

    def open(self, key: str) -> IO[bytes] | None:
        """Return the open file, or None."""
        try:
            return (self.folder / key).open("rb")
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        """Return whether the file is there."""
        return (self.folder / key).is_file()

    def move(self, key: str, to: str) -> None:
        """Rename the file."""
        target = self.folder / to
        _make_folder(target.parent, within=self.folder)
        with suppress(FileNotFoundError):
            (self.folder / key).replace(target)
        _sync_folder(target.parent)

    def local_path(self, key: str) -> Path | None:
        """Return the file's path."""
        return self.folder / key

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Walk the folder, in order of the keys."""
        for path in sorted((self.folder / prefix).rglob("*")):
            found = self.look_up(path.relative_to(self.folder).as_posix())
            if found is not None:
                yield found

    def look_up(self, key: str) -> ListedObject | None:
        """Ask the file system."""
        path = self.folder / key
        try:
            facts = path.stat()
        except FileNotFoundError:
            return None
        if not path.is_file():
            return None
        return ListedObject(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    def touch(self, key: str) -> None:
        """Set the file's time."""
        with suppress(FileNotFoundError):
            os.utime(self.folder / key)

    def delete(self, key: str) -> None:
        """Unlink the file."""
        with suppress(FileNotFoundError):
            (self.folder / key).unlink()

    def leftovers(self) -> Iterator[Path]:
        """Yield what stands in the staging folder."""
        staging = self.folder / "staging"
        if staging.is_dir():
            yield from sorted(staging.iterdir())

    def uploads(self) -> Iterator[UnfinishedUpload]:
        """Yield nothing: files are not sent in parts."""
        return iter(())

    def abort(self, upload: UnfinishedUpload) -> None:
        """Do nothing: there are no uploads."""


def _make_folder(folder: Path, *, within: Path) -> None:
    """Make a folder whose own entry survives a loss of power."""
    if folder.is_dir():
        return
    if folder != within:
        _make_folder(folder.parent, within=within)
    folder.mkdir(parents=True, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
