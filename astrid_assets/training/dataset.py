"""The training set of many synthetic fields: made side by side, kept, counted.

What happens within a field stands in `field_samples.py`.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from astrid_assets.training.field_samples import DatasetSettings, samples_of_field
from astrid_assets.training.samples import TrainingSet, concatenate, load_samples, save_samples
from astrid_resources.images import KnownFailure, NoWork


@dataclass(frozen=True)
class Dataset:
    """The samples, and the fields that gave none: {reason: how many}."""

    samples: TrainingSet
    skipped: dict[str, int]


@dataclass(frozen=True)
class FieldResult:
    """The samples of field `index`, or None and the code of the outcome that a stage ended in.

    mpix: area searched, over all views: pixels that both images cover.
    """

    index: int
    samples: TrainingSet | None
    skipped: str | None
    mpix: float = 0.0

    def __str__(self) -> str:
        if self.samples is None:
            return f"skipped: {self.skipped}"
        n_real = int(self.samples.is_real.sum())
        return f"{n_real} real, {len(self.samples) - n_real} bogus"


def make_field(index: int, settings: DatasetSettings, store: Path | None = None) -> FieldResult:
    """Return field `index`, read from `store` where it stands there, else made and stored."""
    made_with = field_record(settings)
    path = None if store is None else store / f"field-{index:05d}.npz"
    if path is not None and path.is_file():
        samples, record = load_samples(path)
        if record["settings"] == made_with:
            return FieldResult(index, samples, record["skipped"], record["mpix"])
    try:
        samples, mpix = samples_of_field(index, settings)
        result = FieldResult(index, samples, None, mpix)
    except (KnownFailure, NoWork) as outcome:
        result = FieldResult(index, None, outcome.code)
    if path is not None:
        record = {"settings": made_with, "skipped": result.skipped, "mpix": result.mpix}
        save_samples(result.samples, path, record=record)
    return result


def field_record(settings: DatasetSettings) -> dict[str, Any]:
    """Return the settings that one field depends on, as plain JSON: all but how many there are."""
    record = json.loads(json.dumps(asdict(settings)))
    del record["fields"]["n_nights"]
    return dict(record)


def results(
    make: Callable[[int], FieldResult], indices: range, *, workers: int
) -> Iterator[FieldResult]:
    """Yield make(index) in order of the indices; whoever stops asking stops the work."""
    if workers <= 1:
        yield from map(make, indices)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    waiting: deque[Future[FieldResult]] = deque()
    try:
        for index in indices:
            waiting.append(pool.submit(make, index))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def make_dataset(
    settings: DatasetSettings,
    *,
    store: Path | None = None,
    workers: int = 1,
    report: Callable[[int, str], None] | None = None,
) -> Dataset:
    """Return the set of all fields in order of their index, whatever the number of workers.

    store: folder where each field is kept, so that an interrupted run goes on and a larger set
    reuses a smaller one. report: called with (index, what became of it). A field that a stage
    refuses is counted.
    """
    if store is not None:
        store.mkdir(parents=True, exist_ok=True)
    make = partial(make_field, settings=settings, store=store)
    parts: list[TrainingSet] = []
    skipped: dict[str, int] = {}
    for result in results(make, range(settings.n_fields), workers=workers):
        if result.samples is not None:
            parts.append(result.samples)
        if result.skipped is not None:
            skipped[result.skipped] = skipped.get(result.skipped, 0) + 1
        if report is not None:
            report(result.index, str(result))
    return Dataset(concatenate(parts), skipped)


def n_sources(samples: TrainingSet) -> int:
    """Return the number of distinct sources: the views of a field show the same ones."""
    real = samples.is_real
    return len(np.unique(np.stack([samples.sky_field[real], samples.source[real]]), axis=1).T)


def summary(samples: TrainingSet) -> dict[str, Any]:
    """Return the set's counts and hash, for metadata and the champion's record."""
    kinds, counts = np.unique(samples.kind, return_counts=True)
    return {
        "n_samples": len(samples),
        "n_real": int(samples.is_real.sum()),
        "n_bogus": int((~samples.is_real).sum()),
        "n_sources": n_sources(samples),
        "kinds": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        "n_trailed": int(samples.is_trailed.sum()),
        "n_negative": int(samples.is_negative.sum()),
        "n_fields": len(np.unique(samples.sky_field)),
        "n_nights": len(np.unique(samples.night)),
        "sha256": samples.sha256,
    }
