"""The thin loop every stage shares: one exposure after another, each with its own outcome.

What belongs here: identity, reuse of work that is done, and the three outcomes. No science, no
Dagster: an asset body hands in a function that makes one product's content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from astrid_resources.identity import product_id
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.logs import about_exposure
from astrid_resources.products import (
    Partition,
    PartitionProducts,
    Product,
    Row,
    StoredObject,
    Verdict,
)

Log = Callable[[str], None]


@dataclass(frozen=True)
class StageCode:
    """Which code makes a product: its asset, code version and the parameters that change data."""

    asset: str
    code_version: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def product_id(self, task: Task) -> str:
        """Return the identity of the product of `task`: code version, parameters, inputs."""
        parameters = self.parameters if task.parameters is None else task.parameters
        return product_id(self.code_version, {self.asset: parameters}, task.inputs)


@dataclass(frozen=True)
class Task:
    """One product to make: its exposure, what identifies its inputs, and a name for people.

    parameters: that change the data of this product, where they are not those of the stage.
    """

    label: str
    inputs: tuple[str, ...]
    observation_id: UUID | None = None
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Content:
    """What a stage's function returns for one exposure."""

    objects: Mapping[str, StoredObject] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def run_stage(
    code: StageCode,
    partition: Partition,
    tasks: Sequence[Task],
    make: Callable[[Task], Content],
    *,
    existing: Mapping[str, Product],
    log: Log,
    on_outcome: Callable[[Task, KnownFailure | NoWork], Content] | None = None,
) -> PartitionProducts:
    """Return the products of `tasks`, made one after another or taken over where they exist.

    make: returns the content of one product; `KnownFailure` and `NoWork` that it raises become
        the verdict of that product alone, anything else propagates.
    existing: current products of this partition by product id: done work is not done again; where
        there was no work, the question is asked again.
    on_outcome: the content (rows) that records a failure or absence of work.
    """
    products = []
    for number, task in enumerate(tasks, start=1):
        identity = code.product_id(task)
        where = f"{number}/{len(tasks)} {task.label}"
        known = existing.get(identity)
        if known is not None and known.verdict is not Verdict.NO_WORK:
            log(f"{where}: unchanged, taken over")
            products.append(known)
            continue
        with about_exposure(task.label):
            content, verdict, reasons = _outcome(task, make, on_outcome)
            log(f"{where}: {verdict.value}" + (f" ({'; '.join(reasons)})" if reasons else ""))
        products.append(
            Product(
                asset=code.asset,
                product_id=identity,
                observation_id=task.observation_id,
                objects=content.objects,
                metrics=content.metrics,
                verdict=verdict,
                reasons=reasons,
                rows=content.rows,
                code_version=code.code_version,
                inputs=task.inputs,
            )
        )
    return PartitionProducts(code.asset, partition.night, partition.tile, tuple(products))


def _outcome(
    task: Task,
    make: Callable[[Task], Content],
    on_outcome: Callable[[Task, KnownFailure | NoWork], Content] | None,
) -> tuple[Content, Verdict, tuple[str, ...]]:
    try:
        content = make(task)
    except (KnownFailure, NoWork) as outcome:
        verdict = Verdict.NO_WORK if isinstance(outcome, NoWork) else Verdict.FAILED
        content = on_outcome(task, outcome) if on_outcome else Content()
        return content, verdict, (f"{outcome.code}: {outcome.message}",)
    if content.failures:
        return content, Verdict.FAILED, content.failures
    return content, Verdict.PASSED, ()
