"""The stages of one exposure against one reference, each measured warm (its second call).

ZOGY alone and the FFT floor are measured in turns, medians of several: the ratio is theirs.
"""

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
from astrid_assets.difference.sub_images import sky_sigma
from astrid_assets.difference.subtract import subtract
from astrid_assets.difference.zogy import Zogy, zogy
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import Image, has_any, write_difference, write_image
from astrid_resources.images.masks import UNUSABLE

N_FLOOR_FFTS = 8
N_TURNS = 7


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

    science = stage("calibrate science", lambda: calibrate(pair.science.raw)).image
    reference = calibrate(pair.reference.raw).image
    say(f"{size_pix}: ZOGY and the FFT floor in turns")
    floor, alone = _in_turns(lambda: _floor(size_pix), _zogy_call(science, reference))
    costs.append(StageCost(size_pix, "FFT floor (8 real FFTs, float32)", floor))
    costs.append(StageCost(size_pix, "ZOGY alone, constant PSF", alone))
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


def _in_turns(*calls: Callable[[], Any]) -> list[Cost]:
    """Return the cost of each call, the median by wall of `N_TURNS` warm turns of all of them."""
    for call in calls:
        call()
    turns = [[measured(call)[1] for call in calls] for _ in range(N_TURNS)]
    ranked = (sorted(costs, key=lambda cost: cost.wall_s) for costs in zip(*turns, strict=True))
    return [costs[N_TURNS // 2] for costs in ranked]


def _zogy_call(science: Image, reference: Image) -> Callable[[], Zogy]:
    """Return ZOGY on a pair that already lies on one grid, each PSF that of its centre."""
    if science.psf is None or reference.psf is None:
        raise ValueError("the benchmark needs a PSF on both images")
    unusable = [has_any(image.mask, *UNUSABLE) for image in (science, reference)]
    sigma = [sky_sigma(i, bad) for i, bad in zip((science, reference), unusable, strict=True)]
    arrays = (science.data, reference.data, science.variance, reference.variance)
    psfs = (science.psf.centre, reference.psf.centre)
    return lambda: zogy(
        *arrays,
        *psfs,
        sky_sigma_science=sigma[0],
        sky_sigma_reference=sigma[1],
        unusable_science=unusable[0],
        unusable_reference=unusable[1],
        keep_score=False,
    )


def _floor(size_pix: int) -> None:
    data = np.random.default_rng(0).normal(size=(size_pix, size_pix)).astype(np.float32)
    for _ in range(N_FLOOR_FFTS):
        scipy.fft.rfft2(data, workers=-1)
