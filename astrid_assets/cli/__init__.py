"""The command `astrid`: the same code as the assets, for files and stores at hand.

Commands import what they need when they run, so that `astrid --help` answers at once.
"""

from __future__ import annotations

import typer

from astrid_assets.cli.demo import demo
from astrid_assets.cli.difference import difference
from astrid_assets.cli.integrity import gc, verify
from astrid_assets.cli.models import models
from astrid_assets.cli.queries import status, transients, why
from astrid_assets.cli.runs import dev, ingest, reference, run, upgrade
from astrid_assets.imaging.memory import reuse_freed_memory

app = typer.Typer(
    name="astrid",
    help="AstrID finds what changed in the sky. Data live under ASTRID_HOME (default ~/.astrid).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    dev,
    difference,
    ingest,
    run,
    reference,
    transients,
    why,
    status,
    verify,
    gc,
    upgrade,
):
    app.command()(command)
app.add_typer(models)


def main() -> None:
    """Run the command line, in a process that is its own."""
    reuse_freed_memory()
    app()
