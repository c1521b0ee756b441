"""What is damaged in a real installation is found, withdrawn and made again, to the byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.undisturbed import Undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copied(places: Places, undisturbed: Undisturbed) -> Place:
    """A copy of the undisturbed installation, to be damaged."""
    place = places.make(drop=undisturbed.place.drop)
    shutil.rmtree(place.home)
    shutil.copytree(undisturbed.place.home, place.home)
    return place


def astrid(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command `astrid` on an installation."""
    return subprocess.run(
        [sys.executable, "-c", "from astrid_assets.cli import main; main()", *arguments],
        env=os.environ | place.environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


def stored(place: Place, asset: str, night: str | None, role: str) -> Path:
    """Return the file of an object of a product."""
    where = "night IS NULL" if night is None else f"night = '{night}'"
    rows = place.query(
        f"SELECT objects FROM products WHERE asset = '{asset}' AND {where} AND is_current"
    )
    objects = json.loads(rows[0][0])
    return place.home / "objects" / objects[role]["key"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_repair_makes_again_what_was_damaged(copied: Place, undisturbed: Undisturbed):
    flip_a_bit(stored(copied, "calibrated_exposures", "2016-08-17", "image"))
    flip_a_bit(stored(copied, "reference_images", None, "image"))
    stored(copied, "difference_images", "2018-08-03", "difference").unlink()
    with copied.database() as database, database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE candidates SET flux = flux + 1 WHERE rank = 0")
    found = astrid(copied, "verify")
    assert found.returncode == 1, found.stdout + found.stderr
    done = astrid(copied, "verify", "--repair", "--run")
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed.require_same(copied)
    assert astrid(copied, "verify").returncode == 0
