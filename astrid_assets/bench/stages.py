"""The stages of one exposure against one reference, each measured warm (its second call)."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from astrid_assets.bench.measure import Cost, measured
from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.scoring import load_champion, score
from astrid_assets.difference.subtract import subtract
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import write_difference, write_image

N_FLOOR_FFTS = 8


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage at one image size."""

    size_pix: int
    stage: str
    cost: Cost


def bench_size(size_pix: int, *, say: Callable[[str], None]) -> list[StageCost]:
    """Return the cost of every stage for one synthetic pair of `size_pix` squared."""
    say(f"{size_pix}: making the synthetic pair")
    epoch = Epoch(cosmic_rays_per_mpix=100.0, bad_columns=2)
    pair = make_pair(1, (size_pix, size_pix), n_transients=size_pix // 8, science=epoch)
    champion = load_champion()
    costs: list[StageCost] = []

    def stage(name: str, call: Callable[[], Any]) -> Any:
        call()
        result, cost = measured(call)
        costs.append(StageCost(size_pix, name, cost))
        say(f"{size_pix}: {name}: {cost.wall_s:.2f} s")
        return result

    stage("FFT floor (8 real FFTs, float32)", lambda: _floor(size_pix))
    science = stage("calibrate science", lambda: calibrate(pair.science.raw)).image
    reference = calibrate(pair.reference.raw).image
    subtraction = stage("subtract (register, ZOGY)", lambda: subtract(science, reference))
    found = stage("candidates", lambda: find_candidates(subtraction, science))
    kept = [candidate for candidate in found if candidate.is_accepted]

    def scored() -> Any:
        cutouts = candidate_cutouts(
            subtraction.difference,
            science,
            subtraction.reference_on_science,
            x=np.array([c.pixel_x for c in kept]),
            y=np.array([c.pixel_y for c in kept]),
            is_negative=np.array([c.is_negative for c in kept], bool),
            settings=champion.cutouts,
        )
        return score(champion, cutouts)

    stage(f"score {len(kept)} candidates", scored)
    stage("write calibrated image", lambda: write_image(science, io.BytesIO()))
    stage("write difference", lambda: write_difference(subtraction.difference, io.BytesIO()))
    return costs


def _floor(size_pix: int) -> None:
    data = np.random.default_rng(0).normal(size=(size_pix, size_pix)).astype(np.float32)
    for _ in range(N_FLOOR_FFTS):
        scipy.fft.rfft2(data, workers=-1)
