"""Dagster: checks of a challenger's promotion, of MLflow's mirror, and of each night's drift."""

import warnings

import dagster as dg

from astrid_assets.detections.model_in_use import active_model
from astrid_assets.metadata import table
from astrid_assets.partitions import NIGHT_TILE, split_key
from astrid_assets.quality import Finding, Judgement
from astrid_assets.training.night_drift import night_drift
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database.replace import load_partition
from astrid_resources.model_registry import CHAMPION, MLflowTracking
from astrid_resources.products import Partition, Verdict

_PREVIEW_NOTE = "Specifying a partitions_def on an AssetCheckSpec is currently in preview"


@dg.asset_check(
    asset="model_promotion",
    name="challenger_is_better",
    description="on the stored test set the lower bound of the gain in AUCPR exceeds delta, no "
    "more real sources are lost at the champion's false-positive rate, and Keras and ONNX agree; "
    "a warning means that the challenger was refused and the champion stays",
)
def challenger_is_better(database: DatabaseResource) -> dg.AssetCheckResult:
    """Tell what stands against the challenger; nothing where it is in use."""
    with database.database.read() as session:
        (product,) = load_partition(
            session, asset="model_promotion", night=None, tile=None
        ).products
    numbers = product.metrics
    stands_against = list(numbers.get("reasons", ())) or _vetoed(numbers.get("vetoed_by"))
    is_in_use = product.verdict is Verdict.NO_WORK
    return dg.AssetCheckResult(
        passed=is_in_use or not stands_against,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "against_it": "; ".join(stands_against or product.reasons) or "nothing",
            **{key: value for key, value in numbers.items() if isinstance(value, (int, float))},
        },
    )


def _vetoed(who: str | None) -> list[str]:
    return [f"{who} went back from it"] if who else []


@dg.asset_check(
    asset="model_promotion",
    name="registry_mirrors_table",
    description="MLflow's alias `champion` names the model that the table says is in use",
)
def registry_mirrors_table(
    database: DatabaseResource, mlflow: MLflowTracking
) -> dg.AssetCheckResult:
    """Compare the alias with the active row of `models`, which decides."""
    active, alias = active_model(database.database), mlflow.sha256_of(CHAMPION)
    return dg.AssetCheckResult(
        passed=alias == active.content_sha256,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"in_use": active.content_sha256, "alias": alias or "none"},
    )


def drift_check() -> dg.AssetChecksDefinition:
    """Return the check of each night and tile against the training set of its model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PREVIEW_NOTE, dg.PreviewWarning)

        @dg.asset_check(
            asset="detections",
            name="model_drift",
            description="candidates and scores are like those the model learnt from and was "
            "tested on; a warning means that its figures may not hold here: label some, and train "
            "again; no verdict on few candidates",
            partitions_def=NIGHT_TILE,
        )
        def model_drift(
            context: dg.AssetCheckExecutionContext,
            database: DatabaseResource,
            object_store: ObjectStoreResource,
        ) -> dg.AssetCheckResult:
            partition = Partition(*split_key(context.partition_key))
            findings = night_drift(database.database, object_store.store, partition)
            return drift_result(findings)

    return model_drift


def drift_result(findings: tuple[Finding, ...]) -> dg.AssetCheckResult:
    """Return the check's result: passed unless a number lies beyond its limit + 4 errors."""
    judged = [f for f in findings if f.judgement is not Judgement.NO_VERDICT]
    failed = [f.label for f in findings if f.judgement is Judgement.FAILED]
    shown = [
        {
            "statistic": f.label,
            "value": f.value,
            "standard error": f.error,
            "limit": f.high,
            "verdict": f.judgement.value,
        }
        for f in findings
    ]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "n_judged": len(judged),
            "n_no_verdict": len(findings) - len(judged),
            "drifted": ", ".join(failed) or "nothing",
            **({"statistics": table(shown)} if shown else {}),
        },
    )


CHECKS = (challenger_is_better, registry_mirrors_table)
