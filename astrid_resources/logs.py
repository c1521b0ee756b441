"""Logs as JSON lines: one object a message, with run, partition and exposure; secrets left out.

Dagster hands every message and event of a run to `JsonLinesHandler` (named in `dagster.yaml`), the
project's own loggers (`astrid.…`) among them. Where the lines go is a setting.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from astrid_resources.settings import Settings

HIDDEN = "***"
STANDARD_ERROR = "-"
_SHORTEST_SECRET = 4
_OTHER_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DAGSTER_POSTGRES_PASSWORD")
_PARTITION_TAG = "dagster/partition"

_exposure: ContextVar[str | None] = ContextVar("exposure", default=None)


@contextmanager
def about_exposure(label: str) -> Iterator[None]:
    """Let every message inside say that it is about this exposure."""
    token = _exposure.set(label)
    try:
        yield
    finally:
        _exposure.reset(token)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return what must never be written: keys, and passwords of URLs, also as URLs spell them."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and "://" in text:
            password = urlsplit(text).password
            found |= {password, unquote(password), quote(unquote(password))} if password else set()
        elif isinstance(value, SecretStr):
            found.add(value.get_secret_value())
    found |= {os.environ[name] for name in _OTHER_SECRETS if os.environ.get(name)}
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` with every secret in it hidden."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


class JsonLinesHandler(logging.Handler):
    """Writes each record as one JSON object on one line, to where ASTRID_LOG_JSON says.

    Each line is appended by one write of its own, so that several runs share a file.
    """

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        settings = Settings()
        self._target = settings.log_json
        self._secrets = secrets_of(settings)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, if lines are wanted at all."""
        if self._target is None:
            return
        text = json.dumps(_entry(record), default=str, ensure_ascii=False)
        line = redacted(text, self._secrets) + "\n"
        if self._target == STANDARD_ERROR:
            sys.stderr.write(line)
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        handle = os.open(os.path.expanduser(self._target), flags, 0o640)  # noqa: PTH111
        try:
            os.write(handle, line.encode("utf-8", "backslashreplace"))
        finally:
            os.close(handle)


def _entry(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line says; what is not known is left out."""
    run = getattr(record, "dagster_meta", None) or {}
    event = run.get("dagster_event")
    error = getattr(getattr(event, "event_specific_data", None), "error", None)
    said = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": run.get("orig_message") or record.getMessage(),
        "run": run.get("run_id"),
        "job": run.get("job_name"),
        "partition": (run.get("job_tags") or {}).get(_PARTITION_TAG),
        "step": run.get("step_key"),
        "exposure": _exposure.get(),
        "event": getattr(event, "event_type_value", None),
        "error": None if error is None else error.to_string(),
    }
    if record.exc_info and record.exc_info[0] is not None:
        said["error"] = "".join(traceback.format_exception(*record.exc_info))
    return {key: value for key, value in said.items() if value is not None}
