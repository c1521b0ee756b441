"""MLflow's aliases follow the table `models`, which decides which model is in use."""

from __future__ import annotations

from astrid_assets.detections.model_in_use import active_model
from astrid_resources.database import Model
from astrid_resources.database.connection import Database
from astrid_resources.model_registry import (
    CHALLENGER,
    CHAMPION,
    MLflowTracking,
    RegisteredModel,
)


def mirror_registry(
    database: Database, mlflow: MLflowTracking, *, challenger: Model | None = None
) -> None:
    """Make the aliases name the model in use, and the challenger where it is another one.

    Without a challenger that alias stays as it is. Running it again changes nothing.
    """
    active = active_model(database)
    aliases: dict[str, RegisteredModel | None] = {CHAMPION: _registered(active)}
    if challenger is not None:
        is_other = challenger.id != active.id
        aliases[CHALLENGER] = _registered(challenger) if is_other else None
    mlflow.mirror(aliases)


def _registered(model: Model) -> RegisteredModel:
    return RegisteredModel(
        model.version, model.content_sha256, model.model_path, model.mlflow_run_id
    )
