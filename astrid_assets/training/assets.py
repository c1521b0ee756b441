"""Dagster: training set, network, evaluation and promotion of a challenger."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from astrid_assets.declared import PRODUCTS_ASSET, result
from astrid_assets.detections.champion_files import KERAS_FILE, ONNX_FILE, RECORD_FILE
from astrid_assets.detections.model_facts import model_facts, scalar_figures
from astrid_assets.detections.model_in_use import active_model
from astrid_assets.detections.model_mirror import mirror_registry
from astrid_assets.detections.sensors import new_observations_of_champion
from astrid_assets.metadata import pictures
from astrid_assets.stored import PREVIEW
from astrid_assets.training.asset_parts import (
    TrainingConfig,
    alone,
    known_product,
    model_row_id,
    preview,
    require_same_settings,
    taken_over,
)
from astrid_assets.training.build import build_champion
from astrid_assets.training.card import CARD_FILE
from astrid_assets.training.dataset import make_dataset, summary
from astrid_assets.training.human_labels import labelled_samples
from astrid_assets.training.pictures import kinds_png
from astrid_assets.training.promote import AlreadyInUse, consider
from astrid_assets.training.promotion import PromotionSettings
from astrid_assets.training.samples import concatenate, load_training_set, save_training_set
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Model
from astrid_resources.database.rows import upsert
from astrid_resources.identity import product_id
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.products import PartitionProducts, Product, Verdict

SET_VERSION = "2"
MODEL_VERSION = "3"
EVALUATION_VERSION = "2"
PROMOTION_VERSION = "1"
_FILES = {
    "onnx": ONNX_FILE,
    "keras": KERAS_FILE,
    "record": RECORD_FILE,
    "card": CARD_FILE,
    "worst_real": "worst_real.png",
    "worst_bogus": "worst_bogus.png",
}
_WORST = ("worst_real", "worst_bogus")


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python", "numpy"},
    code_version=SET_VERSION,
)
def training_set(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """Injected sources, the pipeline's own peaks and what people said, split by sky and night."""
    settings, store = config.settings().dataset, object_store.store
    labelled = labelled_samples(database.database, store, cutouts=settings.cutouts)
    inputs = () if labelled.samples is None else (labelled.samples.sha256,)
    identity = product_id(SET_VERSION, {"training_set": asdict(settings)}, inputs)
    known = known_product(database.database, "training_set", identity)
    if known is not None:
        return taken_over(context, known, store)
    dataset = make_dataset(
        settings, report=lambda index, text: context.log.info(f"field {index + 1}: {text}")
    )
    samples = dataset.samples
    if labelled.samples is not None:
        samples = concatenate([samples, labelled.samples])
    record = {
        "settings": asdict(settings),
        "skipped": dataset.skipped,
        "human_labels": labelled.counts,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        save_training_set(samples, path, record=record)
        stored = store.put_file(path)
    numbers = {**summary(samples), "human_labels": labelled.counts}
    product = Product(
        "training_set",
        identity,
        objects={"samples": stored, PREVIEW: store.put_bytes(kinds_png(samples))},
        metrics=numbers,
        code_version=SET_VERSION,
        inputs=inputs,
    )
    return result(alone(product), {**numbers, **preview(store, product)})


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python", "tensorflow", "onnx"},
    code_version=MODEL_VERSION,
)
def unet_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    training_set: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    mlflow: MLflowTracking,
) -> dg.MaterializeResult[PartitionProducts]:
    """A challenger: fitted, calibrated, evaluated on test fields, exported and checked."""
    settings, store = config.settings(), object_store.store
    (source,) = training_set.products
    samples_at = source.objects["samples"]
    inputs = (source.product_id, samples_at.sha256)
    identity = product_id(MODEL_VERSION, {"unet_model": asdict(settings)}, inputs)
    known = known_product(database.database, "unet_model", identity)
    if known is not None:
        return taken_over(context, known, store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with store.fetch(samples_at.key) as path:
            samples, record = load_training_set(path)
        require_same_settings(record, settings)
        with mlflow.run("challenger", parameters=asdict(settings)) as run:

            def report(step: int, loss: float) -> None:
                context.log.info(f"step {step}: loss {loss:.4f}")
                run.log_metrics({"loss": loss}, step=step)

            champion = build_champion(
                samples, folder, settings, skipped=record["skipped"], report=report
            )
            run.log_metrics(scalar_figures(champion.record["evaluation"]))
            for path in sorted(folder.iterdir()):
                run.log_file(path)
        objects = {role: store.put_file(folder / file) for role, file in _FILES.items()}
    metrics = {
        "version": champion.version,
        "weights_sha256": champion.weights_sha256,
        "mlflow_run_id": run.run_id,
    }
    product = Product(
        "unet_model",
        identity,
        objects=objects,
        metrics=metrics,
        code_version=MODEL_VERSION,
        inputs=inputs,
    )
    return result(alone(product), metrics)


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python"},
    code_version=EVALUATION_VERSION,
)
def model_evaluation(
    unet_model: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
) -> dg.MaterializeResult[PartitionProducts]:
    """The challenger's figures on fields and nights it never saw, and its row in `models`."""
    (model,), store = unet_model.products, object_store.store
    record = json.loads(store.get_bytes(model.objects["record"].key))
    figures = record["evaluation"]
    row = {
        "id": model_row_id(record["name"], model),
        **model_facts(record, onnx_sha256=model.objects["onnx"].sha256),
        "model_path": model.objects["onnx"].key,
        "keras_path": model.objects["keras"].key,
        "record_path": model.objects["record"].key,
        "mlflow_run_id": model.metrics.get("mlflow_run_id"),
    }
    with database.database.session() as session:
        upsert(session, Model, [row])
    product = Product(
        "model_evaluation",
        product_id(EVALUATION_VERSION, {}, (model.product_id,)),
        metrics={"name": record["name"], "figures": figures},
        code_version=EVALUATION_VERSION,
        inputs=(model.product_id,),
    )
    card = store.get_bytes(model.objects["card"].key).decode()
    worst = {role: store.get_bytes(model.objects[role].key) for role in _WORST}
    shown = {"model_card": dg.MetadataValue.md(card), **pictures(worst)}
    return result(alone(product), {**shown, **scalar_figures(figures)})


@dg.asset(
    **PRODUCTS_ASSET,
    group_name="training",
    kinds={"python", "onnx"},
    code_version=PROMOTION_VERSION,
)
def model_promotion(
    context: dg.AssetExecutionContext,
    training_set: PartitionProducts,
    unet_model: PartitionProducts,
    model_evaluation: PartitionProducts,
    database: DatabaseResource,
    object_store: ObjectStoreResource,
    mlflow: MLflowTracking,
) -> dg.MaterializeResult[PartitionProducts]:
    """The decision on the challenger: promoted where it is proven better, else refused, and why."""
    opened = database.database
    (source,), (model,), (evaluation,) = (
        asset.products for asset in (training_set, unet_model, model_evaluation)
    )
    champion_before = active_model(opened).content_sha256
    inputs = (source.product_id, model.product_id, evaluation.product_id, champion_before)
    with opened.read() as session:
        challenger = session.get_one(Model, model_row_id(evaluation.metrics["name"], model))
    numbers: dict[str, Any] = {}
    verdict, reasons = Verdict.PASSED, tuple[str, ...]()
    try:
        decided = consider(
            opened,
            object_store.store,
            challenger,
            test_set_key=source.objects["samples"].key,
            user=f"dagster run {context.run.run_id}",
        )
        said, numbers = decided.summary, dict(decided.numbers)
    except AlreadyInUse as outcome:
        said, verdict, reasons = outcome.message, Verdict.NO_WORK, (outcome.message,)
    context.log.info(said)
    mirror_registry(opened, mlflow, challenger=challenger)
    for event in new_observations_of_champion(context.instance, opened):
        context.instance.report_runless_asset_event(event)
    product = Product(
        "model_promotion",
        product_id(PROMOTION_VERSION, {"rule": asdict(PromotionSettings())}, inputs),
        metrics=numbers,
        verdict=verdict,
        reasons=reasons,
        code_version=PROMOTION_VERSION,
        inputs=inputs,
    )
    return result(alone(product), {"decision": said, "numbers": numbers})
