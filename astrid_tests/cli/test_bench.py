"""The benchmark of Dagster's share keeps away from what the settings of this machine name."""

from __future__ import annotations

import os

from astrid_assets.bench.dagster_share import _settings_of
from astrid_resources.settings import Settings


def test_the_benchmark_never_touches_the_stores_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("ASTRID_DATABASE_URL", "postgresql://user:secret@host/in_use")
    monkeypatch.setenv("ASTRID_OBJECT_STORE_URL", "s3://in_use")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine" / "dagster"))
    before = dict(os.environ)
    with _settings_of(tmp_path / "bench"):
        settings = Settings()
        assert settings.home == tmp_path / "bench"
        assert str(tmp_path / "bench") in settings.database_url.get_secret_value()
        assert settings.object_store_url.startswith((tmp_path / "bench").as_uri())
        assert "DAGSTER_HOME" not in os.environ
    assert dict(os.environ) == before
