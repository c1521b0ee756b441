"""Fitting the network: balanced, augmented batches and the schedule; TensorFlow is in `network`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training import network
from astrid_assets.training.samples import TrainingSet
from astrid_resources.images import KnownFailure

_NOISE_GAIN = 0.2


class TooFewSamplesError(KnownFailure):
    """A training set without enough samples of each class."""


@dataclass(frozen=True)
class FitSettings:
    """What the weights depend on, beside the training set."""

    n_steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 3e-3
    mask_weight: float = 1.0
    trailed_weight: float = 0.2
    shift_max_pix: int = 1
    edge_share: float = 0.05
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


def augment(
    cutouts: NDArray[np.float32],
    masks: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    shift_max_pix: int,
    edge_share: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cutouts (n, s, s, 3) and masks (n, s, s) turned, shifted, rescaled, with lost edges.

    Dihedral flips; shifts of whole cutout pixels (unknown comes in as 0); amplitudes in units of
    noise changed by 20 %; a share of the samples loses a border, as at the edge of a detector.
    """
    both = np.concatenate([cutouts, masks[..., None]], axis=3)
    size = both.shape[1]
    out = np.empty_like(both)
    turns = rng.integers(8, size=len(both))
    shifts = rng.integers(-shift_max_pix, shift_max_pix + 1, size=(len(both), 2))
    gains = np.exp(rng.normal(0, _NOISE_GAIN / 2, size=len(both)))
    for i, turn in enumerate(turns):
        stamp = np.rot90(both[i], turn % 4)
        stamp = stamp[:, ::-1] if turn >= 4 else stamp
        moved = np.zeros_like(stamp)
        dy, dx = shifts[i]
        to_y, from_y = slice(max(dy, 0), size + min(dy, 0)), slice(max(-dy, 0), size - max(dy, 0))
        to_x, from_x = slice(max(dx, 0), size + min(dx, 0)), slice(max(-dx, 0), size - max(dx, 0))
        moved[to_y, to_x] = stamp[from_y, from_x]
        if rng.random() < edge_share:
            lost = int(rng.integers(1, size // 2 - 4))
            moved[:lost] = 0
        out[i] = moved
    images = np.arcsinh(np.sinh(out[..., :3]) * gains[:, None, None, None])
    return images.astype(np.float32), np.ascontiguousarray(out[..., 3], dtype=np.float32)


def batches(
    samples: TrainingSet, settings: FitSettings, *, rng: np.random.Generator
) -> Iterator[network.Batch]:
    """Yield `n_steps` augmented batches, half real and half bogus, each class drawn in rounds."""
    masks = samples.masks
    size = samples.cutouts.shape[1]
    half = settings.batch_size // 2
    pools = [_rounds(np.flatnonzero(samples.is_real == label), rng) for label in (True, False)]
    for _ in range(settings.n_steps):
        chosen = np.array([next(pools[k % 2]) for k in range(2 * half)])
        bits = np.unpackbits(masks[chosen], axis=1, count=size * size)
        images, targets = augment(
            samples.cutouts[chosen].astype(np.float32),
            bits.reshape(len(chosen), size, size).astype(np.float32),
            rng=rng,
            shift_max_pix=settings.shift_max_pix,
            edge_share=settings.edge_share,
        )
        yield network.Batch(
            images,
            samples.is_real[chosen].astype(np.float32),
            samples.is_trailed[chosen].astype(np.float32),
            targets,
            np.ones(len(chosen), np.float32),
        )


def _rounds(indices: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(indices)


def fit(
    samples: TrainingSet,
    *,
    settings: FitSettings,
    network_settings: network.NetworkSettings,
    report: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Return the network trained on `samples`; the weights are the mean over the last steps.

    report: called about 50 times with (step, loss). One seed and one thread give the same weights.
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
    network.prepare(seed=settings.seed, threads=settings.threads)
    model = network.build(network_settings)
    trainer = network.Trainer(
        model,
        n_steps=settings.n_steps,
        learning_rate=settings.learning_rate,
        mask_weight=settings.mask_weight,
        trailed_weight=settings.trailed_weight,
    )
    rng = np.random.default_rng(settings.seed)
    losses: list[float] = []
    total: list[NDArray[np.float64]] = []
    n_averaged = 0
    every = max(1, settings.n_steps // 50)
    for step, loss in enumerate(trainer.train(batches(samples, settings, rng=rng)), start=1):
        losses.append(loss)
        if report is not None and step % every == 0:
            report(step, float(np.mean(losses[-every:])))
        if step > settings.n_steps - settings.average_last_steps and step % 20 == 0:
            weights = network.get_weights(model)
            total = [a + w for a, w in zip(total, weights, strict=True)] if total else [
                w.astype(np.float64) for w in weights
            ]  # fmt: skip
            n_averaged += 1
    if n_averaged:
        network.set_weights(model, [(a / n_averaged).astype(np.float32) for a in total])
    tenths = np.array_split(np.array(losses), min(10, len(losses)))
    return Fitted(
        model, settings.n_steps, tuple(float(part.mean()) for part in tenths),
        time.monotonic() - start,
    )  # fmt: skip
