"""`astrid verify` and `gc`: whether tables and store agree, and what nothing refers to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from astrid_assets.cli.output import say, say_json
from astrid_assets.cli.queries import open_stores
from astrid_assets.repairs import planned

if TYPE_CHECKING:
    from astrid_resources.integrity import Garbage, Repair, Rerun, Verification

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_SHOWN = 20


def verify(
    quick: Annotated[
        bool, typer.Option("--quick", help="Ask only whether objects are there; read none.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Put altered objects into quarantine and withdraw their products: with the "
            "daemon running, the sensor `withdrawn_products` asks Dagster for them.",
        ),
    ] = False,
    run: Annotated[
        bool,
        typer.Option(
            "--run", help="Run here what --repair withdrew, now or before, one after another."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every object and row that counts against the manifest; exit 1 if something is wrong."""
    from rich.progress import Progress

    from astrid_resources.integrity import repair as do_repair
    from astrid_resources.integrity import verify as look

    database, store = open_stores()
    with Progress(transient=True, disable=as_json) as bar:
        task = bar.add_task("reading objects", total=None)
        found = look(
            database,
            store,
            is_reading=not quick,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    done = do_repair(database, store, found) if repair else None
    if as_json:
        extra = {"repair": {**done.as_dict(), "next": commands(done)}} if done else {}
        say_json({**found.as_dict(), **extra})
    else:
        _tell(found)
        if done is not None:
            _tell_repair(done)
        elif not found.is_clean:
            say("`astrid verify --repair` withdraws what can be made again and asks for it")
    if run:
        _run_pending(as_json=as_json)
    elif not found.is_clean:
        raise typer.Exit(1)


def gc(
    age_hours: Annotated[
        float, typer.Option(min=1, help="Spare what was put or written less than this ago.")
    ] = 24.0,
    history: Annotated[
        bool, typer.Option("--history", help="Also what only replaced products name.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove it; without this nothing is changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what no row refers to and what killed processes left; with --delete remove it."""
    from astrid_resources.integrity import collect_garbage, find_garbage

    database, store = open_stores()
    age = timedelta(hours=age_hours)
    garbage = find_garbage(database, store, age=age, is_history_kept=not history)
    if delete:
        garbage = collect_garbage(store, garbage)
    if as_json:
        say_json({**garbage.as_dict(), "is_deleted": delete})
    else:
        _tell_garbage(garbage, is_deleted=delete)


def commands(done: Repair) -> list[str]:
    """Return what to do next, in order: nights that references need, references, nights."""
    plan = planned(done.reruns)
    return [
        *(f"deliver again, then `astrid ingest`: {item.name}" for item in done.redeliveries),
        *(_run_of(*key) for key in plan.first),
        *(f"astrid reference --tile {tile}" for tile in plan.tiles),
        *(_run_of(*key) for key in plan.nights),
        *(f"materialise {item.asset}{_night_of(item)}" for item in plan.others),
    ]


def _run_pending(*, as_json: bool) -> None:
    """Run every partition that lost a product, on the installation's Dagster instance."""
    from astrid_assets.cli.pipeline import open_pipeline
    from astrid_resources.integrity import pending_reruns

    failed = []
    with open_pipeline() as pipeline:
        plan = planned(pending_reruns(pipeline.database))
        for night, tile in plan.first:
            pipeline.run_night(date.fromisoformat(night), tile)
        outcomes = [pipeline.make_references(tile) for tile in plan.tiles]
        outcomes += [
            pipeline.run_night(date.fromisoformat(night), tile) for night, tile in plan.nights
        ]
        failed = [outcome for outcome in outcomes if not outcome.is_success]
        n_left = len(pending_reruns(pipeline.database))
    if not as_json:
        say(f"{len(outcomes)} runs, {len(failed)} failed; {n_left} partitions still lack a product")
        for outcome in failed:
            say(f"  {outcome.job} {outcome.partition}: {'; '.join(outcome.failures)}")
    if failed or n_left:
        raise typer.Exit(1)


def _run_of(night: str, tile: str) -> str:
    return f"astrid run --night {night} --tile {tile}"


def _night_of(item: Rerun) -> str:
    return f" of {item.night}" if item.night else ""


def _tell(found: Verification) -> None:
    say(
        f"{found.n_products} products with {found.n_rows} rows, "
        f"{found.n_objects} objects of {_size(found.n_bytes)}"
        + (" (not read)" if found.n_unhashed else "")
    )
    if found.n_products_without_hash:
        say(f"{found.n_products_without_hash} products were written without a hash of their rows")
    if found.orphans:
        say(
            f"{len(found.orphans)} objects of {_size(found.orphan_bytes)} that no row names: "
            f"`astrid gc`"
        )
    _tell_some([f"{problem.subject}: {problem.text}" for problem in found.problems])
    say("clean" if found.is_clean else f"{len(found.problems)} things are wrong")


def _tell_repair(done: Repair) -> None:
    say(
        f"{len(done.quarantined)} objects put into quarantine, {done.n_withdrawn} products "
        f"withdrawn; the daemon asks for them, `astrid verify --run` makes them here, or by hand:"
    )
    for line in commands(done):
        say(f"  {line}")


def _tell_garbage(garbage: Garbage, *, is_deleted: bool) -> None:
    _tell_some(
        [item.key for item in garbage.objects]
        + [str(path) for path in garbage.folders]
        + [f"unfinished upload of {upload.key}" for upload in garbage.uploads]
    )
    verb = "removed" if is_deleted else "to remove"
    say(
        f"{verb}: {len(garbage.objects)} objects, {len(garbage.folders)} staging folders, "
        f"{len(garbage.uploads)} uploads, {_size(garbage.n_bytes)}; "
        f"{garbage.n_young} are too young to tell"
    )
    if not is_deleted and (garbage.objects or garbage.folders or garbage.uploads):
        say("nothing was changed; `astrid gc --delete` removes them")


def _tell_some(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        say(f"  {line}")
    if len(lines) > _SHOWN:
        say(f"  … and {len(lines) - _SHOWN} more; --json lists all")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"
