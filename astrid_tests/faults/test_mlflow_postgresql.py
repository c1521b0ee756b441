"""MLflow's own tables on PostgreSQL: a run is tracked there and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from astrid_resources.model_registry import MLflowTracking

pytestmark = pytest.mark.faults


def test_a_run_is_tracked_on_postgresql(postgresql_server: Any, tmp_path: Path):
    postgresql_server.psql("CREATE DATABASE mlflow;")
    uri = postgresql_server.get_uri("mlflow").replace("postgresql:", "postgresql+psycopg2:", 1)
    tracking = MLflowTracking(tracking_uri=uri, artifact_location=str(tmp_path / "runs"))
    with tracking.run("one", parameters={"seed": 7}) as run:
        run.log_metrics({"loss": 0.25})
    found = run.client.get_run(run.run_id)
    assert (found.info.status, found.data.params) == ("FINISHED", {"seed": "7"})
    assert found.data.metrics == {"loss": 0.25}
    count = "SELECT count(*) FROM metrics;"
    uri = postgresql_server.get_uri("mlflow")
    import psycopg2

    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(count)
        assert cursor.fetchone() == (1,)
    connection.close()
