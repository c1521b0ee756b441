"""The U-Net and everything that needs TensorFlow or Keras, imported inside functions only.

Its parts are stock Keras layers (no Lambda, no custom class), so that the saved file holds no code.
What is trained on and how long stands in `fit.py`; the ONNX file is made in `export.py`.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ONNX_OUTPUTS = ("logits", "members", "mask")


@dataclass(frozen=True)
class NetworkSettings:
    """The architecture: channels of each level of the U-Net and the width of the score head."""

    size_pix: int = 63
    channels: tuple[int, ...] = (8, 16, 32, 48)
    head_channels: int = 48
    dense: int = 32
    dropout: float = 0.2


@dataclass(frozen=True)
class Batch:
    """One training batch: cutouts (n, s, s, 3), is_real and is_trailed (n,), masks (n, s, s)."""

    cutouts: NDArray[np.float32]
    is_real: NDArray[np.float32]
    is_trailed: NDArray[np.float32]
    masks: NDArray[np.float32]
    weight: NDArray[np.float32]


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    return tensorflow


def prepare(*, seed: int, threads: int) -> None:
    """Seed every generator of TensorFlow, ask for repeatable kernels, limit its threads.

    The thread counts can be set only before TensorFlow's first operation of the process.
    """
    tensorflow = _tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
    if tensorflow.config.threading.get_intra_op_parallelism_threads() != threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)


def build(settings: NetworkSettings, *, has_mask: bool = True, name: str = "unet") -> Any:
    """Return an untrained Keras model: cutouts -> real (n, 1), trailed (n, 1), mask (n, s, s, 1).

    A U-Net (Ronneberger et al. 2015) with a mask head at full resolution and a score head that
    sees the deepest level by position, since a candidate always stands on the central pixel.
    has_mask: False leaves the way up to the mask out. The first two are logits.
    """
    _tensorflow()
    import keras
    from keras import layers

    def block(x: Any, channels: int, name: str) -> Any:
        for part in ("a", "b"):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}{part}")(x)
            x = layers.BatchNormalization(name=f"{name}{part}_norm")(x)
            x = layers.ReLU(name=f"{name}{part}_relu")(x)
        return x

    size = settings.size_pix
    pad = -size % 2 ** (len(settings.channels) - 1)
    cutouts = keras.Input((size, size, 3), name="cutouts")
    x = layers.ZeroPadding2D(((0, pad), (0, pad)), name="pad")(cutouts)
    skips = []
    for level, channels in enumerate(settings.channels):
        if level:
            skips.append(x)
            x = layers.MaxPooling2D(2, name=f"down{level}")(x)
        x = block(x, channels, f"encode{level}")
    h = layers.Conv2D(
        settings.head_channels, 3, strides=2, padding="same", use_bias=False, name="head"
    )(x)
    h = layers.BatchNormalization(name="head_norm")(h)
    h = layers.ReLU(name="head_relu")(h)
    h = layers.Flatten(name="flat")(h)
    h = layers.Dropout(settings.dropout, name="drop")(h)
    h = layers.Dense(settings.dense, activation="relu", name="dense")(h)
    outputs = {head: layers.Dense(1, name=head)(h) for head in ("real", "trailed")}
    if has_mask:
        for level in reversed(range(len(settings.channels) - 1)):
            x = layers.UpSampling2D(2, interpolation="nearest", name=f"up{level}")(x)
            x = layers.Concatenate(name=f"join{level}")([x, skips[level]])
            x = block(x, settings.channels[level], f"decode{level}")
        mask = layers.Conv2D(1, 1, activation="sigmoid", name="mask_pixels")(x)
        outputs["mask"] = layers.Cropping2D(((0, pad), (0, pad)), name="mask")(mask)
    return keras.Model(cutouts, outputs, name=name)


def ensemble(members: list[Any]) -> Any:
    """Return one Keras model of several: mean logits (n, 2), each one's (n, m), the first's mask.

    Outputs: `logits` (real, trailed), `members` (real of each), `mask`.
    """
    import keras
    from keras import layers

    cutouts = keras.Input(members[0].input_shape[1:], name="cutouts")
    outs = [member(cutouts) for member in members]

    def mean(head: str) -> Any:
        values = [out[head] for out in outs]
        return values[0] if len(values) == 1 else layers.Average(name=f"mean_{head}")(values)

    real = [out["real"] for out in outs]
    spread = real[0] if len(real) == 1 else layers.Concatenate(name="members")(real)
    logits = layers.Concatenate(name="logits")([mean("real"), mean("trailed")])
    outputs = {"logits": logits, "members": spread, "mask": outs[0]["mask"]}
    return keras.Model(cutouts, outputs, name="ensemble")


class Trainer:
    """Adam steps on batches, by the loss of `Trainer.step`; holds the model and its optimizer."""

    def __init__(
        self,
        model: Any,
        *,
        n_steps: int,
        learning_rate: float,
        mask_weight: float,
        trailed_weight: float,
    ) -> None:
        tensorflow = _tensorflow()
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(
            0.1 * learning_rate, n_steps, alpha=0.01, warmup_target=learning_rate,
            warmup_steps=max(1, n_steps // 20),
        )  # fmt: skip
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
        optimizer.build(model.trainable_variables)
        self.model = model
        cross_entropy = tensorflow.nn.sigmoid_cross_entropy_with_logits
        log = tensorflow.math.log

        def step(cutouts: Any, is_real: Any, is_trailed: Any, masks: Any, weight: Any) -> Any:
            with tensorflow.GradientTape() as tape:
                out = model(cutouts, training=True)
                real = cross_entropy(labels=is_real, logits=out["real"][:, 0])
                trailed = is_real * cross_entropy(labels=is_trailed, logits=out["trailed"][:, 0])
                loss = real + trailed_weight * trailed
                if "mask" in out:
                    p = tensorflow.clip_by_value(out["mask"][..., 0], 1e-6, 1 - 1e-6)
                    mask = -(masks * log(p) + (1 - masks) * log(1 - p))
                    loss += mask_weight * tensorflow.reduce_mean(mask, axis=(1, 2))
                loss = tensorflow.reduce_sum(loss * weight) / tensorflow.reduce_sum(weight)
            gradients = tape.gradient(loss, model.trainable_variables)
            gradients, _ = tensorflow.clip_by_global_norm(gradients, 5.0)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return loss

        self._step = tensorflow.function(step, reduce_retracing=True)

    def train(self, batches: Iterator[Batch]) -> Iterator[float]:
        """Take one step per batch and yield its loss."""
        for batch in batches:
            loss = self._step(
                batch.cutouts, batch.is_real, batch.is_trailed, batch.masks, batch.weight
            )
            yield float(loss)


def predict(
    model: Any, cutouts: NDArray[np.floating], *, batch: int = 256
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits (n, 2) and mask probabilities (n, s, s) of the Keras model."""
    logits, masks = [np.zeros((0, 2), np.float32)], [np.zeros((0, *cutouts.shape[1:3]), np.float32)]
    for start in range(0, len(cutouts), batch):
        part = cutouts[start : start + batch].astype(np.float32, copy=False)
        out = model(part, training=False)
        logits.append(np.asarray(out["logits"]))
        masks.append(np.asarray(out["mask"])[..., 0])
    return np.concatenate(logits), np.concatenate(masks)


def count_parameters(model: Any) -> int:
    """Return the number of weights."""
    return int(model.count_params())


def get_weights(model: Any) -> list[NDArray[np.float32]]:
    """Return copies of the model's weights, in Keras order."""
    return [np.array(weight) for weight in model.get_weights()]


def set_weights(model: Any, weights: list[NDArray[np.float32]]) -> None:
    """Set the model's weights, in Keras order."""
    model.set_weights(weights)


def weights_sha256(model: Any) -> str:
    """Return the hash of shapes and values of all weights: what a rebuild must reproduce."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        array = np.ascontiguousarray(weight, "<f4")
        digest.update(str(array.shape).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def _without_copy_note() -> Iterator[None]:
    """Silence NumPy's note that TensorFlow 2.21 variables take no `copy` keyword."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation doesn't accept a copy keyword", DeprecationWarning
        )
        yield


def save(model: Any, path: Path) -> None:
    """Write the `.keras` file, without an optimizer."""
    with _without_copy_note():
        model.save(path, include_optimizer=False)


def load(path: Path) -> Any:
    """Return the model of a `.keras` file; code inside the file is refused (safe mode)."""
    _tensorflow()
    import keras

    with _without_copy_note():
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def to_onnx(model: Any, *, opset: int = 17) -> bytes:
    """Return the model as ONNX bytes: input `cutouts`, outputs `logits`, `members` and `mask`."""
    tensorflow = _tensorflow()
    import tf2onnx

    size = model.input_shape[1]
    signature = [tensorflow.TensorSpec((None, size, size, 3), tensorflow.float32, name="cutouts")]

    @tensorflow.function(input_signature=signature)
    def inference(cutouts: Any) -> Any:
        out = model(cutouts, training=False)
        return {name: tensorflow.identity(out[name], name=name) for name in ONNX_OUTPUTS}

    proto, _ = tf2onnx.convert.from_function(inference, input_signature=signature, opset=opset)
    names = {output.name for output in proto.graph.output}
    if names != set(ONNX_OUTPUTS):
        raise RuntimeError(f"the ONNX outputs are named {sorted(names)}, not {ONNX_OUTPUTS}")
    return bytes(proto.SerializeToString())
