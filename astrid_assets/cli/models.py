"""`astrid models list`, `rollback`, `promote`: which model scores, and the decisions on it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from astrid_assets.cli.output import fail, say, say_json, say_table
from astrid_assets.cli.queries import Json, open_stores

if TYPE_CHECKING:
    from astrid_assets.detections.model_rollback import ModelEntry
    from astrid_resources.database import Model
    from astrid_resources.database.connection import Database

models = typer.Typer(
    name="models",
    help="The classifiers: which one scores, the one before, and a challenger's proof.",
    no_args_is_help=True,
)


@models.command("list")
def list_(as_json: Json = False) -> None:
    """List every model with the last decision on it, the one in use first."""
    from astrid_assets.detections.model_in_use import active_model
    from astrid_assets.detections.model_rollback import list_models

    database, _ = open_stores()
    active_model(database)
    found = list_models(database)
    if as_json:
        say_json([entry.as_dict() for entry in found])
        return
    say_table("models", [_shown(entry) for entry in found])
    for entry in found:
        if entry.summary:
            say(f"  {entry.version}: {entry.summary}")


@models.command()
def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="Version, or beginning of the sha256; without it the one before."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is written into the audit log.")] = "",
    as_json: Json = False,
) -> None:
    """Take the model that was in use before into use again; nights it has to score are stale."""
    from astrid_assets.detections.model_rollback import rollback as go_back
    from astrid_resources.images import KnownFailure

    database, store = open_stores()
    try:
        now, before = go_back(database, store, user=_user(), to=to, reason=reason)
    except KnownFailure as problem:
        fail(problem.message)
    if as_json:
        say_json({"in_use": now.as_dict(), "before": before.as_dict()})
    else:
        say(f"in use: {now.name} {now.version} ({now.sha256[:12]}), before: {before.version}")
        _say_what_is_stale()
    _tell_others(database, None)


@models.command()
def promote(
    model: Annotated[str, typer.Argument(help="Version, or beginning of the sha256.")],
    as_json: Json = False,
) -> None:
    """Weigh a model against the one in use on the stored test set; exit 1 where it is refused."""
    from astrid_assets.detections.model_rollback import find_model
    from astrid_assets.training.promote import consider
    from astrid_resources.images import KnownFailure, NoWork

    database, store = open_stores()
    try:
        with database.read() as session:
            challenger = find_model(session, model)
        decided = consider(
            database,
            store,
            challenger,
            test_set_key=_test_set_key(database),
            user=_user(),
            is_asked_by_person=True,
        )
    except (KnownFailure, NoWork) as problem:
        fail(problem.message)
    if as_json:
        say_json({"outcome": decided.outcome, "numbers": decided.numbers})
    else:
        say(decided.summary)
    if not decided.outcome.is_use:
        raise typer.Exit(1)
    if not as_json:
        _say_what_is_stale()
    _tell_others(database, challenger)


def _shown(entry: ModelEntry) -> dict[str, object]:
    return {
        "version": entry.version,
        "sha256": entry.sha256[:12],
        "in use": entry.is_in_use,
        "AUCPR": entry.auc_pr,
        "threshold": entry.threshold,
        "decision": entry.outcome,
        "decided (UTC)": entry.decided_utc,
        "in use since or last (UTC)": entry.deployed_utc,
    }


def _say_what_is_stale() -> None:
    say(
        "what another model scored is now stale: the UI shows it, `astrid run --night … --tile …` "
        "scores it again"
    )


def _test_set_key(database: Database) -> str:
    from astrid_resources.database import load_partition

    with database.read() as session:
        found = load_partition(session, asset="training_set", night=None, tile=None).passed
    if not found:
        fail("there is no stored test set: materialise `training_set` first")
    return found[0].objects["samples"].key


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def _tell_others(database: Database, challenger: Model | None) -> None:
    """Tell Dagster and MLflow, which only repeat what the table says."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from astrid_assets.cli.instance import persistent_instance
    from astrid_assets.detections.model_mirror import mirror_registry
    from astrid_assets.detections.sensors import new_observations_of_champion
    from astrid_resources.model_registry import MLflowTracking
    from astrid_resources.settings import Settings

    with persistent_instance(Settings()) as instance:
        for event in new_observations_of_champion(instance, database):
            instance.report_runless_asset_event(event)
    try:
        mirror_registry(database, MLflowTracking(), challenger=challenger)
    except (MlflowException, SQLAlchemyError) as problem:
        typer.echo(
            f"MLflow was not told ({type(problem).__name__}): the table decides, and the next "
            "`model_promotion` tells it",
            err=True,
        )
