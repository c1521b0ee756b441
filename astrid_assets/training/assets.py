"""Dagster: training set, network and evaluation of a challenger; promotion is not theirs."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg

from astrid_assets.declared import PRODUCTS_ASSET, result
from astrid_assets.detections.champion_files import KERAS_FILE, ONNX_FILE, RECORD_FILE
from astrid_assets.metadata import table
from astrid_assets.training.build import ChampionSettings, build_champion
from astrid_assets.training.dataset import make_dataset, summary
from astrid_assets.training.samples import load_training_set, save_training_set
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Model
from astrid_resources.database.rows import upsert
from astrid_resources.identity import plain_json, product_id, row_id
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.products import PartitionProducts, Product

CODE_VERSION = "1"


class TrainingConfig(dg.Config):
    """What may be made smaller for a trial; the defaults are those of the shipped champion."""

    n_nights: int | None = None
    side_pix: int | None = None
    n_steps: int | None = None

    def settings(self) -> ChampionSettings:
        """Return the full settings with these changes."""
        settings = ChampionSettings()
        fields, fit = settings.dataset.fields, settings.fit
        if self.n_nights:
            fields = replace(fields, n_nights=self.n_nights)
        if self.side_pix:
            fields = replace(fields, sides_pix=(self.side_pix,))
        if self.n_steps:
            fit = replace(fit, n_steps=self.n_steps)
        return replace(settings, dataset=replace(settings.dataset, fields=fields), fit=fit)


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python", "numpy"},
    code_version=CODE_VERSION,
)
def training_set(
    context: dg.AssetExecutionContext, config: TrainingConfig, object_store: ObjectStoreResource
) -> dg.MaterializeResult[PartitionProducts]:
    """Injected sources and the pipeline's own peaks from synthetic fields, split by night."""
    settings = config.settings()
    dataset = make_dataset(
        settings.dataset,
        report=lambda index, text: context.log.info(f"field {index + 1}: {text}"),
    )
    record = {"settings": asdict(settings.dataset), "skipped": dataset.skipped}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        save_training_set(dataset.samples, path, record=record)
        stored = object_store.store.put_file(path)
    numbers = summary(dataset.samples)
    parameters = {"training_set": asdict(settings.dataset)}
    product = Product(
        "training_set",
        product_id(CODE_VERSION, parameters, ()),
        objects={"samples": stored},
        metrics=numbers,
        code_version=CODE_VERSION,
    )
    return result(PartitionProducts("training_set", None, None, (product,)), numbers)


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python", "tensorflow", "onnx"},
    code_version=CODE_VERSION,
)
def unet_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    training_set: PartitionProducts,
    object_store: ObjectStoreResource,
    mlflow: MLflowTracking,
) -> dg.MaterializeResult[PartitionProducts]:
    """A challenger: fitted, calibrated, evaluated on test fields, exported and checked."""
    settings, store = config.settings(), object_store.store
    (source,) = training_set.products
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with store.fetch(source.objects["samples"].key) as path:
            samples, record = load_training_set(path)
        require_same_settings(record, settings)
        champion = build_champion(
            samples,
            folder,
            settings,
            skipped=record["skipped"],
            report=lambda step, loss: context.log.info(f"step {step}: loss {loss:.4f}"),
        )
        files = {"onnx": ONNX_FILE, "keras": KERAS_FILE, "record": RECORD_FILE}
        with mlflow.run("challenger", parameters=asdict(settings)) as run:
            for file in files.values():
                run.log_file(folder / file)
        objects = {role: store.put_file(folder / file) for role, file in files.items()}
    parameters = {"unet_model": asdict(settings)}
    metrics = {"version": champion.version, "weights_sha256": champion.weights_sha256}
    product = Product(
        "unet_model",
        product_id(CODE_VERSION, parameters, (source.product_id,)),
        objects=objects,
        metrics=metrics,
        code_version=CODE_VERSION,
        inputs=(source.product_id,),
    )
    return result(PartitionProducts("unet_model", None, None, (product,)), metrics)


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python"},
    code_version=CODE_VERSION,
)
def model_evaluation(
    unet_model: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """The challenger's figures on fields and nights it never saw, and its row in `models`."""
    (model,) = unet_model.products
    record = json.loads(object_store.store.get_bytes(model.objects["record"].key))
    figures = record["evaluation"]
    identity = row_id("models", record["name"], model.objects["onnx"].sha256)
    row = {
        "id": identity,
        "name": record["name"],
        "version": record["version"],
        "model_type": "unet",
        "architecture": "U-Net, segmentation and score heads",
        "hyperparameters": record["training"]["settings"],
        "training_dataset": record["training"]["training_set"].get("sha256"),
        "training_metrics": figures,
        "score_threshold": record["threshold"],
        "model_path": model.objects["onnx"].key,
        "content_sha256": model.objects["onnx"].sha256,
        "weights_sha256": record["weights_sha256"],
    }
    with database.database.session() as session:
        known = session.get(Model, identity)
        upsert(session, Model, [{**row, "is_active": known is not None and known.is_active}])
    product = Product(
        "model_evaluation",
        product_id(CODE_VERSION, {}, (model.product_id,)),
        metrics=figures,
        code_version=CODE_VERSION,
        inputs=(model.product_id,),
    )
    shown = [{"figure": name, "value": str(value)} for name, value in sorted(figures.items())]
    metadata = {"figures": table(shown)}
    return result(PartitionProducts("model_evaluation", None, None, (product,)), metadata)


def require_same_settings(record: Mapping[str, Any], settings: ChampionSettings) -> None:
    """Raise dg.Failure where a training set was made with other settings than the run's.

    A model's record tells with what it was trained: it must not tell of another set.
    """
    if record["settings"] != plain_json(asdict(settings.dataset)):
        raise dg.Failure(
            "the training set was made with other settings than this run's: materialise "
            "training_set and unet_model with the same configuration",
            allow_retries=False,
        )
