"""Draw the README's pictures from the project itself: the asset graph and the found transient.

Usage: python tools/pictures.py docs/   (after `make demo`, with the same ASTRID_HOME)
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch

COLOURS = {
    "exposures": "#d0ebff",
    "calibration": "#d3f9d8",
    "reference": "#fff3bf",
    "difference": "#ffe8cc",
    "candidates": "#ffdeeb",
    "detections": "#e5dbff",
    "catalog": "#c5f6fa",
    "training": "#e9ecef",
}
WIDTH, HEIGHT, STEP_X, STEP_Y = 1.9, 0.52, 2.45, 0.9
PLACES = {
    "ingested_files": (0, 2),
    "raw_exposures": (1, 2),
    "calibrated_exposures": (2, 2),
    "reference_images": (2, 3.2),
    "current_reference": (3, 3.2),
    "difference_images": (3, 2),
    "candidates": (4, 2),
    "null_pairs": (3, 1.0),
    "detections": (5, 2),
    "injection_recovery": (5, 0.9),
    "transients": (6, 2),
    "champion_model": (4, 0.3),
    "training_set": (0, 0.3),
    "unet_model": (1, 0.3),
    "model_evaluation": (2, 0.3),
    "model_promotion": (3, 0.1),
}
EXTERNAL = {"current_reference", "champion_model"}


def draw_graph(path: Path) -> None:
    """Draw the assets of the definitions with their dependencies, coloured by group."""
    from astrid_assets.definitions import defs

    nodes = list(defs.resolve_asset_graph().asset_nodes)
    missing = {node.key.to_user_string() for node in nodes} ^ set(PLACES)
    if missing:
        raise SystemExit(f"give these assets a place in tools/pictures.py: {sorted(missing)}")
    figure = Figure(figsize=(13.2, 4.1), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-0.1, 6 * STEP_X + WIDTH + 0.1)
    axes.set_ylim(-0.1, 3.2 * STEP_Y + HEIGHT + 0.35)
    for node in nodes:
        name = node.key.to_user_string()
        x, y = _place(name)
        for parent in node.parent_keys:
            px, py = _place(parent.to_user_string())
            start = (px + WIDTH, py + HEIGHT / 2)
            end = (x, y + HEIGHT / 2)
            if px >= x:
                is_above = py > y
                start = (px + WIDTH / 2, py if is_above else py + HEIGHT)
                end = (x + WIDTH / 2, y + HEIGHT if is_above else y)
            _arrow(axes, start, end, style="solid")
        style = "dashed" if name in EXTERNAL else "solid"
        axes.add_patch(
            FancyBboxPatch(
                (x, y),
                WIDTH,
                HEIGHT,
                boxstyle="round,pad=0.02,rounding_size=0.08",
                facecolor=COLOURS[node.group_name],
                edgecolor="#495057",
                linestyle=style,
                linewidth=1.0,
                zorder=2,
            )
        )
        axes.text(
            x + WIDTH / 2, y + HEIGHT / 2, name, ha="center", va="center", fontsize=9.5, zorder=3
        )
    (rx, ry), (cx, cy) = _place("reference_images"), _place("current_reference")
    _arrow(axes, (rx + WIDTH, ry + HEIGHT / 2), (cx, cy + HEIGHT / 2), style="dotted")
    axes.text(
        0,
        3.2 * STEP_Y + HEIGHT + 0.1,
        "dashed: external, its data version is reported; dotted: promotion",
        fontsize=9,
        color="#495057",
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, style: str) -> None:
    look = {"arrowstyle": "-|>", "color": "#868e96", "lw": 1.1, "linestyle": style}
    axes.annotate("", end, start, arrowprops=look, zorder=1)


def draw_transient(path: Path) -> None:
    """Put the first confirmed transient's stamps and light curve side by side."""
    from astrid_assets.catalog.report import STAMPS
    from astrid_assets.catalog.report_content import collect_report
    from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource

    report = collect_report(DatabaseResource().database, ObjectStoreResource().store)
    section = next(item for item in report.transients if item.is_confirmed)
    epoch = next(item for item in section.epochs if len(item.stamps) == len(STAMPS))
    figure = Figure(figsize=(11, 2.5), facecolor="white", layout="constrained")
    grid = figure.add_gridspec(1, 6)
    for index, kind in enumerate(STAMPS):
        axes = figure.add_subplot(grid[0, index])
        axes.imshow(imread(io.BytesIO(epoch.stamps[kind])))
        axes.set_title(kind, fontsize=9)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[0, 4:])
    axes.imshow(imread(io.BytesIO(section.light_curves["light"])))
    axes.set_axis_off()
    figure.suptitle(
        f"{section.name}  RA {section.ra:.6f}  Dec {section.dec:+.6f}  ({epoch.exposure})",
        fontsize=10,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _place(name: str) -> tuple[float, float]:
    column, row = PLACES[name]
    return column * STEP_X, row * STEP_Y


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    folder.mkdir(exist_ok=True)
    draw_graph(folder / "asset_graph.png")
    draw_transient(folder / "transient.png")
