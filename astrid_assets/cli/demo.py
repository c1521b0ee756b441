"""`astrid demo`: every stage, through Dagster, on ten real frames of one field."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrid_assets.cli.output import fail, say, say_json
from astrid_assets.cli.queries import tell_transients

if TYPE_CHECKING:
    from astrid_assets.cli.pipeline import Pipeline, RunOutcome

REPORT_NAME = "demo_report.html"


def demo(
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Use the synthetic sky instead of real frames.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Run the whole chain on the demo frames: the reference night, its reference, a later night.

    Ten DECam frames are looked up in $ASTRID_DATA, then in the cache, then downloaded, and
    verified by sha256. Where none can be had, the synthetic sky is used, labelled as such.
    """
    from astrid_assets.catalog.listing import list_transients
    from astrid_assets.catalog.report import write_report
    from astrid_assets.catalog.report_content import collect_report
    from astrid_assets.cli.pipeline import open_pipeline
    from astrid_assets.observations import partitions_of
    from astrid_resources.dagster_resources import ObjectStoreResource

    start = time.monotonic()
    outcomes: list[RunOutcome] = []
    with open_pipeline() as pipeline:
        folder, is_synthetic = _deliver(pipeline, synthetic=synthetic, quiet=as_json)
        with _step("ingest the delivered files", quiet=as_json):
            outcomes.append(_checked(pipeline.ingest(folder)))
        partitions = partitions_of(pipeline.database)
        for index, (night, tile) in enumerate(_of_demo(pipeline, is_synthetic=is_synthetic)):
            with _step(f"night {night}, tile {tile}: raw exposures to catalog", quiet=as_json):
                outcomes.append(_checked(pipeline.run_night(night, tile)))
            if index == 0:
                with _step(f"reference of tile {tile}", quiet=as_json):
                    outcomes.append(_checked(pipeline.make_references(tile)))
        found = list_transients(pipeline.database)
        with _step("report", quiet=as_json):
            page = pipeline.settings.home / REPORT_NAME
            write_report(collect_report(pipeline.database, ObjectStoreResource().store), page)
    if as_json:
        say_json(
            {
                "is_synthetic": is_synthetic,
                "runs": [asdict(outcome) for outcome in outcomes],
                "partitions": partitions,
                "transients": [entry.as_dict() for entry in found],
                "report": str(page),
            }
        )
        return
    say("")
    tell_transients(found)
    say("")
    for entry in found:
        sky = "  SYNTHETIC" if entry.is_synthetic else ""
        say(f"{entry.name}  RA {entry.ra:.6f}  Dec {entry.dec:+.6f}  {entry.confirmation}{sky}")
    say("")
    say(f"report:      {page}")
    say("Dagster UI:  make dev, then http://127.0.0.1:3000 (the same data)")
    where = f"--ra {found[0].ra:.6f} --dec {found[0].dec:+.6f}" if found else "--ra RA --dec DEC"
    say(f"questions:   astrid transients | astrid why {where} | astrid status")
    say(f"done in {time.monotonic() - start:.0f} s")


def _deliver(pipeline: Pipeline, *, synthetic: bool, quiet: bool) -> tuple[Path, bool]:
    """Return the drop folder with the frames in it, and whether they are synthetic."""
    from astrid_assets.cli.demo_frames import deliver_real, deliver_synthetic
    from astrid_assets.exposures.demo_data import DemoFramesUnavailableError

    drop = pipeline.settings.drop_folder
    if not synthetic:
        try:
            with _step("ten DECam frames, verified by sha256", quiet=quiet):
                deliver_real(drop, data=pipeline.settings.data)
        except DemoFramesUnavailableError as problem:
            if not quiet:
                say(f"The real frames cannot be had: {problem.message}")
                say("Going on with the SYNTHETIC sky: made by AstrID, not observed.")
        else:
            return drop, False
    with _step("two nights of the SYNTHETIC sky (made by AstrID, not observed)", quiet=quiet):
        deliver_synthetic(drop)
    return drop, True


def _of_demo(pipeline: Pipeline, *, is_synthetic: bool) -> list[tuple[date, str]]:
    from astrid_assets.cli.demo_frames import demo_partitions

    return demo_partitions(pipeline.database, is_synthetic=is_synthetic)


def _checked(outcome: RunOutcome) -> RunOutcome:
    if not outcome.is_success:
        fail(f"{outcome.job} {outcome.partition or ''} failed: " + "; ".join(outcome.failures))
    return outcome


@contextmanager
def _step(title: str, *, quiet: bool) -> Iterator[None]:
    """Show what is being done and how long it took, as it happens."""
    if quiet:
        yield
        return
    from astrid_assets.cli.output import console

    start = time.monotonic()
    with console().status(title):
        yield
    say(f"  {time.monotonic() - start:5.1f} s  {title}")
