"""MLflow tracking with a run lifecycle of its own: every run that begins also ends.

A thin shell over MLflow's client, which keeps no active run in the process; MLflow itself is
imported only when a run is tracked. Which model is in use is a table of the database, not this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource
from pydantic import Field

_MAX_PARAMETER_LENGTH = 6000


@dataclass(frozen=True)
class TrackedRun:
    """A run that is being tracked; usable inside `MLflowTracking.run` only."""

    run_id: str
    client: Any

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record `parameters` as text; nested mappings become dotted names."""
        for name, value in _flat(parameters):
            self.client.log_param(self.run_id, name, str(value)[:_MAX_PARAMETER_LENGTH])

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """Record numbers at `step`; None (not measured) is left out."""
        for name, value in metrics.items():
            if value is not None:
                self.client.log_metric(self.run_id, name, float(value), step=step)

    def log_file(self, path: Path, *, folder: str | None = None) -> None:
        """Store a file as an artefact of the run."""
        self.client.log_artifact(self.run_id, str(path), folder)


class MLflowTracking(ConfigurableResource):
    """Where training runs are recorded.

    tracking_uri: MLflow's store, `sqlite:///…` or `postgresql://…`; a plain folder is refused by
    MLflow 3. artifact_location: a folder or address for the runs' files.
    """

    tracking_uri: str = Field(description="MLflow's tracking store, for example sqlite:///FILE")
    artifact_location: str = Field(description="folder or address where runs' files are kept")
    experiment: str = Field(default="astrid", description="name of the MLflow experiment")

    @contextmanager
    def run(
        self, name: str, *, parameters: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedRun]:
        """Track one run: it ends FINISHED, or FAILED where the body raises; the error propagates.

        No active run is left in the process, so that any number of runs may follow or be nested.
        """
        client = self._client()
        run = client.create_run(self._experiment_id(client), run_name=name, tags=dict(tags or {}))
        tracked = TrackedRun(run.info.run_id, client)
        status = "FAILED"
        try:
            tracked.log_parameters(parameters)
            yield tracked
            status = "FINISHED"
        finally:
            client.set_terminated(tracked.run_id, status=status)

    def _client(self) -> Any:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri)

    def _experiment_id(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = self.artifact_location
        if "://" not in location:
            location = Path(location).expanduser().absolute().as_uri()
        return str(client.create_experiment(self.experiment, artifact_location=location))


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
