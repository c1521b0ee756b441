"""The persistent Dagster instance under ASTRID_HOME, and jobs run on it in this process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

import astrid_resources
from astrid_resources.settings import Settings

BETA_LOGGING = "Handling yaml-defined logging configuration"
"""What Dagster warns of whenever a run begins, because our dagster.yaml names a log handler."""


def prepare_home(settings: Settings) -> Path:
    """Create the folders of ASTRID_HOME and Dagster's settings there; return DAGSTER_HOME.

    A dagster.yaml of the user's own is left alone; else the project's is linked there.
    """
    home = settings.dagster_home
    for folder in (home, settings.drop_folder, settings.survey_folder):
        folder.mkdir(parents=True, exist_ok=True)
    target, source = home / "dagster.yaml", project_file("dagster.yaml")
    is_ours = target.is_symlink() or not target.exists()
    if is_ours and not (target.is_symlink() and target.readlink() == source):
        link = home / f"dagster.yaml.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(source)
        link.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def project_file(name: str) -> Path:
    """Return a settings file of Dagster's that comes with the package."""
    return Path(astrid_resources.__file__).parent / name


@contextmanager
def persistent_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Yield the Dagster instance of ASTRID_HOME.

    One process at a time opens it: Dagster's SQLite stores fail where two create their tables.
    """
    home = prepare_home(settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=BETA_LOGGING)
        with FileLock(home / "opening.lock"):
            opened = dg.DagsterInstance.get()
        with opened as instance:
            yield instance


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    *,
    partition_key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Execute a job in this process on the persistent instance; a failed step is no exception.

    Its log goes to the instance, where the UI shows it, and not to the terminal.
    """
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=partition_key,
        raise_on_error=False,
        tags=dict(tags or {}),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return a line for each failure of a run: where, and the error that caused it."""
    lines = []
    for event in result.all_events:
        if event.is_step_failure:
            lines.append(f"{event.step_key}: {_cause(event.step_failure_data.error)}")
        elif event.event_type is dg.DagsterEventType.RESOURCE_INIT_FAILURE:
            lines.append(f"resources: {_cause(event.engine_event_data.error)}")
    return lines


def _cause(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "no reason was given"
