"""Dagster: the asset checks, made from the declared limits and from the recorded verdicts."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from astrid_assets.catalog.parity import row_parity
from astrid_assets.detections.pooled import pooled_completeness
from astrid_assets.limits import (
    EXPOSURES_LEFT,
    LIMITS,
    NEGATIVE_PEAKS,
    POOLED_COMPLETENESS,
)
from astrid_assets.metadata import table
from astrid_assets.null_tests.counts import CANNOT_SEE
from astrid_assets.null_tests.negative import negative_peaks
from astrid_assets.observations import labels_of, observations_by_id
from astrid_assets.partitions import NIGHT_TILE, TILES, split_key
from astrid_assets.quality import Finding, Judgement, Limit, judge_all
from astrid_assets.training.checks import CHECKS as TRAINING_CHECKS
from astrid_assets.training.checks import drift_check
from astrid_resources.dagster_resources import DatabaseResource
from astrid_resources.database.connection import Database
from astrid_resources.database.replace import load_partition
from astrid_resources.products import Partition, PartitionProducts, Verdict

_PREVIEW_NOTE = "Specifying a partitions_def on an AssetCheckSpec is currently in preview"
TILE_ASSETS = frozenset({"reference_images"})


def build_checks() -> list[dg.AssetChecksDefinition]:
    """Return every asset check of the graph."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PREVIEW_NOTE, dg.PreviewWarning)
        checks = [_limit_check(limit) for limit in LIMITS]
        checks += [_negative_peaks_check(limit) for limit in NEGATIVE_PEAKS]
        checks += [_exposures_left_check(asset) for asset in EXPOSURES_LEFT]
        checks += [_pooled_completeness_check(), _row_parity_check()]
        return [*checks, *TRAINING_CHECKS, drift_check()]


def partition_for(context: dg.AssetCheckExecutionContext, asset: str) -> Partition:
    """Return the night and tile of the running check."""
    if asset in TILE_ASSETS:
        return Partition(None, context.partition_key)
    night, tile = split_key(context.partition_key)
    return Partition(night, tile)


def _partitions_of(asset: str) -> dg.PartitionsDefinition:
    return TILES if asset in TILE_ASSETS else NIGHT_TILE


def _load(database: Database, asset: str, partition: Partition) -> PartitionProducts:
    with database.read() as session:
        return load_partition(
            session,
            asset=asset,
            night=partition.night,
            tile=partition.tile,
            with_rows=False,
        )


def _limit_check(limit: Limit) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=limit.asset,
        name=limit.name,
        description=_described(limit),
        partitions_def=_partitions_of(limit.asset),
    )
    def check(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> dg.AssetCheckResult:
        opened = database.database
        products = _load(opened, limit.asset, partition_for(context, limit.asset))
        rows = observations_by_id(opened, [p.observation_id for p in products.products])
        labels = labels_of(rows.values())
        findings = judge_all(
            limit,
            [
                (labels.get(p.observation_id, p.product_id[:12]), p.metrics)
                for p in products.products
                if p.verdict is not Verdict.NO_WORK
            ],
        )
        return check_result(findings)

    return check


def check_result(
    findings: Sequence[Finding], *, shown: Mapping[str, Any] | None = None
) -> dg.AssetCheckResult:
    """Return the check's result: passed unless a number lies beyond its limit + 4 errors.

    What has no number has no verdict: it neither passes nor fails, and is counted.
    shown: further metadata.
    """
    n_failed = sum(f.judgement is Judgement.FAILED for f in findings)
    n_without = sum(f.judgement is Judgement.NO_VERDICT for f in findings)
    metadata: dict[str, Any] = {
        "n_judged": len(findings) - n_without,
        "n_failed": n_failed,
        "n_no_verdict": n_without,
        **(shown or {}),
    }
    if findings:
        metadata["exposures"] = table(
            [
                {
                    "exposure": f.label,
                    "value": f.value,
                    "standard error": f.error,
                    "low": f.low,
                    "high": f.high,
                    "verdict": f.judgement.value,
                }
                for f in findings
            ]
        )
    return dg.AssetCheckResult(
        passed=n_failed == 0, severity=dg.AssetCheckSeverity.WARN, metadata=metadata
    )


def _described(limit: Limit) -> str:
    low = "" if limit.low is None else f"{limit.low:g} <= "
    high = "" if limit.high is None else f" <= {limit.high:g}"
    text = f"{limit.description}: {low}{limit.metric}{high} (+- 4 standard errors)"
    if limit.resampled_high is not None:
        text += f"; {limit.resampled_low:g} to {limit.resampled_high:g} where frames came resampled"
    return text


def _exposures_left_check(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=f"{asset}_left",
        description="some exposure passed, or none was due: one bad frame never sinks a "
        "partition, all of them do",
        blocking=True,
        partitions_def=NIGHT_TILE,
    )
    def check(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> dg.AssetCheckResult:
        products = _load(database.database, asset, partition_for(context, asset)).products
        verdicts = [product.verdict for product in products]
        n_failed = verdicts.count(Verdict.FAILED)
        n_passed = verdicts.count(Verdict.PASSED)
        return dg.AssetCheckResult(
            passed=n_failed == 0 or n_passed > 0,
            metadata={
                "n_passed": n_passed,
                "n_failed": n_failed,
                "n_no_work": verdicts.count(Verdict.NO_WORK),
                "reasons": "; ".join(sorted({r for p in products for r in p.reasons})) or "none",
            },
        )

    return check


def _pooled_completeness_check() -> dg.AssetChecksDefinition:
    limit = POOLED_COMPLETENESS

    @dg.asset_check(
        asset=limit.asset,
        name=limit.name,
        description=_described(limit),
        partitions_def=NIGHT_TILE,
    )
    def check(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> dg.AssetCheckResult:
        _, tile = split_key(context.partition_key)
        found = pooled_completeness(database.database, tile=tile)
        numbers = [
            (
                f"{one.filter_band}, {one.n_exposures} exposures",
                {
                    "found_excess": one.found_excess,
                    "found_excess_error": one.found_excess_error,
                },
            )
            for one in found
        ]
        return check_result(judge_all(limit, numbers))

    return check


def _negative_peaks_check(limit: Limit) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=limit.asset,
        name=limit.name,
        description=_described(limit),
        partitions_def=NIGHT_TILE,
    )
    def check(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> dg.AssetCheckResult:
        found = negative_peaks(database.database, partition_for(context, limit.asset))
        findings = judge_all(limit, [(one.label, one.count.metrics) for one in found])
        counts = [{"exposure": one.label, **one.count.metrics} for one in found]
        shown = {"counts": table(counts)} if counts else {}
        return check_result(findings, shown={**shown, "what_it_cannot_see": CANNOT_SEE})

    return check


def _row_parity_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset="transients",
        name="row_parity",
        description="manifest and rows tell the same of this night and tile",
        partitions_def=NIGHT_TILE,
    )
    def check(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> dg.AssetCheckResult:
        night, tile = split_key(context.partition_key)
        parity = row_parity(database.database, night=night, tile=tile)
        return dg.AssetCheckResult(
            passed=not parity.differences,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                **parity.counts,
                "differences": "; ".join(parity.differences) or "none",
            },
        )

    return check
