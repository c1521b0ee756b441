"""Fitting the ensemble, its members side by side or one after another.

Each member sees the same samples in another order, from other first weights; the first also learns
the mask. Members are fitted one after another, or each in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

from astrid_assets.training import network
from astrid_assets.training.members import (
    FitSettings,
    Member,
    Pool,
    Report,
    batches,
    stored_member,
)
from astrid_assets.training.samples import TrainingSet
from astrid_resources.images import KnownFailure

__all__ = ["FitSettings", "Fitted", "TooFewSamplesError", "batches", "fit"]


class TooFewSamplesError(KnownFailure):
    """A training set without enough samples of each class."""


@dataclass(frozen=True)
class Fitted:
    """A trained Keras model with the course of its loss: the mean of every tenth of the steps."""

    model: Any = field(repr=False)
    n_steps: int
    losses: tuple[float, ...]
    cpu_seconds: float


def fit(
    samples: TrainingSet,
    *,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    workers: int = 1,
    report: Report | None = None,
    store: Path | None = None,
) -> Fitted:
    """Return the ensemble trained on `samples`.

    workers: processes that fit members side by side. report: called with (step, loss), the steps
    counted over all members. store: folder that keeps finished members, so that an interrupted fit
    goes on. One seed and one thread give the same weights.
    Raises TooFewSamplesError where a class is almost absent.
    """
    n_real = int(samples.is_real.sum())
    n_bogus = len(samples) - n_real
    if min(n_real, n_bogus) < settings.n_min_per_class:
        raise TooFewSamplesError(
            f"training needs {settings.n_min_per_class} samples of each class, got {n_real} real "
            f"and {n_bogus} bogus: make more fields",
            n_real=n_real, n_bogus=n_bogus, n_required=settings.n_min_per_class,
        )  # fmt: skip
    if workers > 1 and settings.n_members > 1:
        fitted = _in_processes(samples, settings, network_settings, workers, report, store)
    else:
        pool = Pool(*(getattr(samples, name) for name in Pool.__dataclass_fields__))
        fitted = [
            stored_member(k, pool, settings, network_settings, report, store)
            for k in range(settings.n_members)
        ]
    network.prepare(seed=settings.seed, threads=settings.threads)
    members = []
    for k, one in enumerate(fitted):
        member = network.build(network_settings, has_mask=k == 0, name=f"member{k}")
        network.set_weights(member, one.weights)
        members.append(member)
    losses = np.mean([one.losses for one in fitted], axis=0)
    tenths = np.array_split(losses, min(10, len(losses)))
    return Fitted(
        network.ensemble(members), settings.n_steps,
        tuple(float(part.mean()) for part in tenths), sum(one.cpu_seconds for one in fitted),
    )  # fmt: skip


_reports: Any = None


def _set_reports(queue: Any) -> None:
    global _reports
    _reports = queue


def _fit_stored(
    index: int,
    folder: Path,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    store: Path | None,
) -> Member:
    """Fit member `index` in a process of its own, on arrays that all read from `folder`."""
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in Pool.__dataclass_fields__
    }
    return stored_member(
        index, Pool(**arrays), settings, network_settings, lambda *a: _reports.put(a), store
    )


def _in_processes(
    samples: TrainingSet,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    workers: int,
    report: Report | None,
    store: Path | None,
) -> list[Member]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        for part in Pool.__dataclass_fields__:
            np.save(Path(name) / f"{part}.npy", getattr(samples, part))
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=_set_reports, initargs=(queue,)
        ) as pool:
            tasks = [
                pool.submit(_fit_stored, k, Path(name), settings, network_settings, store)
                for k in range(settings.n_members)
            ]
            while not all(task.done() for task in tasks):
                try:
                    step, loss = queue.get(timeout=1)
                except Empty:
                    continue
                if report is not None:
                    report(step, loss)
            return [task.result() for task in tasks]
