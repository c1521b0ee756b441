"""What Dagster and the stores add to a run: a night twice, the second time unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from astrid_resources.settings import ENV_PREFIX


@dataclass(frozen=True)
class DagsterShare:
    """Seconds of wall clock.

    first: a night's chain; unchanged: again, all products taken over; load_definitions: a fresh
    process that imports the definitions.
    """

    first_s: float
    unchanged_s: float
    load_definitions_s: float
    n_exposures: int


def dagster_share() -> DagsterShare:
    """Run the synthetic demo's second night twice in an installation of its own.

    The stores that this machine's settings name are not touched.
    """
    from astrid_assets.cli.demo_frames import deliver_synthetic, demo_partitions
    from astrid_assets.cli.pipeline import open_pipeline
    from astrid_resources.settings import Settings

    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import astrid_assets.definitions"], check=True)
    load_definitions_s = time.perf_counter() - start
    with (
        tempfile.TemporaryDirectory() as home,
        _settings_of(Path(home)),
        open_pipeline(Settings()) as pipeline,
    ):
        frames = deliver_synthetic(Path(home) / "incoming")
        pipeline.ingest(Path(home) / "incoming")
        (first, tile), (second, _) = demo_partitions(pipeline.database, is_synthetic=True)
        pipeline.run_night(first, tile)
        pipeline.make_references(tile)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            outcome = pipeline.run_night(second, tile)
            seconds.append(time.perf_counter() - start)
            if not outcome.is_success:
                raise RuntimeError(f"the night's chain failed: {outcome.failures}")
    return DagsterShare(seconds[0], seconds[1], load_definitions_s, len(frames) // 2)


@contextmanager
def _settings_of(home: Path) -> Iterator[None]:
    """Let every setting be the default under `home`, and put the environment back."""
    kept = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.upper().startswith(ENV_PREFIX) or name == "DAGSTER_HOME"
    }
    os.environ[f"{ENV_PREFIX}HOME"] = str(home)
    try:
        yield
    finally:
        for name in (f"{ENV_PREFIX}HOME", "DAGSTER_HOME"):
            os.environ.pop(name, None)
        os.environ.update(kept)
