"""`astrid models`: what is listed, the way back, and that Dagster and MLflow hear of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from astrid_assets.cli import app
from astrid_assets.cli.instance import persistent_instance
from astrid_assets.detections.model_in_use import active_model
from astrid_assets.reported import reported_version
from astrid_resources.database import AuditEntry, Database
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.objects import ObjectStore
from astrid_resources.settings import Settings
from astrid_tests.detections.stored_models import store_model, take_into_use


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    made = Database(Settings().database_url)
    made.upgrade()
    yield made
    made.dispose()


def _run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["models", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_way_back_is_one_command_and_others_hear_of_it(database: Database) -> None:
    store = ObjectStore.from_url(Settings().object_store_url)
    shipped = active_model(database)
    challenger, _ = store_model(database, store, "2-test")
    take_into_use(database, challenger)
    code, text = _run("list", "--json")
    assert code == 0
    listed = json.loads(text)
    assert [(entry["version"], entry["is_in_use"]) for entry in listed] == [
        ("2-test", True),
        (shipped.version, False),
    ]
    code, text = _run("rollback", "--reason", "ghosts at night")
    assert code == 0
    assert f"in use: {shipped.name} {shipped.version}" in text
    assert active_model(database).id == shipped.id
    with database.read() as session:
        entry = session.query(AuditEntry).filter_by(action="rolled_back").one()
    assert entry.user_id
    assert "ghosts at night" in entry.change_summary
    with persistent_instance(Settings()) as instance:
        assert reported_version(instance, "champion_model") == shipped.content_sha256
    assert MLflowTracking().sha256_of("champion") == shipped.content_sha256
    assert "rolled_back" in _run("list")[1]


def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    shipped = active_model(database)
    for arguments, words in (
        (("rollback",), "nothing was before it"),
        (("rollback", "--to", "nonsense"), "means 0 models"),
        (("promote", shipped.version), "no stored test set"),
        (("promote", "nonsense"), "means 0 models"),
    ):
        code, text = _run(*arguments)
        assert code == 1
        said = (text + capfd.readouterr().err).strip()
        assert words in said
        assert said.count("\n") == 0
    assert active_model(database).id == shipped.id
