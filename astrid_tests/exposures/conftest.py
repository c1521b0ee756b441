"""Fixtures of this room: one decoding child for all tests, a fresh store and database for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from astrid_assets.exposures.decode import Decoder
from astrid_assets.exposures.ingest import IngestReport, ingest_folder
from astrid_assets.exposures.survey import SurveyConfig, load_surveys
from astrid_resources.database import Database, DeliveredFile, Observation, QuarantinedFile
from astrid_resources.objects import ObjectStore

QUIET = timedelta(hours=1)


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    with Decoder() as child:
        yield child


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "empty.sqlite"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    database.dispose()
    return path


@dataclass
class Place:
    """A drop folder with its store and database; `look` ingests with a clock one hour on."""

    folder: Path
    database: Database
    store: ObjectStore
    decoder: Decoder
    surveys: Mapping[str, SurveyConfig]
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + QUIET)

    def look(self, **options: Any) -> IngestReport:
        self.now += timedelta(seconds=1)
        now: Callable[[], datetime] = lambda: self.now  # noqa: E731
        arguments = {
            "store": self.store,
            "database": self.database,
            "surveys": self.surveys,
            "decoder": self.decoder,
            "now": now,
            **options,
        }
        return ingest_folder(self.folder, **arguments)

    def put(self, name: str, content: bytes, *, mtime: float = 1e9) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return path

    def rows(self, table: type[Any]) -> list[Any]:
        with self.database.session() as session:
            return list(session.scalars(sa.select(table).order_by(table.created_at, table.id)))

    @property
    def observations(self) -> list[Observation]:
        return self.rows(Observation)

    @property
    def quarantined(self) -> list[QuarantinedFile]:
        return self.rows(QuarantinedFile)

    def everything(self) -> list[dict[str, Any]]:
        out = []
        for table in (Observation, QuarantinedFile, DeliveredFile):
            for row in self.rows(table):
                out.append(
                    {column.key: getattr(row, column.key) for column in table.__table__.columns}
                )
        return out


@pytest.fixture
def place(tmp_path: Path, decoder: Decoder, empty_database: Path) -> Place:
    path = tmp_path / "astrid.sqlite"
    shutil.copy(empty_database, path)
    folder = tmp_path / "incoming"
    folder.mkdir()
    return Place(
        folder,
        Database(f"sqlite:///{path}"),
        ObjectStore.from_url((tmp_path / "objects").as_uri()),
        decoder,
        load_surveys(),
    )
