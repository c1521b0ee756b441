"""What both end-to-end tests share: an installation of its own, the demo run, tables compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from astrid_assets.cli.demo_frames import demo_partitions
from astrid_assets.cli.pipeline import Pipeline, open_pipeline
from astrid_assets.definitions import build_defs
from astrid_assets.jobs import NIGHT_CHAIN_ASSETS
from astrid_resources.database import Base
from astrid_resources.settings import Settings


@contextmanager
def installation(home: Path) -> Iterator[Pipeline]:
    """Yield the pipeline of an ASTRID_HOME of its own."""
    kept = {name: os.environ.get(name) for name in ("ASTRID_HOME", "DAGSTER_HOME")}
    os.environ["ASTRID_HOME"] = str(home)
    try:
        with open_pipeline(Settings()) as pipeline:
            yield pipeline
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_chain(pipeline: Pipeline, *, is_synthetic: bool) -> None:
    """Ingest the drop folder, run the first night, its reference, and the second night."""
    outcomes = [pipeline.ingest(pipeline.settings.drop_folder)]
    partitions = demo_partitions(pipeline.database, is_synthetic=is_synthetic)
    assert len(partitions) == 2
    (first, tile), (second, same) = partitions
    assert tile == same
    outcomes += [
        pipeline.run_night(first, tile),
        pipeline.make_references(tile),
        pipeline.run_night(second, tile),
    ]
    for outcome in outcomes:
        assert outcome.is_success, outcome.failures


def every_row(pipeline: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, sorted, with all its columns."""
    with pipeline.database.read() as session:
        return {
            table.name: sorted(tuple(map(str, row)) for row in session.execute(sa.select(table)))
            for table in Base.metadata.sorted_tables
        }


def every_object(pipeline: Pipeline) -> dict[str, int]:
    """Return the size of every object by its key."""
    folder = pipeline.settings.home / "objects"
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def materialised_partitions(pipeline: Pipeline) -> dict[str, set[str]]:
    """Return the partitions that Dagster calls materialised, for chain and reference assets."""
    return {
        name: set(pipeline.instance.get_materialized_partitions(dg.AssetKey(name)))
        for name in (*NIGHT_CHAIN_ASSETS, "reference_images")
    }


def check_results(pipeline: Pipeline) -> dict[str, bool]:
    """Return whether each asset check passed at its last evaluation."""
    graph = build_defs().resolve_asset_graph()
    records = pipeline.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        list(graph.asset_check_keys)
    )
    return {
        key.name: bool(record.event.dagster_event.asset_check_evaluation_data.passed)
        for key, record in records.items()
        if record.event is not None and record.event.dagster_event is not None
    }
