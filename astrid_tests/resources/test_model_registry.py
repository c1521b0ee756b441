"""Tracked runs on a real SQLite store: they end, they fail, none stays active."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrid_resources.model_registry import MLflowTracking

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)


def test_runs_end_and_none_stays_active(tmp_path: Path) -> None:
    tracking = MLflowTracking(
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.sqlite'}",
        artifact_location=str(tmp_path / "runs"),
    )
    note = tmp_path / "note.txt"
    note.write_text("a file")
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
    assert [item.path for item in client.list_artifacts(outer.run_id)] == ["note.txt"]
    assert client.get_run(inner.run_id).info.status == "FINISHED"
    assert failed.info.status == "FAILED"
    assert failed.data.tags["kind"] == "test"
    assert len({run.info.experiment_id for run in (finished, failed)}) == 1
