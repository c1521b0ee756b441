"""Deterministic identities: row ids, product ids, content hashes and the canonical JSON under them.

Nothing here knows a table or an asset; what differs from run to run is named once, here.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

NAMESPACE = uuid.UUID("6f0f5a3e-6a0c-5d0e-9a53-0d6b7f3a51d1")
"""The namespace of every deterministic id of this project; changing it orphans every row."""

VOLATILE_COLUMNS = frozenset(
    {
        "created_at",
        "updated_at",
        "processing_time_seconds",
        "inference_time_ms",
        "memory_usage_mb",
        "mlflow_run_id",
        "workflow_id",
        "task_id",
        "promoted_at",
    }
)
"""Columns (and metrics) that differ from run to run: left out of row hashes and comparisons."""

BOOKKEEPING_COLUMNS = frozenset({"manifest_id", "is_superseded"})
"""Columns the commit of a partition fills in: left out of row hashes, never handed over."""

_CHUNK_BYTES = 1 << 20


class UnstorableValueError(ValueError):
    """A value that no database column and no identity may hold (NaN, infinity, unknown type)."""


def plain(value: Any, *, where: str = "value") -> Any:
    """Return `value` with numpy scalars turned into Python's; None, str and others pass.

    This is the one place where numpy scalars become Python objects on their way into a database.
    Raises UnstorableValueError for NaN, infinity and NUL; `where` names the value in the message.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise UnstorableValueError(
            f"{where} is {value}: NaN and infinity are never stored, write None where nothing "
            f"was measured"
        )
    if isinstance(value, str) and "\x00" in value:
        raise UnstorableValueError(f"{where} holds a NUL character, which no database text may")
    return value


def plain_json(value: Any, *, where: str = "value") -> Any:
    """Return `value` as JSON's own types: mappings, lists, numbers, strings, booleans, None.

    Dates and datetimes become ISO strings (datetimes in UTC), enums their value, UUIDs and paths
    strings, sets sorted lists, dataclasses mappings, arrays lists.
    """
    value = plain(value, where=where)
    if isinstance(value, Enum):
        return plain_json(value.value, where=where)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UnstorableValueError(f"{where} is {value!r} without a time zone: give UTC")
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, Path)):
        return str(value)
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist(), where=where)
    if isinstance(value, Mapping):
        return {str(key): plain_json(item, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((plain_json(item, where=where) for item in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain_json(item, where=f"{where}[{index}]") for index, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        named = {item.name: getattr(value, item.name) for item in fields(value)}
        return plain_json(named, where=where)
    raise UnstorableValueError(f"{where} of type {type(value).__name__} has no JSON form")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, ASCII, finite numbers only."""
    return json.dumps(plain_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_json(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Return the sha256 (hex) of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the sha256 (hex) of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def row_id(table: str, *natural_key: Any) -> uuid.UUID:
    """Return the UUIDv5 of a row from its table and natural key (in the table's declared order).

    observations: survey name, observation_id, detector, content_sha256;
    a run: observation row id, stage [, reference sha256, algorithm];
    candidates: difference run id, rank in (y, x) order; detections: candidate id, model sha256.
    """
    if not natural_key:
        raise ValueError(f"a row of {table!r} needs a natural key to have an id")
    return uuid.uuid5(NAMESPACE, canonical_json([table, *natural_key]))


def product_id(code_version: str, parameters: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """Return a product's id: sha256 (hex) of code version, parameters that change data, inputs.

    The order of `inputs` (product ids or content hashes) does not matter; give only parameters
    that change the data, never timings, paths or run ids.
    """
    return sha256_json([code_version, parameters, sorted(inputs)])


def stable(value: Any) -> Any:
    """Return the JSON form of `value` without volatile columns, at every depth."""
    return _without_volatile(plain_json(value))


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = VOLATILE_COLUMNS | BOOKKEEPING_COLUMNS
        kept = {key: item for key, item in value.items() if key not in left_out}
        return {key: _without_volatile(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_without_volatile(item) for item in value]
    return value
