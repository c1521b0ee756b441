"""MLflow: runs with a lifecycle of their own, and the registry that mirrors the table `models`.

A thin shell over MLflow's client, which keeps no active run in the process: every run that begins
also ends. MLflow itself is imported only when it is used. Which model is in use is decided by a
table of the database; the alias `champion` follows it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource
from pydantic import Field, SecretStr

from astrid_resources.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
_SHA256_TAG = "content_sha256"
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
        with _s3_environment(Settings()):
            self.client.log_artifact(self.run_id, str(path), folder)


@dataclass(frozen=True)
class RegisteredModel:
    """A model as MLflow's registry shows it: found by the sha256 of the file that scores.

    source: where the file is (an object's key, or `package:`); run_id: of its training, if any.
    """

    version: str
    sha256: str
    source: str
    run_id: str | None = None


class MLflowTracking(ConfigurableResource):
    """Where training runs are recorded and models registered; what is empty comes from settings.

    tracking_uri: MLflow's store, `sqlite:///…` or `postgresql://…`; a plain folder is refused by
    MLflow 3. artifact_location: a folder or `s3://…` for the runs' files. Neither holds a password
    here: that stays in the environment.
    """

    tracking_uri: str = Field(default="", description="MLflow's tracking store; empty: settings")
    artifact_location: str = Field(
        default="", description="folder or address of the runs' files; empty: settings"
    )
    experiment: str = Field(default="astrid", description="name of the MLflow experiment")
    model_name: str = Field(default="astrid-unet", description="name of the registered model")

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

    def mirror(self, aliases: Mapping[str, RegisteredModel | None]) -> None:
        """Make the registry's aliases name these models; a model it does not know is registered.

        None takes an alias away. Running it again changes nothing.
        """
        client = self._client()
        if not client.search_registered_models(f"name='{self.model_name}'"):
            client.create_registered_model(self.model_name)
        known = {
            item.tags.get(_SHA256_TAG): str(item.version)
            for item in client.search_model_versions(f"name='{self.model_name}'")
        }
        for alias, model in aliases.items():
            if model is None:
                client.delete_registered_model_alias(self.model_name, alias)
                continue
            version = known.get(model.sha256)
            if version is None:
                made = client.create_model_version(
                    self.model_name,
                    source=model.source,
                    run_id=model.run_id,
                    tags={_SHA256_TAG: model.sha256, "version": model.version},
                )
                version = known[model.sha256] = str(made.version)
            client.set_registered_model_alias(self.model_name, alias, version)

    def sha256_of(self, alias: str) -> str | None:
        """Return the sha256 of the model that an alias names, None where it names none."""
        client = self._client()
        for found in client.search_registered_models(f"name='{self.model_name}'"):
            version = found.aliases.get(alias)
            if version is not None:
                tags = client.get_model_version(self.model_name, str(version)).tags
                return None if _SHA256_TAG not in tags else str(tags[_SHA256_TAG])
        return None

    def _client(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        return MlflowClient(
            tracking_uri=_with_driver(self.tracking_uri or Settings().mlflow_tracking_uri)
        )

    def _experiment_id(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = self.artifact_location or Settings().mlflow_artifact_url
        if "://" not in location:
            location = Path(location).expanduser().absolute().as_uri()
        return str(client.create_experiment(self.experiment, artifact_location=location))


def _with_driver(uri: str) -> str:
    """Return the address with the driver we have: SQLAlchemy 2.1 would choose another."""
    scheme, separator, rest = uri.partition("://")
    named = "postgresql+psycopg2" if scheme in {"postgresql", "postgres"} else scheme
    return f"{named}{separator}{rest}"


@contextmanager
def _s3_environment(settings: Settings) -> Iterator[None]:
    """Let MLflow, which asks the environment alone, see the S3 settings; what is set there wins."""
    wanted = {
        "MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "AWS_DEFAULT_REGION": settings.s3_region,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_access_key,
    }
    added = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in wanted.items()
        if value is not None and name not in os.environ
    }
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
