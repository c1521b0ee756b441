"""How fast a champion scores, and how long a new process needs to its first score."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from astrid_assets.detections.scoring import load_champion, score

_BATCH = 256
_N_BATCHES = 6
_FIRST_SCORE = (
    "import sys; from pathlib import Path; import numpy as np; "
    "from astrid_assets.detections.scoring import load_champion, score; "
    "score(load_champion(Path(sys.argv[1])), np.zeros((1, 63, 63, 3), np.float32))"
)


def speed_figures(folder: Path) -> dict[str, Any]:
    """Return cutouts per second at batches of 256 and the cold start, best of three each."""
    champion = load_champion(folder)
    size = champion.cutouts.size_pix
    batch = np.random.default_rng(0).normal(size=(_BATCH, size, size, 3)).astype(np.float32)
    score(champion, batch)
    threads = os.cpu_count() or 1
    best, cold = np.inf, np.inf
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(_N_BATCHES):
            score(champion, batch)
        best = min(best, time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _FIRST_SCORE, str(folder)], check=True)  # noqa: S603
        cold = min(cold, time.perf_counter() - start)
    return {
        "cutouts_per_s": _N_BATCHES * _BATCH / best,
        "batch": _BATCH,
        "threads": threads,
        "cold_start_s": cold,
    }
