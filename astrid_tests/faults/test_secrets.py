"""Marked secrets in the settings: afterwards they stand in nothing that was written anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import sqlalchemy as sa
import yaml

from astrid_resources.logs import redacted, secrets_of
from astrid_resources.settings import Settings
from astrid_tests.faults.in_process import log_as_json
from astrid_tests.faults.place import Place, Places
from astrid_tests.faults.sky import REFERENCE_NIGHT_MJD, deliver
from astrid_tests.resources.fault_proxy import FaultProxy, fault_proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

MARK = "hunter2"
DATABASE_PASSWORD, S3_KEY, S3_SECRET, MLFLOW_PASSWORD = (
    f"{MARK}/{name}@:x" for name in ("database", "key", "secret", "mlflow")
)
SPELLINGS = (MARK, quote(MARK), MARK.upper())


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before the S3 service."""
    with fault_proxy(s3_endpoint) as running:
        yield running


def marked(place: Place, endpoint: str) -> dict[str, str]:
    """Return the environment of an installation, with marks for secrets."""
    url = sa.make_url(place.environment["ASTRID_DATABASE_URL"]).set(password=DATABASE_PASSWORD)
    mlflow = sa.make_url("postgresql://mlflow@127.0.0.1:9/mlflow").set(password=MLFLOW_PASSWORD)
    return {
        **os.environ,
        **place.environment,
        "ASTRID_DATABASE_URL": url.render_as_string(hide_password=False),
        "ASTRID_MLFLOW_TRACKING_URI": mlflow.render_as_string(hide_password=False),
        "ASTRID_S3_ENDPOINT_URL": endpoint,
        "ASTRID_S3_ACCESS_KEY_ID": S3_KEY,
        "ASTRID_S3_SECRET_ACCESS_KEY": S3_SECRET,
    }


def said(environment: dict[str, str], *arguments: str, ok: bool) -> str:
    """Run the command line; return all it said."""
    program = "from astrid_assets.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def found_in(text: str | bytes) -> bool:
    """Return whether a mark stands in it."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return any(spelling.encode() in content for spelling in SPELLINGS)


def sweep(place: Place) -> list[str]:
    """Return every file, row and object in which a mark stands."""
    found = [
        str(path)
        for path in place.home.rglob("*")
        if path.is_file() and found_in(path.read_bytes())
    ]
    urls = [place.environment["ASTRID_DATABASE_URL"], _dagster_url(place)]
    for url in urls:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))
        with engine.connect() as connection:
            for name in sa.inspect(engine).get_table_names():
                rows = connection.execute(sa.text(f'SELECT t::text FROM "{name}" t'))
                found += [f"{name}: {row[0][:300]}" for row in rows if found_in(row[0])]
        engine.dispose()
    store = place.store()
    found += [item.key for item in store.list() if found_in(store.get_bytes(item.key))]
    return found


def _dagster_url(place: Place) -> str:
    settings = yaml.safe_load((place.home / "dagster" / "dagster.yaml").read_text())
    return str(settings["storage"]["postgres"]["postgres_url"])


def test_no_secret_is_ever_written(places: Places, proxy: FaultProxy):
    place = places.make("postgresql+s3")
    place = log_as_json(place, place.home / "log.jsonl")
    deliver(place.drop, {REFERENCE_NIGHT_MJD: 1})
    environment = marked(place, proxy.url)
    night = ("run", "--night", "2016-08-17", "--tile")
    told = [said(environment, "ingest", str(place.drop), "--json", ok=True)]
    ((tile,),) = place.query("SELECT DISTINCT tile FROM observations")
    proxy.plan = lambda method, number: "403"
    told.append(said(environment, *night, tile, ok=False))
    assert "403" in told[-1] or "AccessDenied" in told[-1]
    proxy.plan = lambda method, number: None
    told.append(said(environment, *night, tile, ok=True))
    report = place.home / "report.html"
    told.append(said(environment, "transients", "--report", str(report), ok=True))
    told.append(said(environment, "status", "--json", ok=True))
    told += list(_broken(environment))
    assert [text for text in told if found_in(text)] == []
    assert report.read_text().count("<") > 10
    assert (place.home / "log.jsonl").read_text().count("\n") > 20
    assert sweep(place) == []


def _broken(environment: dict[str, str]) -> Iterator[str]:
    """Say what is said where settings are wrong: a server that is away, texts that are no URL."""
    good = environment["ASTRID_DATABASE_URL"]
    nowhere = f"postgresql://astrid:{quote(DATABASE_PASSWORD, safe='')}@127.0.0.1:9/astrid"
    for name, value in (
        ("ASTRID_DATABASE_URL", nowhere + "?connect_timeout=1"),
        ("ASTRID_DATABASE_URL", good.replace("postgresql", "postgresqlx")),
        ("ASTRID_DATABASE_URL", nowhere.replace(":9/", ":nine/")),
        ("ASTRID_DATABASE_URL", f"{MARK} is no URL"),
        ("ASTRID_OBJECT_STORE_URL", f"s4://user:{MARK}@host/bucket"),
        ("ASTRID_S3_ENDPOINT_URL", f"http://user:{MARK}@127.0.0.1:9"),
        ("ASTRID_QUIET_PERIOD_S", MARK),
    ):
        yield said({**environment, name: value}, "verify", ok=False)


def test_secrets_are_hidden_in_whatever_is_logged(monkeypatch: pytest.MonkeyPatch):
    url = f"postgresql://astrid:{quote(DATABASE_PASSWORD, safe='')}@h/d"
    monkeypatch.setenv("ASTRID_DATABASE_URL", url)
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", S3_SECRET)
    secrets = secrets_of(Settings())
    text = redacted(f"{url} {DATABASE_PASSWORD} {S3_SECRET} kept", secrets)
    assert MARK not in text
    assert text.endswith("kept")
