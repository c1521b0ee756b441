"""Fixtures every room of tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def astrid_data() -> Path:
    """The read-only folder of real images that ASTRID_DATA names; skips where there is none."""
    named = os.environ.get("ASTRID_DATA")
    if not named:
        pytest.skip("ASTRID_DATA is not set: the real images are not here")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.skip(f"ASTRID_DATA names {folder}, which is not a folder")
    return folder
