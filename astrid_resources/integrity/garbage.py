"""Objects that no row names, staging folders and uploads of killed processes, older than an age.

An object counts as put when it was last handed to the store: a run that puts it again before its
commit makes it young. What is younger than the age may belong to a commit still to come.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astrid_resources.database import Database
from astrid_resources.integrity.named import named_objects
from astrid_resources.objects import ListedObject, ObjectStore, UnfinishedUpload

AGE_MIN = timedelta(hours=1)


@dataclass(frozen=True)
class Garbage:
    """What may be removed: objects, staging folders, uploads, and what the former hold together.

    n_young: how many of these are too young to tell.
    """

    objects: tuple[ListedObject, ...]
    folders: tuple[Path, ...]
    uploads: tuple[UnfinishedUpload, ...]
    n_bytes: int
    n_young: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {
            "objects": [item.key for item in self.objects],
            "staging_folders": [str(path) for path in self.folders],
            "unfinished_uploads": [upload.key for upload in self.uploads],
            "n_bytes": self.n_bytes,
            "n_young": self.n_young,
        }


def find_garbage(
    database: Database,
    store: ObjectStore,
    *,
    age: timedelta,
    is_history_kept: bool = True,
    now: datetime | None = None,
) -> Garbage:
    """Return what nothing refers to and what is older than `age`.

    is_history_kept: what only replaced products name is no garbage.
    Raises ValueError for an age under an hour: a run may be storing what it will commit.
    """
    if age < AGE_MIN:
        raise ValueError(f"garbage is at least {AGE_MIN} old, not {age}: a run may be at work")
    before = (now or datetime.now(UTC)) - age
    listed = list(store.list())
    with database.read() as session:
        named = {
            item.key
            for item in named_objects(session)
            if is_history_kept or item.is_current or item.table != "products"
        }
    unnamed = [item for item in listed if item.key not in named]
    objects = tuple(item for item in unnamed if item.modified < before)
    standing = list(store.backend.leftovers())
    stale = {path: size for path in standing if (size := _stale_bytes(path, before)) is not None}
    begun = list(store.backend.uploads())
    uploads = tuple(upload for upload in begun if upload.started < before)
    return Garbage(
        objects,
        tuple(stale),
        uploads,
        n_bytes=sum(item.size for item in objects) + sum(stale.values()),
        n_young=len(unnamed)
        + len(standing)
        + len(begun)
        - len(objects)
        - len(stale)
        - len(uploads),
    )


def collect_garbage(store: ObjectStore, garbage: Garbage) -> Garbage:
    """Remove `garbage` and return what was removed: not what was put again since it was found."""
    removed = []
    for item in garbage.objects:
        now = store.look_up(item.key)
        if now is not None and now.modified == item.modified:
            store.delete(item.key)
            removed.append(item)
    n_bytes = garbage.n_bytes - sum(item.size for item in garbage.objects)
    for path in garbage.folders:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for upload in garbage.uploads:
        store.backend.abort(upload)
    n_bytes += sum(item.size for item in removed)
    return replace(garbage, objects=tuple(removed), n_bytes=n_bytes)


def _stale_bytes(path: Path, before: datetime) -> int | None:
    """Return the bytes under `path`, or None where anything there is younger than `before`."""
    try:
        members = [path, *path.rglob("*")]
        facts = [member.lstat() for member in members]
    except FileNotFoundError:
        return None
    if max(entry.st_mtime for entry in facts) >= before.timestamp():
        return None
    return sum(
        entry.st_size for member, entry in zip(members, facts, strict=True) if not member.is_dir()
    )
