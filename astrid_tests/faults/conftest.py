"""The servers and stores of the resource tests, for the long fault tests too."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from astrid_tests.faults.place import Places
from astrid_tests.faults.undisturbed import Undisturbed
from astrid_tests.resources.conftest import (
    local_store,
    postgresql_server,
    postgresql_template,
    postgresql_url,
    s3_endpoint,
    s3_store,
    sqlite_template,
    sqlite_url,
)

__all__ = [
    "local_store",
    "postgresql_server",
    "postgresql_template",
    "postgresql_url",
    "s3_endpoint",
    "s3_store",
    "sqlite_template",
    "sqlite_url",
]


@pytest.fixture(scope="session")
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Makes installations."""
    return Places(request, tmp_path_factory.mktemp("places"))


@pytest.fixture(scope="session")
def undisturbed(places: Places) -> Undisturbed:
    """Two nights with a transient between them and a file that is no image, on SQLite."""
    return Undisturbed.run(places.make())


@pytest.fixture(scope="session")
def dagster_template(postgresql_server: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with Dagster's own empty tables."""
    postgresql_server.psql("CREATE DATABASE dagster_template;")
    url = postgresql_server.get_uri("dagster_template")
    url = url.replace("postgresql://", "postgresql+psycopg2://", 1)
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.get_runs_count()
        instance.get_asset_keys()
        instance.get_dynamic_partitions("tile")
        instance.all_instigator_state()
    return "dagster_template"
