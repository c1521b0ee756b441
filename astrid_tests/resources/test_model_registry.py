"""MLflow on its real stores, SQLite with files and PostgreSQL with S3: runs end, aliases follow."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from astrid_resources.model_registry import MLflowTracking, RegisteredModel
from astrid_resources.objects import ObjectStore
from astrid_tests.resources.conftest import BUCKET

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",
    # MLflow's S3 client in botocore, and its own tables on PostgreSQL.
    "ignore:datetime.datetime.utcnow:DeprecationWarning",
)


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.sqlite"


@pytest.fixture
def embedded(sqlite_file: Path, tmp_path: Path) -> MLflowTracking:
    """A resource with an experiment and a model of its own in one SQLite file."""
    own = uuid.uuid4().hex
    return MLflowTracking(
        tracking_uri=f"sqlite:///{sqlite_file}",
        artifact_location=str(tmp_path / "runs"),
        experiment=own,
        model_name=own,
    )


def _check_runs(tracking: MLflowTracking, note: Path) -> None:
    with tracking.run("outer", parameters={"seed": 7, "fit": {"n_steps": 3}}) as outer:
        outer.log_metrics({"loss": 0.5, "unknown": None}, step=1)
        outer.log_metrics({"loss": 0.25}, step=2)
        outer.log_file(note)
        with tracking.run("inner", parameters={}) as inner:
            inner.log_metrics({"loss": 1})
    with (
        pytest.raises(RuntimeError, match="broken"),
        tracking.run("bad", parameters={}, tags={"kind": "test"}) as bad,
    ):
        raise RuntimeError("broken")

    import mlflow

    assert mlflow.active_run() is None
    client = outer.client
    finished, failed = client.get_run(outer.run_id), client.get_run(bad.run_id)
    assert finished.info.status == "FINISHED"
    assert finished.data.params == {"seed": "7", "fit.n_steps": "3"}
    assert finished.data.metrics == {"loss": 0.25}
    assert client.get_run(inner.run_id).info.status == "FINISHED"
    assert failed.info.status == "FAILED"
    assert failed.data.tags["kind"] == "test"
    assert len({run.info.experiment_id for run in (finished, failed)}) == 1


def test_runs_end_and_none_stays_active(embedded: MLflowTracking, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a file")
    _check_runs(embedded, note)
    (stored,) = (tmp_path / "runs").rglob("note.txt")
    assert stored.read_text() == "a file"


def test_production_stores_are_chosen_by_settings_alone(
    postgresql_server: Any,
    s3_store: ObjectStore,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postgresql_server.psql("CREATE DATABASE mlflow;")
    prefix = uuid.uuid4().hex
    monkeypatch.setenv("ASTRID_MLFLOW_TRACKING_URI", postgresql_server.get_uri("mlflow"))
    monkeypatch.setenv("ASTRID_MLFLOW_ARTIFACT_URL", f"s3://{BUCKET}/{prefix}")
    monkeypatch.setenv("ASTRID_S3_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("ASTRID_S3_REGION", "us-east-1")
    monkeypatch.setenv("ASTRID_S3_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", "test")
    note = tmp_path / "note.txt"
    note.write_text("a file")
    tracking = MLflowTracking()
    assert tracking.tracking_uri == "", "no address with a password is part of the configuration"
    _check_runs(tracking, note)
    assert "MLFLOW_S3_ENDPOINT_URL" not in os.environ
    client = s3_store.backend.client  # type: ignore[attr-defined]
    (found,) = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert found["Key"].endswith("note.txt")
    model = RegisteredModel("1", "a" * 64, "sha256/aa/" + "a" * 64)
    tracking.mirror({"champion": model})
    assert tracking.sha256_of("champion") == "a" * 64


def test_aliases_follow_and_a_model_is_registered_once(embedded: MLflowTracking) -> None:
    assert embedded.sha256_of("champion") is None
    first = RegisteredModel("2-a", "a" * 64, "package:model.onnx")
    second = RegisteredModel("2-b", "b" * 64, "sha256/bb/" + "b" * 64)
    embedded.mirror({"champion": first, "challenger": second})
    assert embedded.sha256_of("champion") == first.sha256
    assert embedded.sha256_of("challenger") == second.sha256
    embedded.mirror({"champion": second, "challenger": None})
    embedded.mirror({"champion": second, "challenger": None})
    assert embedded.sha256_of("champion") == second.sha256
    assert embedded.sha256_of("challenger") is None
    embedded.mirror({"champion": first})
    assert embedded.sha256_of("champion") == first.sha256
    versions = embedded._client().search_model_versions(f"name='{embedded.model_name}'")
    assert len(versions) == 2
