"""Pictures that several stages share: previews with candidates circled, stamps, and the stretches.

Matplotlib's Figure with the Agg canvas only (no pyplot, no global state); every function returns
PNG bytes that depend on its arguments alone. Pictures of the catalog: `catalog/figures.py`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

Array = NDArray[Any]

SCORE_LIMIT_SIGMA = 8.0
DIFFERENCE_LIMIT_SIGMA = 6.0
SCORE_COLOURS = "RdBu_r"
CIRCLE_STYLES: dict[str, tuple[str, str]] = {
    "accepted": ("#12b886", "solid"),
    "rejected": ("#f08c00", (0, (3, 2))),  # type: ignore[dict-item]
    "expected": ("#4dabf7", (0, (1, 1))),  # type: ignore[dict-item]
}
_BACKGROUND = "#16181d"
_INK = "#e9ecef"
_NOT_MEASURED = "#5c4b66"
_SHARPNESS = 0.08
_SOURCE_SIGMA = 5.0
_EXTREMES = (np.fmax, np.fmin)


@dataclass(frozen=True)
class Circle:
    """A mark on a preview: 0-based pixel position, what it is (a key of CIRCLE_STYLES), a label."""

    x: float
    y: float
    kind: str = "accepted"
    label: str = ""

    def __post_init__(self) -> None:
        if self.kind not in CIRCLE_STYLES:
            raise ValueError(f"a circle is one of {sorted(CIRCLE_STYLES)}, got {self.kind!r}")


def robust_sigma(data: Array) -> tuple[float, float]:
    """Return (median, 1.4826 MAD) of the finite values, or (0, 1) where there is no scatter."""
    finite = data[np.isfinite(data)]
    if finite.size == 0:
        return 0.0, 1.0
    centre = float(np.median(finite))
    sigma = 1.4826 * float(np.median(np.abs(finite - centre)))
    return centre, sigma if sigma > 0 else 1.0


def thinned(data: Array) -> Array:
    """Return about 250,000 regularly spaced pixels of `data` [y, x], enough for its statistics."""
    step = max(1, round((data.size / 250_000) ** 0.5))
    return data[::step, ::step]


def panel(data: Array, kind: str, *, sample: Array | None = None) -> tuple[Array, str]:
    """Return ([0, 1] picture, colour map) of an image of one kind; NaN stays NaN.

    kind: "science" and "reference" (asinh from 2 sigma below the sky to the 99.7th percentile),
    "difference" (grey around its median, +-6 sigma) or "score" (diverging, +-8 sigma: blue
    negative, white zero, red positive). sample: pixels to take the statistics from (`data`).
    """
    sample = thinned(data) if sample is None else sample
    if kind == "score":
        return np.clip(data / (2 * SCORE_LIMIT_SIGMA) + 0.5, 0, 1), SCORE_COLOURS
    centre, sigma = robust_sigma(sample)
    if kind == "difference":
        return np.clip((data - centre) / (2 * DIFFERENCE_LIMIT_SIGMA * sigma) + 0.5, 0, 1), "gray"
    if kind not in ("science", "reference"):
        raise ValueError(f"an image is science, reference, difference or score, got {kind!r}")
    finite = sample[np.isfinite(sample)]
    low = centre - 2 * sigma
    high = max(float(np.percentile(finite, 99.7)) if finite.size else 1.0, centre + 6 * sigma)
    scaled = np.clip((data - low) / (high - low), 0, 1)
    return np.arcsinh(scaled / _SHARPNESS) / np.arcsinh(1 / _SHARPNESS), "gray"


def shrunk(data: Array, *, max_size_pix: int) -> tuple[Array, int]:
    """Return `data` [y, x] reduced by a whole factor to at most `max_size_pix`, and the factor.

    Each block gives its mean, or its value farthest from the median where that stands out by 5
    sigma, so that no source is lost; a block without any finite value is NaN.
    """
    factor = -(-max(data.shape) // max_size_pix)
    if factor <= 1:
        return data, 1
    ny, nx = (-(-size // factor) * factor for size in data.shape)
    padded = np.full((ny, nx), np.nan, np.float32)
    padded[: data.shape[0], : data.shape[1]] = data
    blocks = padded.reshape(ny // factor, factor, nx // factor, factor)
    high, low = (extreme.reduce(extreme.reduce(blocks, axis=3), axis=1) for extreme in _EXTREMES)
    centre, sigma = robust_sigma(thinned(data))
    extreme = np.where(high - centre >= centre - low, high, low)
    n_finite = np.isfinite(blocks).sum(axis=(1, 3))
    mean = np.nansum(blocks, axis=(1, 3)) / np.maximum(n_finite, 1)
    is_source = ~(np.abs(extreme - centre) <= _SOURCE_SIGMA * sigma)
    return np.where(is_source, extreme, mean), factor


def png_bytes(figure: Figure, *, dpi: float, transparent: bool = False) -> bytes:
    """Return `figure` as PNG bytes without any date or version inside."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(
        stream,
        format="png",
        dpi=dpi,
        metadata={"Software": None},
        transparent=transparent,
        facecolor="none" if transparent else figure.get_facecolor(),
    )
    return stream.getvalue()


def preview_png(
    science: Array,
    reference: Array | None,
    difference: Array | None,
    score: Array | None,
    *,
    circles: Sequence[Circle] = (),
    title: str = "",
    unusable: NDArray[np.bool_] | None = None,
    max_size_pix: int = 512,
) -> bytes:
    """Return one PNG with the panels science | reference | difference | score, sources circled.

    science, reference, difference: [y, x] on the science grid, counts; None: "none yet" is said.
    score: score_corrected in sigmas. unusable: True where a pixel carries no value of the sky.
    circles: drawn on every panel, labels on the first; solid accepted, dashed rejected.
    """
    images = {
        "science": science,
        "reference": reference,
        "difference": difference,
        "score": score,
    }
    ny, nx = science.shape
    width = 3.2
    height = width * ny / nx + 0.32 + (0.3 if title else 0)
    figure = Figure(figsize=(4 * width, height), facecolor=_BACKGROUND, layout=_layout())
    for index, (kind, data) in enumerate(images.items()):
        axes = figure.add_subplot(1, 4, index + 1)
        axes.set_title(_caption(kind), color=_INK, fontsize=10, pad=4)
        _bare(axes, (ny, nx))
        if data is None:
            axes.text(0.5, 0.5, "none yet", color=_INK, ha="center", transform=axes.transAxes)
            continue
        _show(axes, _hidden(data, unusable), kind, max_size_pix=max_size_pix)
        for circle in circles:
            _draw_circle(axes, circle, radius=max(ny, nx) * 0.03, is_labelled=index == 0)
    if title:
        figure.suptitle(title, color=_INK, fontsize=11)
    return png_bytes(figure, dpi=86)


def stamp_png(
    data: Array, kind: str, *, mark: tuple[float, float] | None = None, size_px: int = 189
) -> bytes:
    """Return one image of a kind (see `panel`) as a PNG of `size_px`, without frame or text.

    mark: 0-based pixel position at which two strokes point, clear of the source itself.
    """
    figure = Figure(figsize=(1, 1), facecolor=_BACKGROUND)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _bare(axes, data.shape)
    _show(axes, np.asarray(data), kind, max_size_pix=4 * size_px)
    if mark is not None:
        x, y = mark
        near, far = 0.1 * data.shape[1], 0.2 * data.shape[1]
        for (x0, x1), (y0, y1) in (((x - far, x - near), (y, y)), ((x, x), (y - far, y - near))):
            axes.plot((x0, x1), (y0, y1), color="black", linewidth=2.0 * 72 / size_px * 1.6)
            axes.plot((x0, x1), (y0, y1), color="#ffd43b", linewidth=2.0 * 72 / size_px)
    return png_bytes(figure, dpi=size_px)


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.01)


def _caption(kind: str) -> str:
    return {"difference": "difference", "score": f"score (±{SCORE_LIMIT_SIGMA:g} sigma)"}.get(
        kind, kind
    )


def _hidden(data: Array, unusable: NDArray[np.bool_] | None) -> Array:
    return data if unusable is None else np.where(unusable, np.float32(np.nan), data)


def _bare(axes: Axes, shape: tuple[int, ...]) -> None:
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(-0.5, shape[0] - 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(_NOT_MEASURED)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _show(axes: Axes, data: Array, kind: str, *, max_size_pix: int) -> None:
    small, factor = shrunk(data, max_size_pix=max_size_pix)
    picture, colours = panel(small, kind, sample=thinned(data))
    extent = (-0.5, small.shape[1] * factor - 0.5, -0.5, small.shape[0] * factor - 0.5)
    axes.imshow(
        np.ma.masked_invalid(picture),
        cmap=colours,
        vmin=0,
        vmax=1,
        origin="lower",
        extent=extent,
        interpolation="nearest",
        aspect="auto" if axes.get_position().height == 1 else "equal",
    )
    axes.set_xlim(-0.5, data.shape[1] - 0.5)
    axes.set_ylim(-0.5, data.shape[0] - 0.5)


def _draw_circle(axes: Axes, circle: Circle, *, radius: float, is_labelled: bool) -> None:
    colour, line = CIRCLE_STYLES[circle.kind]
    axes.add_patch(
        Ellipse(
            (circle.x, circle.y),
            2 * radius,
            2 * radius,
            fill=False,
            edgecolor=colour,
            linewidth=1.4 if circle.kind == "accepted" else 1.0,
            linestyle=line,
        )
    )
    if is_labelled and circle.label:
        axes.annotate(
            circle.label,
            (circle.x, circle.y + 1.15 * radius),
            color=colour,
            fontsize=7,
            ha="center",
            va="bottom",
            annotation_clip=True,
        )
