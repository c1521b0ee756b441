"""The form of a champion: `champion.json` and the files it names, `model.onnx` and `model.keras`.

Reading and verifying only, from a folder or from wherever a reader finds the files; scoring stands
in `scoring.py`, writing in `training/export.py`, the registry in `model_store.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from astrid_assets.detections.cutouts import CutoutSettings
from astrid_resources.images import KnownFailure

RECORD_FILE = "champion.json"
ONNX_FILE = "model.onnx"
KERAS_FILE = "model.keras"
SHIPPED_FOLDER = Path(__file__).parent / "champion"

Read = Callable[[str, str | None], bytes]
"""Returns a file's bytes by its name and the sha256 that the record gives (None: the record's)."""


class ModelMissingError(KnownFailure):
    """A file of the champion is not there."""


class ModelAlteredError(KnownFailure):
    """A file of the champion is not the one that its record names."""


class ModelUntrainedError(KnownFailure):
    """The record holds no training or no evaluation: such a model is never used."""


def sha256_bytes(content: bytes) -> str:
    """Return the sha256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def record_sha256(record: Mapping[str, Any]) -> str:
    """Return the hash of a record without its own hash, so that no figure in it can be altered."""
    body = {key: value for key, value in record.items() if key != "record_sha256"}
    return sha256_bytes(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


@dataclass(frozen=True)
class Champion:
    """A verified model and what is needed to use it.

    onnx: the model's bytes; sha256: their hash, which is the model's data version.
    temperature, offset, curvature: of `scoring.calibrated`, which turns the logit into a
    probability at the declared prior of being real; accepted = probability >= threshold. The same
    for trails with `trailed_threshold`, uncalibrated.
    record: the whole of champion.json (training parameters, seeds, evaluation figures).
    """

    name: str
    version: str
    sha256: str
    weights_sha256: str
    threshold: float
    trailed_threshold: float
    temperature: float
    offset: float
    curvature: float
    prior_real: float
    cutouts: CutoutSettings
    record: Mapping[str, Any] = field(repr=False)
    onnx: bytes = field(repr=False)

    @property
    def decision_sha256(self) -> str:
        """The hash of all that decides about a candidate: the model's file and how it is read."""
        read_with = {
            "threshold": self.threshold,
            "trailed_threshold": self.trailed_threshold,
            "temperature": self.temperature,
            "offset": self.offset,
            "curvature": self.curvature,
            "cutouts": asdict(self.cutouts),
        }
        return sha256_bytes(json.dumps([self.sha256, read_with], sort_keys=True).encode())


def load_champion(folder: Path | None = None) -> Champion:
    """Return the champion in `folder` (by default the shipped one), every file verified.

    Raises ModelMissingError, ModelAlteredError or ModelUntrainedError; there is no fall-back.
    """
    folder = folder or SHIPPED_FOLDER

    def read(name: str, sha256: str | None) -> bytes:
        del sha256
        path = folder / name
        if not path.is_file():
            raise ModelMissingError(
                f"the champion's file {name} is not in {folder}: reinstall the package or rebuild "
                "it with python -m astrid_assets.training",
                file=name,
            )
        return path.read_bytes()

    return read_champion(read, where=str(folder))


def read_champion(read: Read, *, where: str) -> Champion:
    """Return the champion whose record and files `read` finds, every file verified.

    where: the place, for messages. Raises ModelAlteredError or ModelUntrainedError, and what
    `read` raises where a file is missing.
    """
    record = _record(read(RECORD_FILE, None), where=where)
    files = record["files"]
    content = {name: read(name, files.get(name)) for name in (ONNX_FILE, KERAS_FILE)}
    for name, found in ((name, sha256_bytes(body)) for name, body in content.items()):
        if found != files.get(name):
            raise ModelAlteredError(
                f"{name} in {where} has sha256 {found}, the record says {files.get(name)}: it was "
                "altered or is incomplete; reinstall the package, rebuild it, or take another "
                "model into use (`astrid models rollback`)",
                file=name, found=found, expected=files.get(name),
            )  # fmt: skip
    return Champion(
        name=record["name"],
        version=record["version"],
        sha256=files[ONNX_FILE],
        weights_sha256=record["weights_sha256"],
        threshold=record["threshold"],
        trailed_threshold=record["trailed_threshold"],
        temperature=record["temperature"],
        offset=record["offset"],
        curvature=record.get("curvature", 0.0),
        prior_real=record["prior_real"],
        cutouts=CutoutSettings(**record["cutouts"]),
        record=record,
        onnx=content[ONNX_FILE],
    )


def _record(content: bytes, *, where: str) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError as error:
        raise ModelAlteredError(f"{RECORD_FILE} in {where} is not JSON: {error}") from error
    if not isinstance(record, dict) or record.get("record_sha256") != record_sha256(record):
        raise ModelAlteredError(
            f"{RECORD_FILE} in {where} does not match its own record_sha256: a figure was altered"
        )
    steps = record["training"].get("n_steps", 0)
    if not steps or not record.get("evaluation", {}).get("n_real"):
        raise ModelUntrainedError(
            f"the model in {where} was trained for {steps} steps and has no evaluation: an "
            "untrained model is never used",
            n_steps=steps,
        )
    return record
