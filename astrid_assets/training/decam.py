"""Evaluation of a champion on the demo's real DECam frames: never training, nothing chosen on them.

The frames are small and were resampled before they came: a point source appeared in a galaxy, and
a bright star leaves a dipole.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.recovery import recover
from astrid_assets.detections.scoring import Champion, score
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.reference.coadd import coadd
from astrid_resources.images import Image, ImageMeta, RawExposure
from astrid_resources.images.fits_form import wcs_from_header

FOLDER = "decam_2018"
_SCIENCE = ("04a", "04b", "04c", "04d", "04e")
_REFERENCE = ("18a", "18b", "18c", "18d", "18e")
_TRANSIENT_XY, _TRANSIENT_PIX = (128.9, 127.7), 3.0
_DIPOLE_XY, _DIPOLE_PIX = (57.0, 181.0), 15.0
_READ_NOISE_E = 7.0
_SNR_EDGES = (4.0, 5.0, 6.0, 7.0, 8.0, 12.0, 20.0, 40.0)


@dataclass(frozen=True)
class Frames:
    """The science frames by name with what subtracting the coadded reference gave."""

    science: dict[str, Image]
    subtraction: dict[str, Subtraction]


def _frame(folder: Path, name: str) -> Image:
    file = f"DEC-OBS{name}.mini.fits"
    with (folder / "frames.csv").open() as stream:
        row = next(row for row in csv.DictReader(stream) if row["file"] == file)
    with fits.open(folder / file) as hdus:
        data, wcs = hdus[0].data.astype(np.float32), wcs_from_header(hdus[0].header)
    meta = ImageMeta(
        float(row["gain_e_per_adu"]), _READ_NOISE_E, float(row["saturation_adu"]),
        float(row["exptime_s"]), is_resampled=True,
    )  # fmt: skip
    return calibrate(RawExposure(data, wcs, meta, is_sky_subtracted=True)).image


def subtracted_frames(data: Path) -> Frames:
    """Return the ten frames through the project's own stages; data: holds `decam_2018/`."""
    folder = data / FOLDER
    reference = coadd([_frame(folder, name) for name in _REFERENCE]).image
    science = {name: _frame(folder, name) for name in _SCIENCE}
    return Frames(science, {name: subtract(image, reference) for name, image in science.items()})


def evaluate_on_decam(
    champion: Champion, frames: Frames, *, seed: int = 1, n_repeats: int = 3
) -> dict[str, Any]:
    """Return what the champion says of transient, dipole, all else, and of injected sources.

    others_accepted: positive candidates elsewhere that no rule rejects and the model accepts.
    injected: of sources put into the frames, by S/N: what the rules leave and what is accepted.
    """
    transient, dipole_accepted, others = {}, 0, 0
    injected: list[tuple[float, bool, bool]] = []
    for index, (name, science) in enumerate(frames.science.items()):
        subtraction = frames.subtraction[name]
        found = [c for c in find_candidates(subtraction, science) if not c.is_negative]
        x = np.array([c.pixel_x for c in found], float)
        y = np.array([c.pixel_y for c in found], float)
        cutouts = candidate_cutouts(
            subtraction.difference, science, subtraction.reference_on_science, x=x, y=y,
            is_negative=np.zeros(len(found), bool), settings=champion.cutouts,
        )  # fmt: skip
        scores = score(champion, cutouts)
        taken = scores.is_accepted & np.array([c.is_accepted for c in found], bool)
        at = np.hypot(x - _TRANSIENT_XY[0], y - _TRANSIENT_XY[1]) < _TRANSIENT_PIX
        star = np.hypot(x - _DIPOLE_XY[0], y - _DIPOLE_XY[1]) < _DIPOLE_PIX
        transient[name] = float(scores.probability[at & taken].max(initial=0.0))
        dipole_accepted += int((scores.is_accepted & star).sum())
        others += int((taken & ~at & ~star).sum())
        for repeat in range(n_repeats):
            rng = np.random.default_rng([seed, index, repeat])
            tried = recover(science, subtraction, champion=champion, rng=rng)
            injected += zip(tried.sources.snr, tried.is_passed, tried.is_accepted, strict=True)
    snr, passed, accepted = (np.array(column) for column in zip(*injected, strict=True))
    bins = [(low, high, (snr >= low) & (snr < high)) for low, high in pairwise(_SNR_EDGES)]
    return {
        "n_frames": len(transient),
        "n_transient_accepted": sum(p >= champion.threshold for p in transient.values()),
        "transient_probability": transient,
        "n_dipole_accepted": dipole_accepted,
        "n_others_accepted": others,
        "injected": [
            {
                "low": low,
                "high": high,
                "n_injected": int(inside.sum()),
                "n_passed": int((inside & passed).sum()),
                "n_accepted": int((inside & accepted).sum()),
            }
            for low, high, inside in bins
        ],
    }
