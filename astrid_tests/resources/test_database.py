"""Connections, transactions, locks and values, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import (
    Candidate,
    Database,
    Observation,
    Patience,
    SchemaError,
    Survey,
    SystemConfig,
    load_partition,
    upsert,
)
from astrid_resources.database.transient import connected
from astrid_resources.identity import UnstorableValueError
from astrid_tests.resources.rows import NIGHT, SURVEY_ID, TILE, add_observations, observation
from astrid_tests.resources.workers import commit, count, together, upgrade


def test_passwords_are_hidden():
    database = Database("postgres://astrid:hunter2@db/astrid".replace("postgres:", "postgresql:"))
    assert "hunter2" not in repr(database) + repr(database.engine)
    assert database.engine.url.drivername == "postgresql+psycopg2"


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url: str):
    with pytest.raises(ValueError, match="database"):
        Database(url)


def test_a_schema_that_is_not_there_is_said_plainly(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'new.sqlite'}")
    with pytest.raises(SchemaError, match="astrid upgrade"):
        database.require_current_schema()
    database.upgrade()
    database.require_current_schema()


def test_numpy_scalars_become_numbers(database: Database):
    row = observation(
        "a", mjd_mid=np.float64(58334.5), exposure_time=np.float32(80), hdu=np.int64(2)
    )
    with database.session() as session:
        add_observations(session)
        upsert(session, "observations", [row])
        session.add(Survey(name="direct", is_active=np.bool_(False)))
        session.add(SystemConfig(key="k", value={"a": np.float32(0.5), "b": np.arange(2)}))
    with database.read() as session:
        one = session.scalars(sa.select(Observation)).one()
        assert (one.mjd_mid, one.exposure_time, one.hdu) == (58334.5, 80.0, 2)
        assert session.scalars(sa.select(SystemConfig.value)).one() == {"a": 0.5, "b": [0, 1]}
        if database.is_sqlite:
            kinds = session.execute(
                sa.text("SELECT typeof(mjd_mid), typeof(hdu), typeof(healpix29) FROM observations")
            ).one()
            assert tuple(kinds) == ("real", "integer", "integer")


def test_numpy_scalars_are_settled_in_every_statement(database: Database):
    with database.session() as session:
        add_observations(session, "a")
        session.execute(sa.update(Observation).values(hdu=np.int32(3), airmass=np.float32(1.5)))
        query = sa.select(Observation.airmass).where(Observation.hdu == np.int64(3))
        assert session.scalars(query).one() == 1.5


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), -np.inf])
def test_nan_and_infinity_are_refused_by_name(database: Database, value: float):
    with database.session() as session:
        add_observations(session, "a")
    with (
        pytest.raises(UnstorableValueError, match=r"observations\.mjd_mid"),
        database.session() as session,
    ):
        upsert(session, "observations", [observation("a", mjd_mid=value)])
    with (
        pytest.raises(UnstorableValueError, match=r"column airmass.*never stored"),
        database.session() as session,
    ):
        session.execute(sa.update(Observation).values(airmass=value))
    with (
        pytest.raises(sa.exc.StatementError, match=r"deep\[0\].*never stored"),
        database.session() as session,
    ):
        session.add(SystemConfig(key="k", value={"deep": [value]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nonsense": 1}, "no column nonsense"),
        ({"mjd_mid": "today"}, r"observations\.mjd_mid cannot hold 'today'"),
        ({"hdu": 1.5}, r"observations\.hdu"),
        ({"is_current": 1}, r"observations\.is_current"),
        ({"observation_time": datetime(2018, 8, 4)}, "time zone"),  # noqa: DTZ001
        ({"filter_band": "i\x00"}, "NUL"),
        ({"ra": np.nan}, "never stored"),
        ({"dec": 91.0}, r"dec in \[-90, 90\]"),
        ({"id": None}, "without its id"),
    ],
)
def test_rows_that_do_not_fit_say_why(database: Database, changes: dict[str, Any], message: str):
    with database.session() as session:
        add_observations(session)
    with pytest.raises(ValueError, match=message), database.session() as session:
        upsert(session, "observations", [observation("a", **changes)])


def test_times_come_back_in_utc(database: Database):
    there = datetime(2018, 8, 3, 23, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-4)))
    with database.session() as session:
        add_observations(session)
        upsert(session, "observations", [observation("a", observation_time=there)])
    with database.read() as session:
        one = session.scalars(sa.select(Observation)).one()
        assert one.observation_time == there
        assert one.observation_time.tzinfo == UTC
    with pytest.raises(sa.exc.StatementError, match="time zone"), database.session() as session:
        session.execute(sa.update(Observation).values(observation_time=datetime(2018, 8, 4)))  # noqa: DTZ001


def test_the_healpix_index_follows_the_position(database: Database):
    with database.session() as session:
        add_observations(session, "a")
    with database.session() as session:
        one = session.scalars(sa.select(Observation)).one()
        before = one.healpix29
        one.ra = 10.0
        session.flush()
        assert one.healpix29 != before


def test_a_failed_transaction_leaves_nothing(database: Database):
    def interrupted() -> None:
        with database.session() as session:
            add_observations(session, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    with database.read() as session:
        assert session.scalars(sa.select(Survey)).all() == []


def test_upsert_touches_only_what_changed(database: Database):
    with database.session() as session:
        add_observations(session, "a", "b")
        before = dict(session.execute(sa.select(Observation.id, Observation.updated_at)).all())
    changed = observation("b", airmass=1.2)
    with database.session() as session:
        done = upsert(session, "observations", [observation("a"), changed])
    assert (done.inserted, done.updated, done.unchanged) == (0, 1, 1)
    with database.read() as session:
        after = dict(session.execute(sa.select(Observation.id, Observation.updated_at)).all())
    assert after[observation("a")["id"]] == before[observation("a")["id"]]
    assert after[changed["id"]] > before[changed["id"]]
    with database.session() as session:
        upsert(session, "observations", [observation("b")])
        one = session.get_one(Observation, changed["id"])
        assert one.airmass is None


def test_two_rows_of_one_id_are_refused(database: Database):
    with pytest.raises(UnstorableValueError, match="same id"), database.session() as session:
        upsert(session, "surveys", [{"id": SURVEY_ID, "name": n} for n in "ab"])


def test_many_processes_write_without_a_lock_error(database: Database, database_url: str):
    with database.session() as session:
        session.add(SystemConfig(key="count", value=0))
    together(count, (database_url, 40), (database_url, 40))
    with database.read() as session:
        assert session.scalars(sa.select(SystemConfig.value)).one() == 80


def test_many_processes_upgrade_a_new_database_at_once(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    together(upgrade, (url,), (url,), (url,))
    assert Database(url).is_current_schema()


def test_two_processes_commit_one_partition_whole(database: Database, database_url: str):
    with database.session() as session:
        add_observations(session, "a")
    together(commit, (database_url, 2, 8), (database_url, 5, 8))
    with database.read() as session:
        n_candidates = len(session.scalars(sa.select(Candidate)).all())
        (product,) = load_partition(
            session, asset="difference_images", night=NIGHT, tile=TILE
        ).products
    assert n_candidates in {2, 5}
    assert len(product.rows["candidates"]) == n_candidates


def test_readers_do_not_wait_for_a_writer(database: Database):
    with database.session() as session:
        session.add(SystemConfig(key="k", value=1))
        session.flush()
        with database.read() as reader:
            assert reader.scalars(sa.select(SystemConfig)).all() == []


def test_a_lock_is_held_until_the_transaction_ends(postgresql_url: str):
    database = Database(postgresql_url)
    number = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with database.lock("catalog"), database.read() as other:
        assert other.execute(sa.text(number)).scalar_one() == 1
    with database.read() as other:
        assert other.execute(sa.text(number)).scalar_one() == 0
    database.dispose()


def test_a_transaction_that_lost_against_another_is_repeated(postgresql_url: str):
    """Two transactions that wait for each other: PostgreSQL ends one, which is done again."""
    database = Database(postgresql_url, patience=Patience(first_wait_s=0.01))
    with database.session() as session:
        session.add_all([SystemConfig(key=key, value=0) for key in "ab"])
    both_hold_one = threading.Barrier(2)

    def add(session: Session, keys: str) -> None:
        for number, key in enumerate(keys):
            query = sa.select(SystemConfig).where(SystemConfig.key == key).with_for_update()
            config = session.scalars(query).one()
            config.value = config.value + 1
            if number == 0 and not database.n_repeated:
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_hold_one.wait(10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda keys: database.transaction(lambda s: add(s, keys)), ["ab", "ba"]))
    assert database.n_repeated == 1
    with database.read() as session:
        assert session.scalars(sa.select(SystemConfig.value)).all() == [2, 2]
    database.dispose()


def test_what_is_wrong_is_not_repeated(database: Database):
    tries = []

    def work(session: Session) -> None:
        tries.append(1)
        session.add(SystemConfig(key="k", value=1))
        session.add(SystemConfig(key="k", value=2))

    with pytest.raises(sa.exc.IntegrityError):
        database.transaction(work)
    assert (tries, database.n_repeated) == ([1], 0)


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ('connection to server at "db", port 5432 failed: Connection refused', True),
        ("failed: FATAL:  the database system is starting up", True),
        ("failed: FATAL:  sorry, too many clients already", True),
        ('could not translate host name "db": Temporary failure in name resolution', True),
        ('failed: FATAL:  password authentication failed for user "astrid"', False),
        ('failed: FATAL:  database "astrid" does not exist', False),
        ('could not translate host name "db": Name or service not known', False),
    ],
)
def test_only_a_server_that_is_away_is_waited_for(words: str, passes: bool):
    tries = []

    def connect() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise psycopg2.OperationalError(words)
        return "connection"

    patience = Patience(first_wait_s=0.001)
    refused = psycopg2.OperationalError
    if passes:
        assert connected(connect, patience, refused=refused) == "connection"
        tries.clear()
        patience = Patience(away_s=-1.0)
    with pytest.raises(psycopg2.OperationalError):
        connected(connect, patience, refused=refused)
    assert len(tries) == 1


def test_a_new_person_s_row_gets_a_random_id(database: Database):
    with database.session() as session:
        session.add(Survey(name="x"))
        session.flush()
        assert session.scalars(sa.select(Survey.id)).one().version == 4
