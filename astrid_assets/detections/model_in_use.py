"""Which model scores: the active row of `models`; the shipped champion where none was promoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from astrid_assets.detections.champion_files import Champion, ModelAlteredError, load_champion
from astrid_resources.database import Model, ModelType, utc_now
from astrid_resources.database.connection import Database
from astrid_resources.identity import row_id

SHIPPED_PATH = "package:astrid_assets/detections/champion/model.onnx"


@dataclass(frozen=True)
class ModelInUse:
    """The champion and its row in `models`."""

    row_id: UUID
    champion: Champion


def model_in_use(database: Database) -> ModelInUse:
    """Return the model in use, verified by its sha256; the shipped one is registered when needed.

    Raises ModelMissingError, ModelAlteredError or ModelUntrainedError: nothing is ever scored by
    a model that is not the one the database names.
    """
    champion = load_champion()
    identity = row_id("models", champion.name, champion.sha256)
    with database.read() as session:
        active = session.scalars(sa.select(Model).where(Model.is_active)).one_or_none()
    if active is None or (active.model_path == SHIPPED_PATH and not _tells(active, champion)):
        _register(database, champion, identity)
        return ModelInUse(identity, champion)
    if active.content_sha256 != champion.sha256:
        raise ModelAlteredError(
            f"the model in use is {active.name} {active.version} ({active.content_sha256[:12]}), "
            f"but the champion at hand is {champion.sha256[:12]}: install the release that ships "
            "it, or promote another model",
            expected=active.content_sha256,
            found=champion.sha256,
        )
    return ModelInUse(active.id, champion)


def _tells(row: Model, champion: Champion) -> bool:
    return all(getattr(row, key) == value for key, value in _facts(champion).items())


def _facts(champion: Champion) -> dict[str, Any]:
    training = champion.record["training"]
    return {
        "name": champion.name,
        "version": champion.version,
        "content_sha256": champion.sha256,
        "weights_sha256": champion.weights_sha256,
        "score_threshold": champion.threshold,
        "hyperparameters": training["settings"],
        "training_dataset": training["training_set"].get("sha256"),
        "training_metrics": champion.record["evaluation"],
    }


def _register(database: Database, champion: Champion, identity: UUID) -> None:
    with database.lock("models") as session:
        for row in session.scalars(sa.select(Model).where(Model.is_active, Model.id != identity)):
            row.is_active = False
        known = session.get(Model, identity)
        if known is not None:
            known.is_active = True
            for key, value in _facts(champion).items():
                setattr(known, key, value)
            return
        session.add(
            Model(
                id=identity,
                model_type=ModelType.UNET,
                architecture="U-Net, segmentation and score heads",
                is_active=True,
                deployment_date=utc_now(),
                model_path=SHIPPED_PATH,
                **_facts(champion),
            )
        )
