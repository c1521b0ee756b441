"""`astrid ingest`, `run`, `reference`, `upgrade`: the Dagster jobs, without the UI."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrid_assets.cli.output import fail, say, say_json

if TYPE_CHECKING:
    from astrid_assets.cli.pipeline import Pipeline, RunOutcome
    from astrid_resources.database.connection import Database
    from astrid_resources.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def ingest(
    folder: Annotated[
        Path, typer.Argument(help="Folder with FITS files, in one subfolder per survey.")
    ],
    as_json: Json = False,
) -> None:
    """Take the stable files of FOLDER into the store; what cannot be used goes to quarantine."""
    from astrid_assets.catalog.status import status as read_status
    from astrid_assets.cli.pipeline import open_pipeline
    from astrid_assets.exposures.arrivals import waiting_files

    if not folder.is_dir():
        fail(f"{folder} is not a folder: give the one that the files are in")
    with open_pipeline() as pipeline:
        outcome = pipeline.ingest(folder)
        summary = read_status(pipeline.database).as_dict()
        waiting = waiting_files(pipeline.database, str(folder.absolute()))
    _tell(outcome, as_json=as_json, extra={"status": summary, "waiting": waiting})
    if not as_json:
        say(f"observations: {summary['n_observations']}; `astrid status` shows the quarantine")
        if waiting:
            named = ", ".join(waiting[:5]) + (", …" if len(waiting) > 5 else "")
            say(
                f"not taken yet ({len(waiting)}), written a moment ago or with a sidecar that "
                f"cannot be read; ingest again to take them: {named}"
            )


def run(
    night: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Date of the evening.")],
    tile: Annotated[str, typer.Option(help="Tile, as `astrid status` lists them.")],
    as_json: Json = False,
) -> None:
    """Run every stage of a night and tile: raw exposures to catalog, one Dagster run."""
    from astrid_assets.cli.pipeline import open_pipeline

    with open_pipeline() as pipeline:
        _require_tile(pipeline, tile)
        _require_night(night.date())
        outcome = pipeline.run_night(night.date(), tile)
    _tell(outcome, as_json=as_json)


def reference(
    tile: Annotated[str, typer.Option(help="Tile, as `astrid status` lists them.")],
    as_json: Json = False,
) -> None:
    """Make the candidates for a tile's references, and promote what passes."""
    from astrid_assets.cli.pipeline import open_pipeline

    with open_pipeline() as pipeline:
        _require_tile(pipeline, tile)
        outcome = pipeline.make_references(tile)
    _tell(outcome, as_json=as_json)


def upgrade() -> None:
    """Bring ASTRID_HOME and the database schema up to date; nothing is lost."""
    settings, database = _prepared()
    say(f"{settings.home} is ready: {database!r}")


def dev(
    port: Annotated[int, typer.Option(help="Port of the UI on 127.0.0.1.")] = 3000,
) -> None:
    """Serve the Dagster UI and daemon on 127.0.0.1, with the stores under ASTRID_HOME."""
    import os
    import sys

    from astrid_assets.cli.instance import BETA_LOGGING, project_file

    settings, _ = _prepared()
    os.environ["ASTRID_HOME"] = str(settings.home)
    os.environ.setdefault("PYTHONWARNINGS", f"ignore:{BETA_LOGGING}")
    workspace = ["-w", str(project_file("workspace.yaml"))]
    served = ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), *workspace]
    os.execv(sys.executable, [sys.executable, *served])  # noqa: S606


def _prepared() -> tuple[Settings, Database]:
    from astrid_assets.cli.instance import prepare_home
    from astrid_resources.database.connection import Database
    from astrid_resources.settings import Settings

    settings = Settings()
    prepare_home(settings)
    database = Database(settings.database_url)
    database.upgrade()
    return settings, database


def _require_tile(pipeline: Pipeline, tile: str) -> None:
    """Fail for a tile that was never observed: a slip of the pen becomes no partition."""
    from astrid_assets.observations import partitions_of
    from astrid_assets.partitions import TILE

    observed = {str(entry["tile"]) for entry in partitions_of(pipeline.database)}
    if tile not in observed | set(pipeline.instance.get_dynamic_partitions(TILE)):
        known = ", ".join(sorted(observed)[:10]) or "none yet: `astrid ingest` takes files in"
        fail(f"no exposure of tile {tile!r} is known; tiles are {known}")


def _require_night(night: date) -> None:
    from astrid_assets.partitions import FIRST_NIGHT, is_in_calendar

    if not is_in_calendar(night):
        fail(
            f"the night {night} is not in the calendar, which runs from {FIRST_NIGHT} "
            "(ASTRID_FIRST_NIGHT) to today"
        )


def _tell(outcome: RunOutcome, *, as_json: bool, extra: dict[str, object] | None = None) -> None:
    if as_json:
        say_json({**asdict(outcome), **(extra or {})})
    else:
        ended = "succeeded" if outcome.is_success else "failed"
        where = f" {outcome.partition}" if outcome.partition else ""
        say(f"{outcome.job}{where}: {ended} (run {outcome.run_id})")
        for line in outcome.failures:
            say(f"  {line}")
    if not outcome.is_success:
        raise typer.Exit(1)
