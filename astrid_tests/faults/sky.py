"""A small synthetic sky for runs of the whole chain: seconds a night, with a real transient."""

from __future__ import annotations

import functools
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import Kind, SkyField, make_field
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.render import render

OLD_S = 1_500_000_000
SIZE = 192
REFERENCE_NIGHT_MJD = 57618.15
SCIENCE_NIGHTS_MJD = (58334.2, 58335.2)
SNR = 25.0


@functools.cache
def frame(
    mjd_mid_tai: float,
    number: int,
    *,
    size: int = SIZE,
    ra: float = 150.0,
    dec: float = 2.2,
    snr: float = SNR,
) -> bytes:
    """Return the FITS file of an exposure; from the first science night on there is a transient.

    snr: of the transient, about; a tiny one is not there.
    """
    base = Epoch(shape=(size, size), cosmic_rays_per_mpix=60, bad_columns=1, ra_deg=ra, dec_deg=dec)
    magnitude = base.magnitude_of_snr(SNR)
    there = base.wcs(is_true=True).all_pix2world([0.3 * size], [0.6 * size], 0)
    new = SkyField.points(
        *map(np.asarray, there),
        np.array([base.magnitude_of_snr(snr) - 0.7]),
        kind=Kind.TRANSIENT,
        mjd_start_tai=SCIENCE_NIGHTS_MJD[0] - 5,
    )
    share = (size / 400) ** 2
    field = make_field(
        np.random.default_rng(20180804),
        ra_deg=ra,
        dec_deg=dec,
        size_deg=0.035 * size / 400,
        n_stars=round(160 * share),
        n_galaxies=round(30 * share),
        magnitude_bright=magnitude - 5,
        magnitude_faint=magnitude + 2.5,
    )
    epoch = replace(
        base,
        fwhm_pix=3.0 + 0.25 * (number % 4),
        offset_pix=(1.7 * number - 2.3, 0.9 * number),
        mjd_mid_tai=mjd_mid_tai + 0.03 * number,
    )
    seed = np.random.default_rng([int(mjd_mid_tai), number])
    with tempfile.TemporaryDirectory() as folder:
        return to_fits(render(field.plus(new), epoch, seed), Path(folder) / "f.fits").read_bytes()


def deliver(drop: Path, nights: dict[float, int], **sky: float) -> None:
    """Write some exposures of each night (by its first mid-exposure) into a drop folder."""
    for mjd, n_frames in nights.items():
        for number in range(n_frames):
            put(drop / "synthetic" / f"{int(mjd)}_{number}.fits", frame(mjd, number, **sky))


def put(path: Path, content: bytes, *, later_s: int = 0) -> Path:
    """Write a file as if it had been delivered long ago, or so much later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD_S + later_s, OLD_S + later_s))
    return path
