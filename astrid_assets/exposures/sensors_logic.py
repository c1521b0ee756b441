"""What the sensors decide at a tick: pure functions of listings, rows and a small cursor.

The folder's cursor is one hash; the database's cursor a high-water mark: neither grows with time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from astrid_assets.exposures.folder import FolderSnapshot, is_settled

PartitionId = tuple[date, str]


@dataclass(frozen=True)
class FolderTick:
    """The outcome of a folder tick: the next cursor; the run key of an ingest run, or why none."""

    cursor: str
    run_key: str | None
    reason: str


def folder_tick(
    snapshot: FolderSnapshot,
    cursor: str | None,
    *,
    now: datetime,
    quiet_period_s: float,
    rules: str,
) -> FolderTick:
    """Decide whether the drop folder needs an ingest run, from names, sizes and times alone.

    cursor: as the last tick returned it. rules: a hash of the survey declarations, so that a
    changed declaration is applied to the files that are there.
    Files still being written do not hold back the others. What was seen before is not asked for
    again, unless something that had not settled remained unchanged since the last tick.
    """
    files = snapshot.images + snapshot.sidecars
    settled = [
        stamp
        for stamp in files
        if is_settled(stamp, now_s=now.timestamp(), quiet_period_s=quiet_period_s)
    ]
    last = json.loads(cursor) if cursor else {}
    everything = _digest([rules, *files])
    is_unchanged = last.get("all") == everything and last.get("since") is not None
    since = float(last["since"]) if is_unchanged else now.timestamp()
    is_quiet = is_unchanged and now.timestamp() - since >= quiet_period_s
    wanted = _digest([rules, *(files if is_quiet else settled)])
    n_taken = len(files if is_quiet else settled)
    requested = last.get("requested")
    is_needed = n_taken > 0 and wanted != requested
    following = {"all": everything, "since": since, "requested": wanted if is_needed else requested}
    if is_needed:
        reason = f"{n_taken} of {len(files)} files have settled"
    elif len(settled) < len(files) and not is_quiet:
        reason = f"{len(files) - len(settled)} files are still being written"
    else:
        reason = "nothing new in the drop folder"
    return FolderTick(json.dumps(following, sort_keys=True), wanted if is_needed else None, reason)


def _digest(parts: Iterable[object]) -> str:
    return hashlib.sha256(repr(tuple(parts)).encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True)
class PartitionState:
    """The exposures of a night and tile: (observation row id, hash of facts) of each current one.

    changed_at: when an exposure last came or changed. committed_at: when what the partition's runs
    took up last changed; None before the first.
    """

    exposures: frozenset[tuple[str, str]]
    changed_at: datetime
    committed_at: datetime | None = None


@dataclass(frozen=True)
class ChainRequest:
    """A run of the night chain for one night and tile."""

    night: date
    tile: str
    run_key: str


@dataclass(frozen=True)
class ChainTick:
    """The outcome of a database tick: tiles to add, runs to request, and the next cursor.

    before_calendar: nights that no run can have, since the calendar begins later.
    """

    new_tiles: tuple[str, ...]
    requests: tuple[ChainRequest, ...]
    cursor: str
    reason: str
    before_calendar: tuple[date, ...] = ()


def high_water(cursor: str | None, *, look_back_s: float) -> datetime | None:
    """Return from when on changes are to be read: the cursor less the look-back; None for all."""
    if not cursor:
        return None
    return datetime.fromisoformat(cursor) - timedelta(seconds=look_back_s)


def chain_tick(
    states: Mapping[PartitionId, PartitionState],
    cursor: str | None,
    *,
    known_tiles: Set[str],
    now: datetime,
    quiet_period_s: float,
    pipeline_version: str,
    first_night: date,
    n_max: int = 1000,
) -> ChainTick:
    """Decide which nights and tiles need a run, once nothing came to them for the quiet period.

    states: partitions that changed since `high_water(cursor)`, also those an exposure left. A night
    that has not begun waits for its day; one before first_night, where the calendar begins, is
    not requested but told.
    The run key holds the content, the last commit and the pipeline version: the same partition
    asked for again with the same content is the same request, which Dagster knows by its key; the
    same content after another had been taken up in between is a new one.
    """
    early = tuple(sorted({night for night, _ in states if night < first_night}))
    states = {key: state for key, state in states.items() if key[0] >= first_night}
    ready = sorted(
        key
        for key, state in states.items()
        if (now - state.changed_at).total_seconds() >= quiet_period_s and key[0] <= now.date()
    )[:n_max]
    waiting = [state.changed_at for key, state in states.items() if key not in set(ready)]
    requests = tuple(
        ChainRequest(
            night,
            tile,
            run_key(night, tile, states[night, tile], pipeline_version=pipeline_version),
        )
        for night, tile in ready
    )
    marks = [states[key].changed_at for key in ready]
    mark = max(marks, default=None)
    if waiting:
        mark = min(waiting) - timedelta(microseconds=1)
    following = (mark.isoformat() if mark else None) or cursor or ""
    if cursor and following and datetime.fromisoformat(following) < datetime.fromisoformat(cursor):
        following = cursor
    new_tiles = tuple(sorted({tile for _, tile in ready} - known_tiles))
    reason = f"{len(requests)} partitions are ready, {len(waiting)} wait for quiet"
    return ChainTick(new_tiles, requests, following, reason, early)


def run_key(night: date, tile: str, state: PartitionState, *, pipeline_version: str) -> str:
    """Return the run key of a partition's content after its last commit, under a version."""
    digest = _digest([state.committed_at, *sorted(state.exposures)])[:24]
    return f"{night.isoformat()}|{tile}|{digest}|{pipeline_version}"
