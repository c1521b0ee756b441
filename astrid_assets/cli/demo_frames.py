"""What the demo works on: ten real frames, or two nights of the synthetic sky in their place."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from astrid_assets.exposures.demo_data import demo_frames
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import Kind, SkyField, make_field
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.render import render
from astrid_resources.database import Observation, Survey
from astrid_resources.database.connection import Database
from astrid_resources.identity import sha256_file

REAL_SURVEY, SYNTHETIC_SURVEY = "decam_demo", "synthetic"
SEED = 20180804
FRAMES_PER_NIGHT = 4
SYNTHETIC_NIGHTS_MJD = (57618.15, 58334.2)
_OLD_TIME_S = 1_000_000_000
_SNR = 25.0


def deliver_real(drop: Path, *, data: Path | None) -> tuple[Path, ...]:
    """Copy the ten verified frames into the drop folder; a frame that is there already stays.

    Raises DemoFramesUnavailableError where a frame is neither on disk nor to be downloaded.
    """
    folder = drop / REAL_SURVEY
    folder.mkdir(parents=True, exist_ok=True)
    delivered = []
    for frame in demo_frames(data_folder=data):
        target = folder / frame.name
        if not target.exists() or sha256_file(target) != sha256_file(frame):
            part = target.with_name(target.name + ".part")
            shutil.copyfile(frame, part)
            os.utime(part, (_OLD_TIME_S, _OLD_TIME_S))
            part.replace(target)
        delivered.append(target)
    return tuple(delivered)


def deliver_synthetic(drop: Path) -> tuple[Path, ...]:
    """Write two nights of a seeded synthetic field into the drop folder, two transients between."""
    folder = drop / SYNTHETIC_SURVEY
    folder.mkdir(parents=True, exist_ok=True)
    base, new = _base_epoch(), synthetic_transients()
    magnitude = base.magnitude_of_snr(_SNR)
    field = make_field(
        np.random.default_rng(SEED),
        size_deg=0.035,
        n_stars=160,
        n_galaxies=30,
        magnitude_bright=magnitude - 5,
        magnitude_faint=magnitude + 2.5,
    )
    written = []
    for night, start in enumerate(SYNTHETIC_NIGHTS_MJD):
        for number in range(FRAMES_PER_NIGHT):
            epoch = replace(
                base,
                fwhm_pix=3.0 + 0.25 * ((3 * night + number) % 4),
                offset_pix=(1.7 * number - 2.3, 0.9 * number + 1.1 * night),
                mjd_mid_tai=start + 0.03 * number,
            )
            path = folder / f"synthetic_{night + 1}{'abcdef'[number]}.fits"
            written.append(path)
            if path.exists():
                continue
            exposure = render(field.plus(new), epoch, np.random.default_rng([SEED, night, number]))
            part = to_fits(exposure, path.with_name(path.name + ".part"))
            os.utime(part, (_OLD_TIME_S, _OLD_TIME_S))
            part.replace(path)
    return tuple(written)


def synthetic_transients() -> SkyField:
    """Return the two transients of the synthetic demo: new between its nights."""
    base = _base_epoch()
    magnitude = base.magnitude_of_snr(_SNR)
    ra, dec = base.wcs(is_true=True).all_pix2world([120.3, 287.8], [251.7, 148.2], 0)
    return SkyField.points(
        np.asarray(ra),
        np.asarray(dec),
        np.array([magnitude, magnitude - 0.7]),
        kind=Kind.TRANSIENT,
        mjd_start_tai=SYNTHETIC_NIGHTS_MJD[1] - 5,
    )


def _base_epoch() -> Epoch:
    return Epoch(shape=(400, 400), cosmic_rays_per_mpix=60, bad_columns=1)


def demo_partitions(database: Database, *, is_synthetic: bool) -> list[tuple[date, str]]:
    """Return the demo's nights and tile in order of time."""
    query = (
        sa.select(Observation.night, Observation.tile)
        .join(Survey, Survey.id == Observation.survey_id)
        .where(
            Observation.is_current,
            Survey.name == (SYNTHETIC_SURVEY if is_synthetic else REAL_SURVEY),
        )
        .distinct()
        .order_by(Observation.night, Observation.tile)
    )
    with database.read() as session:
        return [(night, tile) for night, tile in session.execute(query)]
