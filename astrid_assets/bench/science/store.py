"""Results on disk, one JSON file per field, in a folder named after the code that made them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astrid_assets.bench.science.cases import Case
from astrid_assets.bench.science.measure import FieldResult, SkyMoments

_ROOT = Path(__file__).parents[3]
_MEASURED = (
    "astrid_resources/images",
    "astrid_assets/imaging",
    "astrid_assets/calibration",
    "astrid_assets/difference",
    "astrid_assets/candidates",
    "astrid_assets/bench/science",
)
_NOT_MEASURED = ("assets.py", "rows.py", "report.py", "work.py", "__main__.py", "figures.py")


def code_identity() -> str:
    """Return a hash of every source file that the numbers depend on, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for folder in _MEASURED:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            if path.name not in _NOT_MEASURED:
                digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class Results:
    """The folder of one code identity; a field that is there is never measured again."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        self.folder = folder / identity
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, case: Case, seed: int) -> Path:
        """Return where the result of a field stands; cases of another setting never mix."""
        setting = hashlib.sha256(repr(case).encode()).hexdigest()[:8]
        return self.folder / f"{case.name}-{case.side_pix}-{setting}-{seed:04d}.json"

    def has(self, case: Case, seed: int) -> bool:
        """Return whether the field is measured."""
        return self.path(case, seed).exists()

    def write(self, case: Case, result: FieldResult) -> None:
        """Write the result at once or not at all."""
        self._write(self.path(case, result.seed), asdict(result))

    def write_failure(self, case: Case, seed: int, message: str) -> None:
        """Write that a stage refused the field, and why."""
        self._write(self.path(case, seed), {"failure": message, "seed": seed})

    def read(self, case: Case, seed: int) -> FieldResult | str:
        """Return the result of a measured field, or why a stage refused it."""
        content: dict[str, Any] = json.loads(self.path(case, seed).read_text())
        if "failure" in content:
            return str(content["failure"])
        return FieldResult(**{**content, "sky": SkyMoments(**content["sky"])})

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
