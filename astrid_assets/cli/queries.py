"""`astrid transients`, `why`, `status`: questions to the stores; they change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrid_assets.cli.output import fail, say, say_json, say_table, whole_files

if TYPE_CHECKING:
    from astrid_assets.catalog.listing import TransientEntry
    from astrid_resources.database.connection import Database
    from astrid_resources.objects import ObjectStore

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def open_stores() -> tuple[Database, ObjectStore]:
    """Return database and object store of this installation, for reading."""
    from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
    from astrid_resources.database.connection import SchemaError

    database = DatabaseResource().database
    try:
        database.require_current_schema()
    except SchemaError as problem:
        fail(str(problem))
    return database, ObjectStoreResource().store


def transients(
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Only those seen twice in one place.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report with cutouts and light curves.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the catalog: confirmed transients first, then those seen in a single epoch."""
    from astrid_assets.catalog.listing import list_transients

    database, store = open_stores()
    found = list_transients(database, is_confirmed_only=confirmed)
    if as_json:
        say_json([entry.as_dict() for entry in found])
    else:
        tell_transients(found)
    if report is not None:
        from astrid_assets.catalog.report import write_report
        from astrid_assets.catalog.report_content import collect_report

        with whole_files(report.parent) as staged:
            write_report(collect_report(database, store), staged / report.name)
        if not as_json:
            say(f"report: {report}")


def tell_transients(found: tuple[TransientEntry, ...]) -> None:
    """Print the catalog's table; where there are synthetic entries, each says what it is."""
    from astrid_assets.catalog.listing import COLUMNS

    rows = [dict(zip(COLUMNS, entry.cells(), strict=True)) for entry in found]
    synthetic = [entry.is_synthetic for entry in found]
    if any(synthetic):
        for row, is_synthetic in zip(rows, synthetic, strict=True):
            row["sky"] = "SYNTHETIC" if is_synthetic else "observed"
    title = "transients"
    if rows and all(synthetic):
        title += " (SYNTHETIC sky, not observed)"
    say_table(title, rows)


def why(
    ra: Annotated[float, typer.Option(help="Right ascension, ICRS degrees.", min=0, max=360)],
    dec: Annotated[float, typer.Option(help="Declination, ICRS degrees.", min=-90, max=90)],
    radius: Annotated[float, typer.Option(help="Search radius, arcsec.", min=0.01)] = 2.0,
    as_json: Json = False,
) -> None:
    """Tell what happened to a position on each night: why it is in the catalog, or is not."""
    from astrid_assets.catalog.why import why as ask

    database, store = open_stores()
    entries = ask(database, store, ra=ra % 360, dec=dec, radius_arcsec=radius)
    if as_json:
        say_json([entry.as_dict() for entry in entries])
        return
    if not entries:
        say("no night has been observed yet: `astrid ingest` takes files in")
    for entry in entries:
        where = " ".join(filter(None, (entry.when_utc, entry.exposure, entry.band)))
        say(f"{entry.night}  {where}")
        say(f"    {entry.outcome}: {entry.text}")


def status(as_json: Json = False) -> None:
    """Show what the stores hold: counts, references, the model in use, the quarantine."""
    from astrid_assets.catalog.status import status as read_status
    from astrid_assets.observations import partitions_of

    database, store = open_stores()
    found = read_status(database)
    partitions = partitions_of(database)
    if as_json:
        say_json({**found.as_dict(), "partitions": partitions})
        return
    say(f"database: {database!r}")
    say(f"objects:  {store!r}")
    if found.is_synthetic:
        say("some exposures are of the SYNTHETIC sky, not observed")
    counts = {
        name.removeprefix("n_").replace("_", " "): value
        for name, value in found.as_dict().items()
        if name.startswith("n_")
    }
    for name, value in counts.items():
        say(f"  {name:28} {value}")
    say(f"  {'model in use':28} {found.model or 'none yet'}")
    for line in found.references:
        say(f"  {'reference':28} {line}")
    say_table("nights and tiles", partitions)
    say_table("products", [vars(entry) for entry in found.assets])
    say(f"quarantine: {len(found.quarantine) or 'empty'}")
    for entry in found.quarantine:
        say(f"  {entry.name} ({entry.n_deliveries} x) {entry.reason_code}: {entry.reason}")
