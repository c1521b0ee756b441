"""Fitting the ensemble: balanced, augmented batches and the schedule; TensorFlow is in `network`.

Each member sees the same samples in another order, from other first weights; the first also learns
the mask. Members are fitted one after another, or each in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training import network
from astrid_assets.training.augment import AugmentSettings, augment
from astrid_assets.training.samples import TrainingSet
from astrid_resources.images import KnownFailure

Report = Callable[[int, float], None]
Weights = list[NDArray[np.float32]]


class TooFewSamplesError(KnownFailure):
    """A training set without enough samples of each class."""


@dataclass(frozen=True)
class FitSettings:
    """What the weights depend on, beside the training set.

    n_steps: of each of the n_members; average_last_steps: the weights are the mean over these.
    threads: of TensorFlow per member; more than 1 need not repeat to the last bit.
    """

    n_members: int = 3
    n_steps: int = 1400
    batch_size: int = 64
    learning_rate: float = 3e-3
    mask_weight: float = 1.0
    trailed_weight: float = 0.2
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    n_min_per_class: int = 20
    average_last_steps: int = 200
    seed: int = 7
    threads: int = 1


@dataclass(frozen=True)
class Fitted:
    """A trained Keras model with the course of its loss (mean of every tenth of the steps)."""

    model: Any = field(repr=False)
    n_steps: int
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class _Pool:
    """What a member is fitted on: the arrays that batches are drawn from."""

    cutouts: NDArray[np.float16] = field(repr=False)
    masks: NDArray[np.uint8] = field(repr=False)
    is_real: NDArray[np.bool_] = field(repr=False)
    is_trailed: NDArray[np.bool_] = field(repr=False)
    kind: NDArray[np.str_] = field(repr=False)


def batches(
    samples: TrainingSet | _Pool, settings: FitSettings, *, rng: np.random.Generator
) -> Iterator[network.Batch]:
    """Yield `n_steps` augmented batches, half real and half bogus.

    Of each class the kinds are drawn by the square root of their numbers, so that rare ones are
    learnt too; within a kind every sample comes once a round.
    """
    size = samples.cutouts.shape[1]
    half = settings.batch_size // 2
    pools = [_drawn(samples, label, rng) for label in (True, False)]
    for _ in range(settings.n_steps):
        chosen = np.array([next(pools[k % 2]) for k in range(2 * half)])
        bits = np.unpackbits(samples.masks[chosen], axis=1, count=size * size)
        images, targets = augment(
            samples.cutouts[chosen].astype(np.float32),
            bits.reshape(len(chosen), size, size).astype(np.float32),
            rng=rng,
            settings=settings.augment,
        )
        yield network.Batch(
            images,
            samples.is_real[chosen].astype(np.float32),
            samples.is_trailed[chosen].astype(np.float32),
            targets,
            np.ones(len(chosen), np.float32),
        )


def _drawn(samples: TrainingSet | _Pool, label: bool, rng: np.random.Generator) -> Iterator[int]:
    rows = np.flatnonzero(samples.is_real == label)
    kinds, counts = np.unique(samples.kind[rows], return_counts=True)
    rounds = [_rounds(rows[samples.kind[rows] == kind], rng) for kind in kinds]
    share = np.sqrt(counts) / np.sqrt(counts).sum()
    while True:
        for k in rng.choice(len(kinds), size=64, p=share):
            yield next(rounds[k])


def _rounds(indices: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(indices)


def fit(
    samples: TrainingSet,
    *,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    workers: int = 1,
    report: Report | None = None,
) -> Fitted:
    """Return the ensemble trained on `samples`.

    workers: processes that fit members side by side. report: called with (step, loss), the steps
    counted over all members. One seed and one thread give the same weights.
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
    start = time.monotonic()
    if workers > 1 and settings.n_members > 1:
        fitted = _in_processes(samples, settings, network_settings, workers, report)
    else:
        pool = _Pool(*(getattr(samples, name) for name in _Pool.__dataclass_fields__))
        fitted = [
            _fit_member(k, pool, settings, network_settings, report)
            for k in range(settings.n_members)
        ]
    network.prepare(seed=settings.seed, threads=settings.threads)
    members = []
    for k, (weights, _) in enumerate(fitted):
        member = network.build(network_settings, has_mask=k == 0, name=f"member{k}")
        network.set_weights(member, weights)
        members.append(member)
    losses = np.mean([course for _, course in fitted], axis=0)
    tenths = np.array_split(losses, min(10, len(losses)))
    return Fitted(
        network.ensemble(members), settings.n_steps,
        tuple(float(part.mean()) for part in tenths), time.monotonic() - start,
    )  # fmt: skip


def _fit_member(
    index: int,
    pool: _Pool,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    report: Report | None,
) -> tuple[Weights, list[float]]:
    """Return the weights of member `index` (the mean over its last steps) and its losses."""
    network.prepare(seed=settings.seed + index, threads=settings.threads)
    model = network.build(network_settings, has_mask=index == 0, name=f"member{index}")
    trainer = network.Trainer(
        model,
        n_steps=settings.n_steps,
        learning_rate=settings.learning_rate,
        mask_weight=settings.mask_weight,
        trailed_weight=settings.trailed_weight,
    )
    rng = np.random.default_rng([settings.seed, index])
    losses: list[float] = []
    taken: list[Weights] = []
    every = max(1, settings.n_steps // 20)
    for step, loss in enumerate(trainer.train(batches(pool, settings, rng=rng)), start=1):
        losses.append(loss)
        if report is not None and step % every == 0:
            report(index * settings.n_steps + step, float(np.mean(losses[-every:])))
        if step > settings.n_steps - settings.average_last_steps and step % 20 == 0:
            taken.append(network.get_weights(model))
    if not taken:
        return network.get_weights(model), losses
    stacks = [np.stack(parts) for parts in zip(*taken, strict=True)]
    return [np.asarray(s.mean(axis=0, dtype=np.float64), np.float32) for s in stacks], losses


_reports: Any = None


def _set_reports(queue: Any) -> None:
    global _reports
    _reports = queue


def _fit_stored(
    index: int, folder: Path, settings: FitSettings, network_settings: network.NetworkSettings
) -> tuple[Weights, list[float]]:
    """Fit member `index` in a process of its own, on arrays that all read from `folder`."""
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _Pool.__dataclass_fields__
    }
    return _fit_member(
        index, _Pool(**arrays), settings, network_settings, lambda *a: _reports.put(a)
    )


def _in_processes(
    samples: TrainingSet,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    workers: int,
    report: Report | None,
) -> list[tuple[Weights, list[float]]]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        for part in _Pool.__dataclass_fields__:
            np.save(Path(name) / f"{part}.npy", getattr(samples, part))
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=_set_reports, initargs=(queue,)
        ) as pool:
            tasks = [
                pool.submit(_fit_stored, k, Path(name), settings, network_settings)
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
