"""Which runs a backfill and "materialise all" request: a real web server, daemon and GraphQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from astrid_assets.jobs import NIGHT_CHAIN_ASSETS
from astrid_resources.database.connection import Database
from astrid_resources.settings import Settings

TILE = "5-11370"
NIGHTS = ("2018-08-03", "2018-08-04")
START_S, BACKFILL_S = 120, 200
TILE_JOB_ASSETS = ("reference_images",)

STARTER = """
import signal, os, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "dagster", *sys.argv[1:]])
"""
LAUNCH = """
mutation($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""
STATE = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } }
  }
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
    ... on Runs { results { status tags { key value } assetSelection { path } } }
  }
}
"""


class Server:
    """A running web server and daemon."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables):
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def is_up(self) -> bool:
        try:
            found = self.ask(
                "{ workspaceOrError { ... on Workspace { locationEntries {"
                " locationOrLoadError { __typename } } } } }"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        entries = found["workspaceOrError"]["locationEntries"]
        return bool(entries) and all(
            (entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation"
            for entry in entries
        )

    def backfill(self, assets, partitions) -> list[tuple[str, str, tuple[str, ...]]]:
        """Launch it, wait for its end, return (partition, status, assets) of each run."""
        made = self.ask(
            LAUNCH,
            backfill={
                "assetSelection": [{"path": [name]} for name in assets],
                "partitionNames": list(partitions),
            },
        )["launchPartitionBackfill"]
        assert made["__typename"] == "LaunchBackfillSuccess", made
        deadline = time.monotonic() + BACKFILL_S
        while True:
            found = self.ask(STATE, id=made["backfillId"])
            state = found["partitionBackfillOrError"]
            if state["status"].startswith(("COMPLETED", "FAILED", "CANCELED")):
                break
            assert time.monotonic() < deadline, (state, found["runsOrError"])
        assert state["status"] == "COMPLETED_SUCCESS", (state, found["runsOrError"])
        runs = []
        for run in found["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            selected = tuple(sorted(key["path"][-1] for key in run["assetSelection"]))
            runs.append((tags["dagster/partition"], run["status"], selected))
        return sorted(runs)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`dagster dev` on an installation of its own, with one tile and no exposures."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "ASTRID_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONWARNINGS": "default",
    }
    environment.pop("ASTRID_DATABASE_URL", None)
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator:\n"
        "  module: dagster.core.run_coordinator\n"
        "  class: QueuedRunCoordinator\n"
        "  config: {dequeue_use_threads: true, dequeue_interval_seconds: 1}\n"
        "concurrency: {runs: {max_concurrent_runs: 2}}\n"
    )
    Database(Settings(home=home).database_url).upgrade()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (home / "dev.log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable, "-c", STARTER,
            "dev", "-h", "127.0.0.1", "-p", str(port), "-m", "astrid_assets.definitions",
        ],
        env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    found = Server(port)
    deadline = time.monotonic() + START_S
    while not found.is_up():
        assert process.poll() is None, (home / "dev.log").read_text()[-3000:]
        assert time.monotonic() < deadline, (home / "dev.log").read_text()[-3000:]
    added = found.ask(
        "mutation($p: String!, $r: RepositorySelector!) { addDynamicPartition("
        'partitionKey: $p, partitionsDefName: "tile", repositorySelector: $r) { __typename } }',
        p=TILE,
        r={
            "repositoryName": "__repository__",
            "repositoryLocationName": "astrid_assets.definitions",
        },
    )
    assert added["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess"
    yield found
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.close()


def _keys(nights=NIGHTS):
    return [f"{night}|{TILE}" for night in nights]


@pytest.mark.timeout(400)
def test_backfill_of_two_nights_is_two_runs_of_the_whole_chain(server):
    runs = server.backfill(NIGHT_CHAIN_ASSETS, _keys())
    assert [run[:2] for run in runs] == [(key, "SUCCESS") for key in _keys()]
    for _, _, assets in runs:
        assert set(assets) == set(NIGHT_CHAIN_ASSETS)


@pytest.mark.timeout(400)
def test_materialise_all_is_a_chain_run_per_night_and_one_reference_run(server):
    runs = server.backfill([*NIGHT_CHAIN_ASSETS, *TILE_JOB_ASSETS], _keys())
    chains = [run for run in runs if "|" in run[0]]
    references = [run for run in runs if "|" not in run[0]]
    assert [run[:2] for run in chains] == [(key, "SUCCESS") for key in _keys()]
    assert references == [(TILE, "SUCCESS", TILE_JOB_ASSETS)]


def test_page_is_served(server):
    with urllib.request.urlopen(server.url.removesuffix("/graphql"), timeout=30) as answer:
        assert answer.status == 200
