"""Settings come from the environment, each time, and show no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.settings import Settings, settings_table


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ASTRID_{name.upper()}", raising=False)
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path))


def test_everything_stands_under_home(tmp_path: Path):
    settings = Settings()
    assert settings.home == tmp_path
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/astrid.sqlite"
    assert settings.object_store_url == (tmp_path / "objects").as_uri()
    assert settings.drop_folder == tmp_path / "incoming"
    assert settings.dagster_home == tmp_path / "dagster"
    assert settings.data is None


def test_the_environment_is_read_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ASTRID_FIRST_NIGHT", "2020-02-29")
    monkeypatch.setenv("ASTRID_DATA", "")
    assert Settings().first_night.isoformat() == "2020-02-29"
    assert Settings().data is None
    monkeypatch.setenv("ASTRID_DATA", "relative")
    assert Settings().data == Path.cwd() / "relative"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ASTRID_DATABASE_URL", "postgresql://astrid:hunter2@db/astrid")
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("ASTRID_MLFLOW_TRACKING_URI", "postgresql://m:hunter2@db/mlflow")
    settings = Settings()
    resource = DatabaseResource.from_settings(settings)
    for shown in (
        repr(settings),
        str(settings),
        settings.model_dump_json(exclude={"mlflow_tracking_uri"}),
        repr(resource),
        repr(resource.database),
        repr(resource.database.engine),
        repr(ObjectStoreResource.from_settings(settings)),
    ):
        assert "hunter2" not in shown
    assert resource.database.engine.url.drivername == "postgresql+psycopg2"


def test_a_password_is_not_taken_from_code():
    settings = Settings(database_url="postgresql://astrid:hunter2@db/astrid")
    with pytest.raises(ValueError, match="ASTRID_DATABASE_URL") as error:
        DatabaseResource.from_settings(settings)
    assert "hunter2" not in str(error.value)


def test_resources_follow_explicit_settings(tmp_path: Path):
    settings = Settings(home=tmp_path / "elsewhere")
    database = DatabaseResource.from_settings(settings).database
    assert str(tmp_path / "elsewhere" / "astrid.sqlite") in repr(database)
    assert "elsewhere/objects" in repr(ObjectStoreResource.from_settings(settings).store)


def test_the_table_names_every_setting():
    table = settings_table()
    assert all(f"`ASTRID_{name.upper()}`" in table for name in Settings.model_fields)
    assert len(table.splitlines()) == 2 + len(Settings.model_fields)
