"""The Dagster jobs run in this process on the persistent instance: ingest, references, nights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from astrid_assets.cli.instance import failures, persistent_instance, run_job
from astrid_assets.definitions import build_defs
from astrid_assets.detections.sensors import new_observations_of_champion
from astrid_assets.exposures.surveys_resource import SurveysResource
from astrid_assets.partitions import TILE, partition_key
from astrid_assets.reference.promotion import promote
from astrid_assets.reference.sensors import new_observations_of_references
from astrid_resources.database.connection import Database
from astrid_resources.settings import Settings


@dataclass(frozen=True)
class RunOutcome:
    """How a run of a job ended: its Dagster run id and a line for each failed step."""

    job: str
    partition: str | None
    run_id: str
    is_success: bool
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """An open installation: settings, database and Dagster instance."""

    settings: Settings
    database: Database
    instance: dg.DagsterInstance

    def ingest(self, folder: Path) -> RunOutcome:
        """Take the files of `folder` into the store."""
        surveys = SurveysResource(drop_folder=str(folder.absolute()))
        return self._run("ingest", None, {"surveys": surveys})

    def run_night(self, night: date, tile: str) -> RunOutcome:
        """Run every stage of a night and tile."""
        self.register_tile(tile)
        self._report_model()
        return self._run("night_chain", str(partition_key(night, tile)))

    def make_references(self, tile: str) -> RunOutcome:
        """Make the candidates for the references of a tile, and promote what passes."""
        self.register_tile(tile)
        outcome = self._run("tile_references", tile)
        for event in new_observations_of_references(self.instance, promote(self.database)):
            self.instance.report_runless_asset_event(event)
        return outcome

    def register_tile(self, tile: str) -> None:
        """Make the tile known as a partition."""
        if not self.instance.has_dynamic_partition(TILE, tile):
            self.instance.add_dynamic_partitions(TILE, [tile])

    def _report_model(self) -> None:
        for event in new_observations_of_champion(self.instance, self.database):
            self.instance.report_runless_asset_event(event)

    def _run(
        self, job: str, partition: str | None, overrides: dict[str, Any] | None = None
    ) -> RunOutcome:
        definitions = build_defs(overrides)
        result = run_job(definitions, self.instance, job, partition_key=partition)
        return RunOutcome(job, partition, result.run_id, result.success, tuple(failures(result)))


@contextmanager
def open_pipeline(settings: Settings | None = None) -> Iterator[Pipeline]:
    """Yield the installation under ASTRID_HOME, its schema up to date."""
    settings = settings or Settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    logging.getLogger("dagster").setLevel(logging.ERROR)
    database = Database(settings.database_url)
    database.upgrade()
    try:
        with persistent_instance(settings) as instance:
            yield Pipeline(settings, database, instance)
    finally:
        database.dispose()
