"""PostgreSQL that stops, and commits whose answer is lost: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from astrid_resources.database import Database, Patience, SystemConfig
from astrid_tests.faults.actors import perform
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.postgresql_proxy import commit_proxy
from astrid_tests.faults.undisturbed import NIGHTS, RUNS, TILE, Undisturbed
from astrid_tests.resources.conftest import running_postgresql

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

STOPPED_S = 20.0
SCIENCE = ("night", NIGHTS[1], TILE)


class Server:
    """A PostgreSQL server of these tests alone, which they may stop."""

    def __init__(self, server: Any) -> None:
        self._server = server
        server.psql("CREATE DATABASE empty;")
        database = Database(server.get_uri("empty"))
        database.upgrade()
        database.dispose()

    def new_database(self, name: str) -> str:
        """Return the URL of a new migrated database."""
        self._server.psql(f"CREATE DATABASE {name} TEMPLATE empty;")
        return str(self._server.get_uri(name))

    def stop_for(self, seconds: float) -> threading.Timer:
        """Stop it at once, and start it again after a while."""
        self._server.stop()
        timer = threading.Timer(seconds, self._server.ensure_postgres_running)
        timer.start()
        return timer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The server, running."""
    with running_postgresql() as running:
        yield Server(running)


def place_on(places: Places, undisturbed: Undisturbed, url: str) -> Place:
    """Return an installation whose tables are in PostgreSQL and the rest on this machine."""
    place = places.make(drop=undisturbed.place.drop)
    return Place(place.environment | {"ASTRID_DATABASE_URL": url})


@pytest.mark.parametrize("instant", ["start", "middle", "commit"])
def test_a_stopped_server_is_waited_for(
    places: Places, undisturbed: Undisturbed, server: Server, instant: str
):
    """At a commit the pool is full of dead connections."""
    place = place_on(places, undisturbed, server.new_database(f"stopped_at_{instant}"))
    for action in RUNS[:-1]:
        assert perform(place, action).is_success
    told = undisturbed.told[SCIENCE]
    letter, number = {
        "start": ("d", 1),
        "middle": ("o", told.count("o") // 2),
        "commit": ("c", told.count("c") // 2),
    }[instant]
    seen: list[str] = []
    timers: list[threading.Timer] = []

    def stop(write: str) -> None:
        seen.append(write)
        if write == letter and seen.count(letter) == number:
            timers.append(server.stop_for(STOPPED_S))

    started = time.monotonic()
    done = perform(place, SCIENCE, on_write=stop)
    sys.stdout.write(
        f"{STOPPED_S:g} s at {instant}: {'succeeded' if done.is_success else done.failures} "
        f"after {time.monotonic() - started:.0f} s\n"
    )
    for timer in timers:
        timer.join()
    assert timers
    if not done.is_success:
        assert any("connection" in text for text in done.failures), done.failures
        assert perform(place, SCIENCE).is_success
    undisturbed.require_same(place)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_every_third_commit_loses_its_connection(
    places: Places, undisturbed: Undisturbed, server: Server, fault: str
):
    """`after`: the server has committed, and nobody was told."""
    direct = server.new_database(f"lost_{fault}")
    with commit_proxy(direct) as proxy:
        proxy.plan = lambda number: fault if number % 3 == 0 else None
        place = place_on(places, undisturbed, proxy.url)
        for action in RUNS:
            done = perform(place, action)
            assert done.is_success, done.failures
    sys.stdout.write(f"{proxy.n_lost} of {proxy.n_commits} commits lost {fault} the server's\n")
    assert proxy.n_lost >= 10
    undisturbed.require_same(Place(place.environment | {"ASTRID_DATABASE_URL": direct}))


def test_a_transaction_is_repeated_a_few_times_and_not_for_ever(server: Server):
    with commit_proxy(server.new_database("never")) as proxy:
        proxy.plan = lambda number: "before"
        database = Database(proxy.url, patience=Patience(first_wait_s=0.01, max_tries=4))
        with pytest.raises(sa.exc.OperationalError):
            database.transaction(lambda session: session.add(SystemConfig(key="k", value=1)))
        assert proxy.n_commits == 4
        database.dispose()


def test_what_was_committed_unheard_is_not_done_twice(server: Server):
    """An upsert by id: the row stands once, whatever became of the answers."""
    direct = server.new_database("unheard")
    rng = random.Random(7)
    with commit_proxy(direct) as proxy:
        database = Database(proxy.url, patience=Patience(first_wait_s=0.01, max_tries=20))
        proxy.plan = lambda number: rng.choice(["before", "after", None])

        def put(session: sa.orm.Session) -> None:
            number = len(wanted)
            found = session.scalars(sa.select(SystemConfig).where(SystemConfig.key == f"{number}"))
            if found.first() is None:
                session.add(SystemConfig(key=f"{number}", value=number))

        wanted: list[int] = []
        for number in range(30):
            database.transaction(put)
            wanted.append(number)
        assert database.n_repeated > 10
        database.dispose()
    database = Database(direct)
    with database.read() as session:
        assert sorted(session.scalars(sa.select(SystemConfig.value))) == wanted
    database.dispose()
