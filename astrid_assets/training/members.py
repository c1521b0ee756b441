"""One member of the ensemble: balanced, augmented batches, the steps, and its stored form."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training import network
from astrid_assets.training.augment import AugmentSettings, augment
from astrid_assets.training.samples import TrainingSet

Report = Callable[[int, float], None]
Weights = list[NDArray[np.float32]]


@dataclass(frozen=True)
class FitSettings:
    """What the weights depend on, beside the training set.

    n_steps: of each of the n_members; average_last_steps: the weights are the mean over these.
    threads: of TensorFlow per member; more than 1 need not repeat to the last bit.
    """

    n_members: int = 3
    n_steps: int = 2500
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
class Pool:
    """What a member is fitted on: the arrays that batches are drawn from."""

    cutouts: NDArray[np.float16] = field(repr=False)
    masks: NDArray[np.uint8] = field(repr=False)
    is_real: NDArray[np.bool_] = field(repr=False)
    is_trailed: NDArray[np.bool_] = field(repr=False)
    kind: NDArray[np.str_] = field(repr=False)


@dataclass(frozen=True)
class Member:
    """The weights of a fitted member (the mean over its last steps), its losses, its CPU time."""

    weights: Weights = field(repr=False)
    losses: list[float] = field(repr=False)
    cpu_seconds: float


def batches(
    samples: TrainingSet | Pool, settings: FitSettings, *, rng: np.random.Generator
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


def _drawn(samples: TrainingSet | Pool, label: bool, rng: np.random.Generator) -> Iterator[int]:
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


def fit_member(
    index: int,
    pool: Pool,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    report: Report | None,
) -> Member:
    """Return the fitted member `index`."""
    start = time.process_time()
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
    weights = network.get_weights(model)
    if taken:
        stacks = [np.stack(parts) for parts in zip(*taken, strict=True)]
        weights = [np.asarray(s.mean(axis=0, dtype=np.float64), np.float32) for s in stacks]
    return Member(weights, losses, time.process_time() - start)


def stored_member(
    index: int,
    pool: Pool,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    report: Report | None,
    store: Path | None,
) -> Member:
    """Return member `index`, read from `store` where the same one stands there, else made and kept.

    The same: of one index, from equal settings and from equal arrays.
    """
    if store is None:
        return fit_member(index, pool, settings, network_settings, report)
    made_with = {**asdict(settings), "network": asdict(network_settings)}
    del made_with["n_members"]
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode())
    for name in Pool.__dataclass_fields__:
        digest.update(np.ascontiguousarray(getattr(pool, name)).tobytes())
    path = store / f"member-{index}-{digest.hexdigest()[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            weights = [arrays[name] for name in sorted(arrays.files) if name.startswith("weights")]
            return Member(weights, arrays["losses"].tolist(), float(arrays["cpu_seconds"]))
    member = fit_member(index, pool, settings, network_settings, report)
    partial = path.with_name(f"{path.stem}.partial.npz")
    named: dict[str, Any] = {f"weights{i:03d}": w for i, w in enumerate(member.weights)}
    np.savez(partial, losses=member.losses, cpu_seconds=member.cpu_seconds, **named)
    partial.replace(path)
    return member
