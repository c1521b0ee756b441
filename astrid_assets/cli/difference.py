"""`astrid difference`: two images at hand, without Dagster or a database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from astrid_assets.cli.output import fail, say, say_json, whole_files

if TYPE_CHECKING:
    from astrid_resources.images import Algorithm


def difference(
    science: Annotated[Path, typer.Argument(help="FITS image to be searched.", exists=True)],
    reference: Annotated[Path, typer.Argument(help="FITS image to subtract.", exists=True)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    science_mask: Annotated[
        Path | None, typer.Option(help="FITS mask of the science image; non-zero is bad.")
    ] = None,
    reference_mask: Annotated[
        Path | None, typer.Option(help="FITS mask of the reference image; non-zero is bad.")
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(help="What subtracts: zogy or alard_lupton (a kernel fitted)."),
    ] = "zogy",
    compare_with: Annotated[
        str | None,
        typer.Option(help="A second algorithm to run beside it; candidates get its score, too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Subtract REFERENCE from SCIENCE and list what changed.

    Both are detrended images with sky and cosmic rays still in, a celestial WCS, and GAIN, RDNOISE
    and SATURATE in the header (or VAR and MASK extensions; in masks non-zero is bad).

    Writes OUT/difference.fits (DIFFERENCE, VAR, MASK, SCORE in sigmas on the science grid,
    PSF_FLUX, PSF) and OUT/candidates.parquet and .ecsv; `rejection_rule` is empty for accepted
    candidates.
    """
    from astrid_resources.images import Algorithm, KnownFailure, NoWork

    for option, value in (("--algorithm", algorithm), ("--compare-with", compare_with)):
        if value not in (*get_args(Algorithm), None):
            allowed = " or ".join(get_args(Algorithm))
            raise typer.BadParameter(f"{value!r} is none; use {allowed}", param_hint=option)
    if compare_with == algorithm:
        raise typer.BadParameter("it is the algorithm itself", param_hint="--compare-with")
    try:
        metrics = difference_files(
            science,
            reference,
            out,
            science_mask=science_mask,
            reference_mask=reference_mask,
            algorithm=cast("Algorithm", algorithm),
            compare_with=cast("Algorithm | None", compare_with),
        )
    except (KnownFailure, NoWork) as outcome:
        fail(outcome.message)
    if as_json:
        say_json(metrics)
        return
    for stage, numbers in metrics.items():
        say(stage)
        plain = {name: v for name, v in numbers.items() if not isinstance(v, dict | tuple)}
        for name, value in plain.items():
            say(f"  {name:36} {value:.6g}" if isinstance(value, float) else f"  {name:36} {value}")
    say(f"written: {out / 'difference.fits'}, candidates.parquet, candidates.ecsv")


def difference_files(
    science: Path,
    reference: Path,
    out: Path,
    *,
    science_mask: Path | None = None,
    reference_mask: Path | None = None,
    algorithm: Algorithm = "zogy",
    compare_with: Algorithm | None = None,
) -> dict[str, dict[str, Any]]:
    """Calibrate both files, subtract, find candidates, write the results; return the metrics.

    The section `quality` says how good both images and their difference are; what a survey would
    reject is written all the same, since somebody asked for it.
    All results are written or none. Raises KnownFailure where an image cannot be used and NoWork
    where they do not overlap; ends the program where `out` cannot be written.
    """
    from astrid_assets.imaging.memory import imports_uncollected

    with imports_uncollected():
        from astrid_assets.calibration.calibrate import calibrate
        from astrid_assets.exposures.open_image import open_raw

    raws = [
        open_raw(science, mask_path=science_mask),
        open_raw(reference, mask_path=reference_mask),
    ]
    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(calibrate, raws.pop(0)) for _ in range(2)]
        # These imports take their time while the images are being calibrated.
        from astrid_assets.candidates.extract import find_candidates
        from astrid_assets.candidates.table import write_tables
        from astrid_assets.difference.subtract import SubtractionSettings, subtract
        from astrid_resources.images import write_difference

        calibrated = [part.result() for part in pending]
        settings = SubtractionSettings(algorithm=algorithm, compare_with=compare_with)
        subtraction = subtract(calibrated[0].image, calibrated[1].image, settings=settings)
        with whole_files(out) as staged:
            image = staged / "difference.fits"
            written = pool.submit(write_difference, subtraction.difference, image)
            candidates = find_candidates(subtraction, calibrated[0].image)
            write_tables(candidates, staged / "candidates")
            written.result()
    n_accepted = sum(candidate.rejection_rule is None for candidate in candidates)
    return {
        "science": asdict(calibrated[0].metrics),
        "reference": asdict(calibrated[1].metrics),
        "difference": asdict(subtraction.metrics),
        "candidates": {"n_candidates": len(candidates), "n_accepted": n_accepted},
        "quality": {
            "science_grade": calibrated[0].grade.value,
            "science_reasons": "; ".join(calibrated[0].reasons),
            "reference_grade": calibrated[1].grade.value,
            "reference_reasons": "; ".join(calibrated[1].reasons),
            "difference_passed": subtraction.quality.is_passed,
            "difference_reasons": "; ".join(
                (*subtraction.quality.reasons, *subtraction.quality.notes)
            ),
        },
    }
