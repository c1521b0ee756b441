"""Other programs on the same pair, where they are installed; AstrID needs none of them.

SExtractor, PSFEx and SWarp are looked for on the PATH, stdpipe in the interpreter that
ASTRID_BENCH_PEERS_PYTHON names: an environment of its own, since it is no dependency.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from astrid_assets.bench.inputs import PairFiles
from astrid_assets.bench.measure import Cost, ProcessFailedError, measured_process, typical
from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.difference.subtract import subtract
from astrid_assets.exposures.open_image import open_raw
from astrid_assets.imaging.threads import n_cores
from astrid_resources.images import Image, has_any
from astrid_resources.images.fits_form import wcs_cards
from astrid_resources.images.masks import UNUSABLE

PEERS_PYTHON = "ASTRID_BENCH_PEERS_PYTHON"
ABSENT = "not installed"
N_TURNS = 2
_STDPIPE_SCRIPT = Path(__file__).with_name("stdpipe_zogy.py")
_CATALOG = "stars.cat"
_COLUMNS = (
    "NUMBER XWIN_IMAGE YWIN_IMAGE X_IMAGE Y_IMAGE FLUX_APER(1) FLUXERR_APER(1) FLUX_RADIUS "
    "ELONGATION FLAGS SNR_WIN VIGNET(35,35)"
)
_SEXTRACTOR = {
    "CATALOG_NAME": _CATALOG,
    "CATALOG_TYPE": "FITS_LDAC",
    "PARAMETERS_NAME": "peer.param",
    "FILTER": "N",
    "DETECT_THRESH": "3",
    "PHOT_APERTURES": "10",
    "BACK_SIZE": "64",
    "VERBOSE_TYPE": "QUIET",
}
_PSFEX = {
    "PSF_SIZE": "35,35",
    "PSFVAR_DEGREES": "2",
    "CHECKPLOT_TYPE": "NONE",
    "CHECKIMAGE_TYPE": "NONE",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
}
_SWARP = {
    "IMAGEOUT_NAME": "aligned.fits",
    "WEIGHTOUT_NAME": "aligned.weight.fits",
    "COMBINE": "Y",
    "SUBTRACT_BACK": "N",
    "RESAMPLING_TYPE": "LANCZOS3",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
}


@dataclass(frozen=True)
class PeerCost:
    """What one program did and cost; without a cost, why there is none."""

    program: str
    task: str
    cost: Cost | None
    why_not: str = ""


def peer_costs(files: PairFiles, folder: Path, *, say: Callable[[str], None]) -> list[PeerCost]:
    """Measure each peer on the calibrated pair, as fresh processes with their file reading."""
    say("peers: writing the calibrated pair as they read it")
    science = calibrate(open_raw(files.science)).image
    reference = calibrate(open_raw(files.reference)).image
    _write_plain(science, folder / "science_plain.fits")
    _write_plain(reference, folder / "reference_plain.fits")
    (folder / "aligned.head").write_text(_target_header(science))
    (folder / "peer.param").write_text("\n".join(_COLUMNS.split()) + "\n")
    runs = (
        ("SExtractor", "detect, measure, cut out stars", ("source-extractor", "sex", "sextractor"),
         ["science_plain.fits", "-c", os.devnull, *_options(_SEXTRACTOR)]),
        ("PSFEx", "PSF from that catalogue, quadratic", ("psfex", "psfex"),
         [_CATALOG, "-c", os.devnull, *_options({**_PSFEX, "NTHREADS": str(n_cores())})]),
        ("SWarp", "resample the reference, Lanczos-3", ("SWarp", "swarp"),
         ["reference_plain.fits", "-c", os.devnull,
          *_options({**_SWARP, "NTHREADS": str(n_cores())})]),
    )  # fmt: skip
    costs = []
    for program, task, names, arguments in runs:
        say(f"peers: {program}")
        found = next((path for name in names if (path := shutil.which(name))), None)
        costs.append(_measured(program, task, found, arguments, folder))
    say("peers: stdpipe")
    costs.append(_stdpipe(science, reference, folder))
    return costs


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for key, value in settings.items() for part in (f"-{key}", value)]


def _measured(
    program: str, task: str, found: str | None, arguments: Sequence[str | Path], folder: Path
) -> PeerCost:
    if found is None:
        return PeerCost(program, task, None, ABSENT)
    try:
        runs = [measured_process([found, *arguments], folder=folder)[1] for _ in range(N_TURNS)]
    except ProcessFailedError as problem:
        return PeerCost(program, task, None, str(problem).splitlines()[-1][:80])
    return PeerCost(program, task, typical(runs))


def _stdpipe(science: Image, reference: Image, folder: Path) -> PeerCost:
    """Measure ZOGY of stdpipe between arrays: its process says what the call alone cost."""
    task = "ZOGY of the aligned pair, the call alone"
    python = os.environ.get(PEERS_PYTHON)
    if not python:
        return PeerCost("stdpipe", task, None, f"{ABSENT} ({PEERS_PYTHON} is not set)")
    subtraction = subtract(science, reference)
    aligned = subtraction.reference_on_science
    if science.psf is None or aligned.psf is None:
        raise ValueError("the peers need a PSF on both images")
    np.savez(
        folder / "pair.npz",
        science=science.data,
        reference=aligned.data,
        science_error=np.sqrt(science.variance),
        reference_error=np.sqrt(aligned.variance),
        mask=has_any(science.mask, *UNUSABLE) | has_any(aligned.mask, *UNUSABLE),
        psf_science=science.psf.centre,
        psf_reference=aligned.psf.centre,
        flux_ratio=subtraction.metrics.flux_ratio,
    )
    try:
        text, whole = measured_process([python, _STDPIPE_SCRIPT, "pair.npz"], folder=folder)
    except (ProcessFailedError, OSError) as problem:
        return PeerCost("stdpipe", task, None, str(problem).splitlines()[-1][:80])
    wall_s, cpu_s = (float(word) for word in text.split()[-2:])
    return PeerCost("stdpipe", task, Cost(wall_s, cpu_s, whole.peak_mb, whole.grown_mb))


def _write_plain(image: Image, path: Path) -> None:
    """One float32 image in the primary HDU, with gain and saturation: what every program reads."""
    header = wcs_cards(image.wcs)
    header["GAIN"] = image.meta.gain_e_per_adu
    header["SATURATE"] = image.meta.saturation_adu
    fits.PrimaryHDU(image.data, header=header).writeto(path, overwrite=True)


def _target_header(image: Image) -> str:
    """Return the header file that makes SWarp resample onto the grid of `image`."""
    header = wcs_cards(image.wcs)
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, image.shape[1], image.shape[0]
    return header.tostring(sep="\n", endcard=True, padding=False) + "\n"
