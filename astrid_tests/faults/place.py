"""Installations for the fault tests: where they store, and what stands there."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from astrid_resources.database import Base, Database
from astrid_resources.identity import VOLATILE_COLUMNS
from astrid_resources.integrity import verify
from astrid_resources.objects import ObjectStore

BUCKET = "astrid"
CLOCK_COLUMNS = {
    "delivered_files": {"seen_at"},
    "quarantined_files": {"first_seen", "last_seen"},
    "models": {"deployment_date", "decided_at"},
    "audit_log": {"id"},
}
"""When somebody looked or decided: left out of comparisons beside the volatile columns."""

DAGSTER = """\
telemetry: {enabled: false}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
"""Dagster's settings: no processes that follow what runs print."""

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Place:
    """An installation: its ASTRID_HOME and further settings, as environment variables."""

    environment: dict[str, str]

    @property
    def home(self) -> Path:
        """Its data folder."""
        return Path(self.environment["ASTRID_HOME"])

    @property
    def drop(self) -> Path:
        """Its drop folder."""
        return Path(self.environment["ASTRID_DROP_FOLDER"])

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Yield its database."""
        database = Database(self.environment["ASTRID_DATABASE_URL"])
        yield database
        database.dispose()

    def store(self) -> ObjectStore:
        """Return its object store."""
        return ObjectStore.from_url(
            self.environment["ASTRID_OBJECT_STORE_URL"],
            endpoint_url=self.environment.get("ASTRID_S3_ENDPOINT_URL"),
            region=self.environment.get("ASTRID_S3_REGION"),
            access_key_id=SecretStr("test"),
            secret_access_key=SecretStr("test"),
        )

    def rows(self, *tables: str) -> Rows:
        """Return every row of every table (or of some) without what differs from run to run."""
        with self.database() as database, database.read() as session:
            return {
                table.name: [
                    {key: value for key, value in row.items() if key not in _left_out(table)}
                    for row in session.execute(sa.select(table).order_by(table.c.id)).mappings()
                ]
                for table in Base.metadata.sorted_tables
                if not tables or table.name in tables
            }

    def objects(self) -> list[tuple[str, int]]:
        """Return the key and size of every object; the key is the hash of its bytes."""
        return [(item.key, item.size) for item in self.store().list()]

    def query(self, text: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return what a statement selects."""
        with self.database() as database, database.read() as session:
            return [tuple(row) for row in session.execute(sa.text(text), values)]

    def require_clean(self, *, is_reading: bool = True) -> None:
        """Fail unless `astrid verify` finds nothing wrong."""
        with self.database() as database:
            found = verify(database, self.store(), is_reading=is_reading)
        assert [problem.text for problem in found.problems] == []


def _left_out(table: sa.Table) -> set[str]:
    return set(VOLATILE_COLUMNS) | CLOCK_COLUMNS.get(table.name, set())


class Places:
    """Makes installations of one kind: `sqlite+local` or `postgresql+s3`."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder

    def make(self, kind: str = "sqlite+local", *, drop: Path | None = None) -> Place:
        """Return a fresh installation; drop: its drop folder, where another has it already."""
        home = self._folder / uuid.uuid4().hex[:8]
        (drop or home / "incoming").mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        environment = {
            "ASTRID_HOME": str(home),
            "ASTRID_DROP_FOLDER": str(drop or home / "incoming"),
            "ASTRID_OBJECT_STORE_URL": (home / "objects").as_uri(),
        }
        (home / "dagster").mkdir()
        if kind == "sqlite+local":
            (home / "dagster" / "dagster.yaml").write_text(DAGSTER)
            shutil.copyfile(self._get("sqlite_template"), home / "astrid.sqlite")
            environment["ASTRID_DATABASE_URL"] = f"sqlite:///{home / 'astrid.sqlite'}"
            return Place(environment)
        self._put_dagster_on_postgresql(home)
        environment["ASTRID_DATABASE_URL"] = self.new_database(self._get("postgresql_template"))
        return Place(environment | self._bucket())

    def new_database(self, template: str) -> str:
        """Return the URL of a copy of a PostgreSQL database."""
        server, name = self._get("postgresql_server"), f"t{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name} TEMPLATE {template};")
        return str(server.get_uri(name))

    def _bucket(self) -> dict[str, str]:
        made = {
            "ASTRID_OBJECT_STORE_URL": f"s3://{BUCKET}/{uuid.uuid4().hex}",
            "ASTRID_S3_ENDPOINT_URL": self._get("s3_endpoint"),
            "ASTRID_S3_REGION": "us-east-1",
            "ASTRID_S3_ACCESS_KEY_ID": "test",
            "ASTRID_S3_SECRET_ACCESS_KEY": "test",
        }
        client = Place(made).store().backend.client  # type: ignore[attr-defined]
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=BUCKET)
        client.close()
        return made

    def _put_dagster_on_postgresql(self, home: Path) -> None:
        url = self.new_database(self._get("dagster_template"))
        url = url.replace("postgresql://", "postgresql+psycopg2://", 1)
        storage = f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n"
        (home / "dagster" / "dagster.yaml").write_text(DAGSTER + storage)

    def _get(self, fixture: str) -> Any:
        return self._request.getfixturevalue(fixture)
