"""Logs as JSON lines: every message says what it is about, and no secret is in any."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
import yaml

from astrid_assets.cli.instance import project_file
from astrid_resources.counts import COUNTS, Count
from astrid_resources.logs import HIDDEN, JsonLinesHandler, about_exposure, redacted, secrets_of
from astrid_resources.settings import Settings

PASSWORD = "hunter2/@:x"


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the log goes to."""
    path = tmp_path / "log.jsonl"
    monkeypatch.setenv("ASTRID_LOG_JSON", str(path))
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", PASSWORD)
    monkeypatch.setenv("ASTRID_DATABASE_URL", f"postgresql://u:{quote(PASSWORD, safe='')}@h/d")
    return path


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_is_told_with_run_partition_step_and_exposure(lines: Path, tmp_path: Path):
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["2018-08-03|3-425"]))
    def made(context):
        context.log.info(f"the password is {PASSWORD}")
        with about_exposure("c4d_180804/N4"):
            context.log.warning("of an exposure\nin two lines 🔭")
            logging.getLogger("astrid.store").warning("try 1 of 5 failed")
        raise ValueError(f"cannot log in with {PASSWORD}")

    ours = yaml.safe_load(project_file("dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"python_logs": ours["python_logs"]}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        result = dg.materialize(
            [made], partition_key="2018-08-03|3-425", instance=instance, raise_on_error=False
        )
    told = read(lines)
    assert not result.success
    assert {line["run"] for line in told} == {result.run_id}
    assert {line["partition"] for line in told} == {"2018-08-03|3-425"}
    by_message = {line["message"]: line for line in told}
    assert by_message[f"the password is {HIDDEN}"]["step"] == "made"
    about = by_message["of an exposure\nin two lines 🔭"]
    assert (about["exposure"], about["level"]) == ("c4d_180804/N4", "warning")
    store = by_message["try 1 of 5 failed"]
    assert (store["exposure"], store["step"]) == ("c4d_180804/N4", "made")
    (failure,) = [line for line in told if line.get("event") == "STEP_FAILURE"]
    assert f"cannot log in with {HIDDEN}" in failure["error"]
    assert "hunter2" not in lines.read_text()


def test_nothing_is_written_where_nothing_is_asked_for(capsys: pytest.CaptureFixture[str]):
    record = logging.LogRecord("astrid", logging.INFO, __file__, 1, "said", None, None)
    JsonLinesHandler().emit(record)
    assert capsys.readouterr().err == ""


def test_lines_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ASTRID_LOG_JSON", "-")
    try:
        raise ValueError("bad")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("astrid", logging.ERROR, __file__, 1, "said %d", (3,), error)
    JsonLinesHandler().emit(record)
    told = json.loads(capsys.readouterr().err)
    assert (told["message"], told["level"], told["logger"]) == ("said 3", "error", "astrid")
    assert "ValueError: bad" in told["error"]


def test_secrets_are_hidden_however_they_are_spelt(lines: Path):
    secrets = secrets_of(Settings())
    text = f"{PASSWORD} {quote(PASSWORD)} {quote(PASSWORD, safe='')} kept"
    assert "hunter2" not in redacted(text, secrets)
    assert redacted(text, secrets).endswith("kept")


def test_counts_are_taken_once():
    COUNTS.take()
    COUNTS.add(Count.STORE_RETRIES)
    COUNTS.add(Count.STORE_WAIT_S, 0.25)
    COUNTS.add(Count.STORE_WAIT_S, 0.5)
    taken = COUNTS.take()
    assert (taken["store_retries"], taken["store_wait_s"]) == (1, 0.75)
    assert set(COUNTS.take().values()) == {0}


@pytest.mark.parametrize("name", ["ASTRID_OBJECT_STORE_URL", "ASTRID_S3_ENDPOINT_URL"])
def test_an_address_with_a_key_in_it_is_refused_without_showing_it(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, "https://user:hunter2@host/path")
    with pytest.raises(ValueError, match="keys do not stand in an address") as refused:
        Settings()
    assert "hunter2" not in str(refused.value)
