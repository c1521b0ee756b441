"""The training set as arrays: its form on disk, its content hash, its split by night and field.

How samples are made stands in `dataset.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = ("train", "calibration", "test")


@dataclass(frozen=True)
class TrainingSet:
    """n candidates with their truth; every array has length n.

    cutouts: float16 (n, s, s, 3), normalised; masks: uint8 (n, ceil(s*s/8)), packed bits of the
    pixels within the true sources. is_real: an injected source; is_trailed: an injected trail.
    snr: true S/N (NaN of bogus); significance: as the pipeline measured it, in sigmas.
    sky_field, night: indices, the split's units; x, y: pixels; fwhm_pix: FWHM of the difference.
    kind: what it truly is, see REAL_KINDS and BOGUS_KINDS of `labels`. source: number of the
    source within its field (its views share it), -1 of bogus; on_host: a galaxy lies under it;
    host_sigma: the reference there, in its own noise; on_star: a star that changed its flux;
    features: (n, k) what the pipeline measured, named by FEATURES of `features`, NaN: unknown;
    is_negative: found as a negative difference;
    rejection_rule: the pipeline's own verdict before the model ("" where none);
    view: 0 where nothing was made wrong on purpose, 1 and up for degraded subtractions of a field.
    """

    cutouts: NDArray[np.float16] = field(repr=False)
    masks: NDArray[np.uint8] = field(repr=False)
    is_real: NDArray[np.bool_] = field(repr=False)
    is_trailed: NDArray[np.bool_] = field(repr=False)
    is_negative: NDArray[np.bool_] = field(repr=False)
    on_host: NDArray[np.bool_] = field(repr=False)
    on_star: NDArray[np.bool_] = field(repr=False)
    snr: NDArray[np.float32] = field(repr=False)
    significance: NDArray[np.float32] = field(repr=False)
    fwhm_pix: NDArray[np.float32] = field(repr=False)
    x: NDArray[np.float32] = field(repr=False)
    y: NDArray[np.float32] = field(repr=False)
    sky_field: NDArray[np.int64] = field(repr=False)
    night: NDArray[np.int64] = field(repr=False)
    view: NDArray[np.int64] = field(repr=False)
    rejection_rule: NDArray[np.str_] = field(repr=False)
    kind: NDArray[np.str_] = field(repr=False)
    source: NDArray[np.int64] = field(repr=False)
    host_sigma: NDArray[np.float32] = field(repr=False)
    features: NDArray[np.float32] = field(repr=False)

    def __post_init__(self) -> None:
        n = len(self.cutouts)
        for item in fields(self):
            if len(getattr(self, item.name)) != n:
                raise ValueError(f"{item.name} must have length {n}, as the cutouts")

    def __len__(self) -> int:
        return len(self.cutouts)

    def select(self, keep: NDArray[Any]) -> TrainingSet:
        """Return the samples of a boolean mask or of indices."""
        return replace(self, **{item.name: getattr(self, item.name)[keep] for item in fields(self)})

    def unpacked_masks(self) -> NDArray[np.uint8]:
        """Return the masks as (n, s, s) of 0 and 1."""
        size = self.cutouts.shape[1]
        bits = np.unpackbits(self.masks, axis=1, count=size * size)
        return bits.reshape(len(self), size, size)

    @property
    def sha256(self) -> str:
        """The content hash: the version of this set."""
        digest = hashlib.sha256()
        for item in fields(self):
            array = getattr(self, item.name)
            array = array.astype("U40") if array.dtype.kind == "U" else array
            digest.update(f"{item.name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def pack_masks(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return (n, s, s) boolean masks as packed bits."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def concatenate(parts: list[TrainingSet]) -> TrainingSet:
    """Return one set of several, in their order. Raises ValueError where there is none."""
    if not parts:
        raise ValueError("a training set needs at least one part, got none")
    return TrainingSet(
        **{
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in fields(TrainingSet)
        }
    )


def save_samples(samples: TrainingSet | None, path: Path, *, record: Mapping[str, Any]) -> None:
    """Write samples (or none) as one uncompressed `.npz` of plain arrays, whole or not at all.

    record: plain JSON that says how they were made; it is kept beside the arrays. No pickle.
    """
    arrays: dict[str, Any] = {}
    if samples is not None:
        arrays = {item.name: getattr(samples, item.name) for item in fields(samples)}
    partial = path.with_name(f"{path.stem}.partial.npz")
    np.savez(partial, record=np.array(json.dumps(record, sort_keys=True)), **arrays)
    partial.replace(path)


def load_samples(path: Path) -> tuple[TrainingSet | None, dict[str, Any]]:
    """Return what `save_samples` wrote: samples (None where there were none) and the record."""
    with np.load(path, allow_pickle=False) as arrays:
        record = json.loads(str(arrays["record"]))
        if len(arrays.files) == 1:
            return None, record
        return TrainingSet(**{item.name: arrays[item.name] for item in fields(TrainingSet)}), record


def save_training_set(samples: TrainingSet, path: Path, *, record: Mapping[str, Any]) -> None:
    """Write a whole training set; see `save_samples`."""
    save_samples(samples, path, record=record)


def load_training_set(path: Path) -> tuple[TrainingSet, dict[str, Any]]:
    """Return the training set of a file and its record. Raises ValueError where it holds none."""
    samples, record = load_samples(path)
    if samples is None:
        raise ValueError(f"{path} holds a record but no samples")
    return samples, record


def fold_of_night(night: int) -> str:
    """Return the fold of a night (and so of all its fields): of every ten 4, 3 and 3."""
    last = night % 10
    return "test" if last in (2, 5, 8) else "calibration" if last in (4, 7, 9) else "train"


def fold(samples: TrainingSet, name: str) -> TrainingSet:
    """Return the samples of one fold. Raises ValueError on a name that is no fold."""
    if name not in FOLDS:
        raise ValueError(f"a fold is one of {FOLDS}, got {name!r}")
    return samples.select(np.array([fold_of_night(int(n)) == name for n in samples.night], bool))
