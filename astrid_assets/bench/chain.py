"""The chain from detrended arrays to measured candidates, in a process that does nothing else.

`python -m astrid_assets.bench.chain SCIENCE REFERENCE [--reference-at-hand]` is that process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from astrid_assets.bench.inputs import PairFiles
from astrid_assets.bench.measure import Cost, high_water_mb, measured, measured_process, typical
from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.difference.subtract import subtract
from astrid_assets.exposures.open_image import open_raw
from astrid_assets.imaging.memory import reuse_freed_memory
from astrid_resources.images import Image, RawExposure

N_WARM = 3


@dataclass(frozen=True)
class ChainCost:
    """The chain's first turn in a fresh process, its warm ones, and that process's peak."""

    cold: Cost
    warm: Cost
    n_candidates: int


def chain_cost(files: PairFiles, folder: Path, *, is_reference_at_hand: bool) -> ChainCost:
    """Measure the chain in a child: both images calibrated, or the reference before."""
    flags = ["--reference-at-hand"] if is_reference_at_hand else []
    command: list[str | Path] = [
        sys.executable,
        "-m",
        __name__,
        files.science,
        files.reference,
        *flags,
    ]
    text, _ = measured_process(command, folder=folder)
    said = json.loads(text)
    cold, *warm = (Cost(**turn) for turn in said["turns"])
    return ChainCost(cold, typical(warm), said["n_candidates"])


def main(arguments: list[str] | None = None) -> None:
    """Run the chain several times, as `astrid difference` does; print each turn's cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("science", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--reference-at-hand", action="store_true")
    options = parser.parse_args(arguments)
    ready = calibrate(open_raw(options.reference)).image if options.reference_at_hand else None
    turns, n_candidates = [], 0
    for _ in range(1 + N_WARM):
        raws = [open_raw(options.science)]
        if ready is None:
            raws.append(open_raw(options.reference))
        n_candidates, cost = measured(_chain_call(raws, ready))
        turns.append(Cost(cost.wall_s, cost.cpu_s, high_water_mb(), cost.grown_mb))
    said = {"turns": [asdict(turn) for turn in turns], "n_candidates": n_candidates}
    sys.stdout.write(json.dumps(said))


def _chain_call(raws: list[RawExposure], ready: Image | None) -> Callable[[], int]:
    """Return the chain, which takes the exposures out of `raws`: nobody holds them any longer."""

    def chain() -> int:
        with ThreadPoolExecutor(2) as pool:
            pending = [pool.submit(calibrate, raws.pop(0)) for _ in range(len(raws))]
            images = [part.result().image for part in pending]
        del pending
        science, reference = images if ready is None else (images[0], ready)
        return len(find_candidates(subtract(science, reference), science))

    return chain


if __name__ == "__main__":
    reuse_freed_memory()
    main()
