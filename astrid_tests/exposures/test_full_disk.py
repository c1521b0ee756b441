"""A store or a folder that takes no more: a clear error, nothing half-written, and a repetition.

Really full: a tiny file system where one can be mounted, a limit on the size of files anywhere.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.cli.output import whole_files
from astrid_resources.objects import ObjectStore, StoreUnwritableError
from astrid_tests.exposures.conftest import Place
from astrid_tests.exposures.fits_files import as_bytes, header

ROOM = 1 << 20
LARGE = np.random.default_rng(1).bytes(4 * ROOM)


def mounted(folder: Path, *options: str) -> bool:
    """Mount a file system of one megabyte; False where this user may not."""
    wanted = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={ROOM}", *options)), "tmpfs", folder]
    return subprocess.run(wanted, capture_output=True, check=False).returncode == 0


@contextmanager
def a_full_disk(folder: Path) -> Iterator[None]:
    if not mounted(folder):
        pytest.skip("no file system can be mounted by this user")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def a_limit_on_files(folder: Path) -> Iterator[None]:
    del folder
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def a_read_only_place(folder: Path) -> Iterator[None]:
    if not mounted(folder, "ro"):
        if os.geteuid() == 0:
            pytest.skip("root writes everywhere, and nothing can be mounted")
        folder.chmod(0o555)
    try:
        yield
    finally:
        if folder.is_mount():
            subprocess.run(["umount", folder], check=True)
        folder.chmod(0o755)


PLACES = {
    "full disk": (a_full_disk, "No space left on device"),
    "limit on files": (a_limit_on_files, "File too large"),
    "read-only": (a_read_only_place, "Read-only file system|Permission denied"),
}


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", PLACES)
def test_a_store_that_takes_no_more_says_so_and_keeps_nothing(name: str, tmp_path: Path):
    unwritable, words = PLACES[name]
    folder, delivered = tmp_path / "objects", tmp_path / "large.fits"
    folder.mkdir()
    delivered.write_bytes(LARGE)
    store = ObjectStore.from_url(folder.as_uri())
    with unwritable(folder):
        for put in (lambda: store.put_bytes(LARGE), lambda: store.put_file(delivered)):
            with pytest.raises(StoreUnwritableError, match=words) as refused:
                put()
            assert "make room" in str(refused.value)
            assert isinstance(refused.value.__cause__, OSError)
            assert files_under(folder) == []
        if name != "read-only":
            key = store.put_bytes(b"small").key
            assert store.get_bytes(key) == b"small"
    kept = store.put_file(delivered)
    assert store.get_bytes(kept.key) == LARGE


@pytest.mark.parametrize("name", PLACES)
def test_ingest_into_a_full_store_fails_whole_and_succeeds_when_repeated(name: str, place: Place):
    unwritable, words = PLACES[name]
    data = np.random.default_rng(2).normal(100, 5, (800, 800)).astype(np.float32)
    place.put("directory/large.fits", as_bytes(fits.PrimaryHDU(data, header())))
    folder = place.store.backend.folder  # type: ignore[attr-defined]
    folder.mkdir()
    with unwritable(folder):
        with pytest.raises(StoreUnwritableError, match=words):
            place.look()
        assert place.everything() == []
        assert files_under(folder) == []
    report = place.look()
    assert len(report.ingested) == 1
    assert all(item.size > 0 for item in place.store.list())


def test_a_delivered_file_that_cannot_be_read_is_not_the_stores_fault(local: ObjectStore):
    with pytest.raises(FileNotFoundError):
        local.put_file("/nowhere/x.fits")


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return ObjectStore.from_url((tmp_path / "objects").as_uri())


def write_two(out: Path) -> None:
    with whole_files(out) as staged:
        (staged / "first.txt").write_bytes(b"whole")
        (staged / "second.fits").write_bytes(LARGE)


@pytest.mark.parametrize("name", PLACES)
def test_results_of_a_command_come_whole_or_not_at_all(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    unwritable, words = PLACES[name]
    out = tmp_path / "out"
    out.mkdir()
    with unwritable(out):
        with pytest.raises(SystemExit):
            write_two(out)
        said = capsys.readouterr().err
        assert any(text in said for text in words.split("|"))
        assert said.count("\n") == 1
        assert files_under(out) == []
    write_two(out)
    assert sorted(path.name for path in files_under(out)) == ["first.txt", "second.fits"]


def test_an_error_of_another_kind_is_not_hidden(local: ObjectStore, monkeypatch):
    def lost(self: ObjectStore, *arguments: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(ObjectStore, "_put", lost)
    with pytest.raises(TypeError, match="a bug"):
        local.put_bytes(b"x")
