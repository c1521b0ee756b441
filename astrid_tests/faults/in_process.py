"""An installation's pipeline opened in this process, where a test can look at it and break it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import yaml

from astrid_assets.cli.instance import project_file
from astrid_assets.cli.pipeline import Pipeline, open_pipeline
from astrid_assets.jobs import NIGHT_CHAIN_ASSETS
from astrid_assets.observations import partitions_of
from astrid_tests.faults.place import Place

COUNTED = ("store_retries", "store_wait_s", "store_quarantined")


def log_as_json(place: Place, path: Path) -> Place:
    """Return the installation with its runs' logs going to a file as JSON lines, as ours do."""
    settings = place.home / "dagster" / "dagster.yaml"
    ours = yaml.safe_load(project_file("dagster.yaml").read_text())
    text = settings.read_text() if settings.exists() else ""
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"{text}\n{yaml.safe_dump({'python_logs': ours['python_logs']})}")
    return Place({**place.environment, "ASTRID_LOG_JSON": str(path)})


@contextmanager
def opened(place: Place) -> Iterator[Pipeline]:
    """Yield the pipeline of an installation; the environment is as before in the end."""
    kept = dict(os.environ)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(place.environment)
    try:
        with open_pipeline() as pipeline:
            yield pipeline
    finally:
        os.environ.clear()
        os.environ.update(kept)


def partitions(pipeline: Pipeline) -> list[tuple[date, str]]:
    """Return the nights and tiles that were observed, in order."""
    found = partitions_of(pipeline.database)
    return [(date.fromisoformat(str(entry["night"])), str(entry["tile"])) for entry in found]


def counted(instance: dg.DagsterInstance) -> Counter[str]:
    """Return the sums of what the materialisations of all assets say of retries and waits."""
    told: Counter[str] = Counter()
    for key in (*NIGHT_CHAIN_ASSETS, "reference_images", "ingested_files"):
        for record in instance.fetch_materializations(dg.AssetKey(key), limit=100).records:
            event = record.asset_materialization
            assert event is not None
            for name in COUNTED:
                told[name] += float(event.metadata[name].value)  # type: ignore[arg-type]
    return told
