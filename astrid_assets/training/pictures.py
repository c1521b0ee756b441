"""Contact sheets of training samples: what each kind looks like, and what a model judged worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from astrid_assets.imaging.figures import png_bytes
from astrid_assets.training.samples import TrainingSet

_GAP, _CAPTION, _DPI = 4, 13, 100
_LOW, _HIGH, _N_GREYS = -2.0, 5.0, 12


def sheet_png(
    cutouts: NDArray[np.floating], captions: Sequence[str], *, columns: int, title: str
) -> bytes:
    """Return a PNG of (n, s, s, 3) cutouts, science | reference | difference each, with captions.

    Grey levels run from -2 to 5 in asinh of the noise, the same for all, and are few: noise in full
    depth would not compress.
    """
    n, size = len(cutouts), cutouts.shape[1]
    rows = max(1, -(-n // columns))
    height, width = size + _CAPTION, 3 * size + _GAP
    canvas = np.full((rows * height, columns * width), np.nan, np.float32)
    for k in range(n):
        y, x = k // columns * height + _CAPTION, k % columns * width
        triple = np.concatenate([cutouts[k, :, :, c] for c in range(3)], axis=1)
        canvas[y : y + size, x : x + 3 * size] = triple
    step = (_HIGH - _LOW) / _N_GREYS
    canvas = _LOW + step * np.round((np.clip(canvas, _LOW, _HIGH) - _LOW) / step)
    shape = (canvas.shape[1] / _DPI, canvas.shape[0] / _DPI + 0.3)
    figure = Figure(figsize=shape)
    axes = figure.add_axes((0, 0, 1, 1 - 0.3 / shape[1]))
    axes.imshow(canvas, cmap="gray", vmin=_LOW, vmax=_HIGH, interpolation="nearest", aspect="auto")
    for k, caption in enumerate(captions):
        y, x = k // columns * height, k % columns * width
        axes.text(x + 1, y + _CAPTION - 3, caption, fontsize=6, va="baseline")
    axes.set_axis_off()
    figure.text(0.004, 1 - 0.22 / shape[1], title, fontsize=9)
    return png_bytes(figure, dpi=_DPI)


def worst_png(
    samples: TrainingSet,
    probability: NDArray[np.float64],
    *,
    is_real: bool,
    snr_min: float,
    n: int = 50,
) -> bytes:
    """Return the sheet of the n real ones (of S/N from snr_min) or bogus that were judged worst."""
    among = samples.is_real == is_real
    if is_real:
        among &= np.where(np.isfinite(samples.snr), samples.snr, 0) >= snr_min
    rows = np.flatnonzero(among)
    order = np.argsort(probability[rows] * (1 if is_real else -1), kind="stable")
    chosen = rows[order[:n]]
    captions = [
        f"{samples.kind[i]} {abs(samples.significance[i]):.1f}σ p={probability[i]:.3f} "
        f"{samples.rejection_rule[i]}"
        for i in chosen
    ]
    what = f"real sources of S/N ≥ {snr_min:g} judged least likely" if is_real else "bogus judged"
    title = f"The {len(chosen)} {what}{'' if is_real else ' most likely to be real'}"
    return sheet_png(samples.cutouts[chosen], captions, columns=5, title=title)


def kinds_png(samples: TrainingSet, *, n: int = 5) -> bytes:
    """Return the sheet of n examples of every kind, evenly chosen from the whole set."""
    chosen: list[int] = []
    for kind in np.unique(samples.kind):
        rows = np.flatnonzero(samples.kind == kind)
        picked = rows[np.linspace(0, len(rows) - 1, n).astype(int)]
        chosen += picked.tolist()
    captions = [f"{samples.kind[i]} {samples.significance[i]:+.1f}σ" for i in chosen]
    title = f"{len(samples)} samples of {len(np.unique(samples.kind))} kinds"
    return sheet_png(samples.cutouts[chosen], captions, columns=n, title=title)
