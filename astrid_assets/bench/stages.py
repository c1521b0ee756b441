"""The stages of one exposure against one reference, each measured warm.

ZOGY alone and the FFT floor are measured in turns: the ratio is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.fft

from astrid_assets.bench.encoding import encoding_calls
from astrid_assets.bench.inputs import bench_pair
from astrid_assets.bench.measure import Cost, in_turns, measured, typical
from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.scoring import load_champion, score
from astrid_assets.difference.sub_images import sky_sigma
from astrid_assets.difference.subtract import subtract
from astrid_assets.difference.zogy import Zogy, zogy
from astrid_assets.imaging.resample import resample
from astrid_resources.images import Image, MaskPlane, has_any
from astrid_resources.images.masks import UNUSABLE

N_FLOOR_FFTS = 8
N_TURNS_FLOOR = 15
N_TURNS = 3
FLOOR = f"FFT floor ({N_FLOOR_FFTS} real FFTs, float32)"


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage at one image size."""

    size_pix: int
    stage: str
    cost: Cost


def bench_size(size_pix: int, *, say: Callable[[str], None]) -> list[StageCost]:
    """Return the cost of every stage for one synthetic pair of `size_pix` squared."""
    say(f"{size_pix}: making the synthetic pair")
    pair = bench_pair(size_pix)
    science_raw, reference_raw = pair.science.raw, pair.reference.raw
    del pair
    champion = load_champion()
    costs: list[StageCost] = []

    def stage(name: str, call: Callable[[], Any]) -> Any:
        call()
        turns = [measured(call) for _ in range(N_TURNS)]
        cost = typical([turn[1] for turn in turns])
        costs.append(StageCost(size_pix, name, cost))
        say(f"{size_pix}: {name}: {cost.wall_s:.2f} s")
        return turns[-1][0]

    science = stage("calibrate one image", lambda: calibrate(science_raw)).image
    reference = calibrate(reference_raw).image
    say(f"{size_pix}: ZOGY and the FFT floor in turns")
    floor, again, anew = in_turns(
        _floor_call(size_pix), *_zogy_calls(science, reference), n_turns=N_TURNS_FLOOR
    )
    costs.append(StageCost(size_pix, FLOOR, floor))
    costs.append(StageCost(size_pix, "ZOGY alone, into the maps of an earlier call", again))
    costs.append(StageCost(size_pix, "ZOGY alone, maps made anew", anew))
    stage(
        "resample the reference", lambda: resample(reference, wcs=science.wcs, shape=science.shape)
    )
    subtraction = stage("subtract (register, resample, ZOGY)", lambda: subtract(science, reference))
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

    stage("score the accepted candidates", scored)
    for name, call in encoding_calls(science, subtraction.difference).items():
        stage(name, call)
    return costs


def _zogy_calls(science: Image, reference: Image) -> tuple[Callable[[], Zogy], Callable[[], Zogy]]:
    """Return ZOGY on a pair that already lies on one grid, each PSF that of its centre.

    Into the maps of an earlier call, and with new ones.
    """
    if science.psf is None or reference.psf is None:
        raise ValueError("the benchmark needs a PSF on both images")
    unusable = [has_any(image.mask, *UNUSABLE) for image in (science, reference)]
    sigma = [sky_sigma(i, bad) for i, bad in zip((science, reference), unusable, strict=True)]
    arrays = (science.data, reference.data, science.variance, reference.variance)
    psfs = (science.psf.centre, reference.psf.centre)
    call = partial(
        zogy,
        *arrays,
        *psfs,
        sky_sigma_science=sigma[0],
        sky_sigma_reference=sigma[1],
        unusable_science=unusable[0],
        unusable_reference=unusable[1],
        saturated_reference=has_any(reference.mask, MaskPlane.SATURATED),
        keep_score=False,
    )
    return partial(call, into=call()), call


def _floor_call(size_pix: int) -> Callable[[], None]:
    data = np.random.default_rng(0).normal(size=(size_pix, size_pix)).astype(np.float32)

    def floor() -> None:
        for _ in range(N_FLOOR_FFTS):
            scipy.fft.rfft2(data, workers=-1)

    return floor
