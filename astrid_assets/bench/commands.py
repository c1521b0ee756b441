"""Commands of `astrid` in fresh processes, imports and files included."""

from __future__ import annotations

import sys
from pathlib import Path

from astrid_assets.bench.inputs import PairFiles
from astrid_assets.bench.measure import Cost, measured_process, typical

N_TURNS = 3
_WRITES_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


def command_costs(files: PairFiles, folder: Path) -> dict[str, Cost]:
    """Return the cost of each command line, by its name; the first run of each is not counted.

    That run fills what any later one finds: compiled functions, bytecode, the files' pages.
    """
    astrid = Path(sys.executable).with_name("astrid")
    lines: dict[str, list[str | Path]] = {
        "astrid --help": [astrid, "--help"],
        "astrid difference": [astrid, "difference", files.science, files.reference, "-o", "out"],
    }
    environment = {"ASTRID_HOME": str(folder / "home"), _WRITES_NO_BYTECODE: ""}
    costs = {}
    for name, line in lines.items():
        runs = [
            measured_process(line, folder=folder, environment=environment)[1]
            for _ in range(1 + N_TURNS)
        ]
        costs[name] = typical(runs[1:])
    return costs
