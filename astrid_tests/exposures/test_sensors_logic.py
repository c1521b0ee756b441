"""What the sensors decide at a tick, and the partitions they name."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from astrid_assets.exposures.folder import FileStamp, FolderSnapshot, shown, snapshot_folder
from astrid_assets.exposures.sensors_logic import (
    PartitionState,
    chain_tick,
    folder_tick,
    high_water,
)
from astrid_assets.partitions import NIGHT_TILE, night_tile_partitions, partition_key, split_key

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def stamp(name: str, age_s: float, now: datetime = NOW, size: int = 10) -> FileStamp:
    return FileStamp(name, size, int((now.timestamp() - age_s) * 1e9))


def tick(files: list[FileStamp], cursor: str | None, now: datetime = NOW, rules: str = "r"):
    snapshot = FolderSnapshot(tuple(sorted(files)))
    return folder_tick(snapshot, cursor, now=now, quiet_period_s=10, rules=rules)


def test_an_empty_folder_asks_for_nothing() -> None:
    assert tick([], None).run_key is None


def test_settled_files_are_asked_for_once() -> None:
    first = tick([stamp("a", 100)], None)
    assert first.run_key is not None
    assert tick([stamp("a", 100)], first.cursor).run_key is None


def test_a_growing_file_does_not_hold_back_the_others() -> None:
    later = NOW + timedelta(seconds=30)
    first = tick([stamp("a", 100), stamp("b", 1)], None)
    assert first.run_key is not None
    again = tick([stamp("a", 100), stamp("b", 0.5, size=20)], first.cursor)
    assert again.run_key is None
    assert "written" in again.reason
    settled = tick([stamp("a", 100), stamp("b", 0.5, size=20)], again.cursor, later)
    assert settled.run_key not in (None, first.run_key)


def test_a_clock_in_the_future_settles_by_staying_unchanged() -> None:
    files = [stamp("a", -1e6)]
    first = tick(files, None)
    assert first.run_key is None
    second = tick(files, first.cursor, NOW + timedelta(seconds=30))
    assert second.run_key is not None
    assert tick(files, second.cursor, NOW + timedelta(seconds=60)).run_key is None


def test_new_rules_and_new_content_are_asked_for_again() -> None:
    first = tick([stamp("a", 100)], None)
    assert tick([stamp("a", 100)], first.cursor, rules="other").run_key is not None
    assert tick([stamp("a", 50)], first.cursor).run_key is not None
    assert len(first.cursor) < 400


def test_the_listing_reads_no_file_and_skips_what_is_unfinished(tmp_path: Path) -> None:
    for name in (
        "s/a.FITS",
        "s/b.fits.gz",
        "s/c.fits.part",
        ".hidden/d.fits",
        "s/.e.fits",
        "s/sidecar.csv",
        "s/readme.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        path.chmod(0o000)
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.fits")
    found = snapshot_folder(tmp_path)
    assert [item.name for item in found.images] == ["s/a.FITS", "s/b.fits.gz"]
    assert [item.name for item in found.sidecars] == ["s/sidecar.csv"]
    assert found.ignored == ("s/readme.txt",)
    assert snapshot_folder(tmp_path / "missing") == FolderSnapshot()
    assert shown("a\nb\udcff") == "a\\x0ab\\udcff"


def state(*exposures: str, age_s: float = 1000) -> PartitionState:
    return PartitionState(
        frozenset((name, "") for name in exposures), NOW - timedelta(seconds=age_s)
    )


def chain(states, cursor=None, known=frozenset(), now=NOW, version="1"):
    return chain_tick(
        states,
        cursor,
        known_tiles=known,
        now=now,
        quiet_period_s=60,
        pipeline_version=version,
        first_night=date(2016, 1, 1),
    )


def test_a_quiet_partition_is_requested_with_its_new_tile() -> None:
    key = (date(2018, 8, 3), "5-1")
    first = chain({key: state("a", "b")})
    assert first.new_tiles == ("5-1",)
    assert [(item.night, item.tile) for item in first.requests] == [key]
    same = chain({key: state("b", "a")}, first.cursor, {"5-1"})
    assert same.new_tiles == ()
    assert same.requests[0].run_key == first.requests[0].run_key
    for other in (chain({key: state("a")}), chain({key: state("a", "b")}, version="2")):
        assert other.requests[0].run_key != first.requests[0].run_key


def test_a_busy_partition_waits_and_is_not_forgotten() -> None:
    quiet, busy = (date(2018, 8, 3), "5-1"), (date(2018, 8, 4), "5-1")
    states = {quiet: state("a", age_s=100), busy: state("b", age_s=5)}
    first = chain(states)
    assert [item.night for item in first.requests] == [date(2018, 8, 3)]
    since = high_water(first.cursor, look_back_s=0)
    assert since is not None
    assert since < states[busy].changed_at
    later = chain(states, first.cursor, now=NOW + timedelta(seconds=100))
    assert date(2018, 8, 4) in [item.night for item in later.requests]


def test_an_emptied_partition_is_run_too_and_nothing_keeps_the_cursor() -> None:
    key = (date(2018, 8, 3), "5-1")
    assert len(chain({key: state()}).requests) == 1
    assert chain({}, "2026-01-01T00:00:00+00:00").cursor == "2026-01-01T00:00:00+00:00"
    assert high_water(None, look_back_s=5) is None


def test_partition_keys_go_there_and_back() -> None:
    key = partition_key(date(2018, 8, 3), "5-11370")
    assert str(key) == "2018-08-03|5-11370"
    assert split_key(key) == split_key(str(key)) == (date(2018, 8, 3), "5-11370")
    with pytest.raises(ValueError, match="NIGHT"):
        split_key("2018-08-03")
    assert sorted(item.name for item in NIGHT_TILE.partitions_defs) == ["night", "tile"]


def test_tonight_is_a_partition() -> None:
    today = datetime.now(UTC).date()
    nights = night_tile_partitions(today - timedelta(days=3)).get_partitions_def_for_dimension(
        "night"
    )
    assert today.isoformat() in nights.get_partition_keys()
