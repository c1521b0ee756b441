"""The benchmark's numbers as Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import numpy as np
import psutil

from astrid_assets.bench.chain import ChainCost
from astrid_assets.bench.dagster_share import DagsterShare
from astrid_assets.bench.measure import Cost
from astrid_assets.bench.peers import PeerCost
from astrid_assets.bench.rows import RowRate
from astrid_assets.bench.stages import FLOOR, StageCost
from astrid_assets.imaging.threads import n_cores

_GIGABYTE = 1e9


def heading(command: str, date: str) -> str:
    """Return what the tables are and on what machine they were measured."""
    memory = psutil.virtual_memory().total / _GIGABYTE
    return (
        "# What AstrID costs\n\n"
        f"Measured by `{command}` on {date}: {n_cores()} cores of a {platform.machine()} machine "
        f"with {memory:.0f} GB of memory, Python {platform.python_version()}. Synthetic pairs of "
        "900 stars, 150 galaxies and 100 cosmic rays per Mpix. Medians of warm calls; CPU is that "
        "of all threads. Compare ratios: seconds are this machine's.\n"
    )


def stage_table(costs: Sequence[StageCost]) -> str:
    """Return every stage at every size; ratios are to the FFT floor of that size."""
    floors = {cost.size_pix: cost.cost for cost in costs if cost.stage == FLOOR}
    rows = [
        (
            cost.size_pix, cost.stage, f"{cost.cost.wall_s:.3f}", f"{cost.cost.cpu_s:.3f}",
            f"{cost.cost.grown_mb:.0f}",
            f"{cost.cost.wall_s / floors[cost.size_pix].wall_s:.2f}",
            f"{cost.cost.cpu_s / floors[cost.size_pix].cpu_s:.2f}",
        )
        for cost in costs
    ]  # fmt: skip
    names = (
        "edge pix",
        "stage",
        "wall s",
        "CPU s",
        "MB above start",
        "wall / floor",
        "CPU / floor",
    )
    return "## Stages\n\n" + _table(names, rows)


def growth_table(costs: Sequence[StageCost]) -> str:
    """Return how each stage's CPU grows: p in CPU ~ (number of pixels)^p, fitted over the sizes."""
    stages = list(dict.fromkeys(cost.stage for cost in costs))
    sizes = sorted({cost.size_pix for cost in costs})
    if len(sizes) < 2:
        return ""
    rows = []
    for stage in stages:
        own = [cost for cost in costs if cost.stage == stage]
        pixels = np.log([float(cost.size_pix) ** 2 for cost in own])
        power = np.polyfit(pixels, np.log([max(cost.cost.cpu_s, 1e-6) for cost in own]), 1)[0]
        per_mpix = (f"{cost.cost.cpu_s / cost.size_pix**2 * 1e6:.3f}" for cost in own)
        rows.append((stage, *per_mpix, f"{power:.2f}"))
    names = ("stage", *(f"CPU s per Mpix at {size}" for size in sizes), "exponent")
    return (
        "## How cost grows\n\nCPU time goes with the number of pixels to this power.\n\n"
        + _table(names, rows)
    )


def process_table(chains: Mapping[str, ChainCost], commands: Mapping[str, Cost], size: int) -> str:
    """Return what was measured in processes of their own."""
    rows = []
    for name, chain in chains.items():
        rows += [
            (f"{name}: warm", *_numbers(chain.warm)),
            (f"{name}: first turn of the process", *_numbers(chain.cold)),
        ]
    rows += [(f"`{name}`, fresh process", *_numbers(cost)) for name, cost in commands.items()]
    return (
        f"## In a process of its own, {size} x {size} pixels\n\n"
        "The chain goes from detrended arrays to measured candidates, cosmic rays included, "
        "without storage; its peak is that of the whole process. `astrid difference` includes "
        "imports, reading and writing.\n\n" + _table(("what", "wall s", "CPU s", "peak MB"), rows)
    )


def peer_table(peers: Sequence[PeerCost], ours: Sequence[StageCost], size: int) -> str:
    """Return other programs beside the stage of ours that does the same."""
    rows: list[tuple[object, ...]] = [
        (
            peer.program,
            peer.task,
            *(("", "", peer.why_not) if peer.cost is None else _numbers(peer.cost)),
        )
        for peer in peers
    ]
    rows += [
        ("AstrID", cost.stage, *_numbers(cost.cost)[:2], f"{cost.cost.grown_mb:.0f}")
        for cost in ours
        if cost.size_pix == size and not cost.stage.startswith(("store", "encode", "score"))
    ]
    return (
        f"## Beside other programs, {size} x {size} pixels\n\n"
        "Programs of their own are fresh processes with their files; stdpipe and AstrID are calls "
        "between arrays. AstrID's memory is what the call added to that of the benchmark.\n\n"
        + _table(("program", "task", "wall s", "CPU s", "peak MB"), rows)
    )


def dagster_table(share: DagsterShare) -> str:
    """Return what Dagster and the stores add to a run."""
    made = f"chain of {share.n_exposures} exposures of 400 x 400, first time"
    rows = [
        (made, f"{share.first_s:.2f}"),
        ("the same again, all products taken over (Dagster, checks, database)",
         f"{share.unchanged_s:.2f}"),
        ("a fresh process that loads the definitions", f"{share.load_definitions_s:.2f}"),
    ]  # fmt: skip
    return "## Dagster's share of a run\n\n" + _table(("what", "wall s"), rows)


def row_table(rates: Sequence[RowRate]) -> str:
    """Return how fast rows are committed beside a plain COPY of the same rows."""
    rows = [
        (rate.action, rate.n_rows, f"{rate.ours_per_s:.0f}", f"{rate.copy_per_s:.0f}",
         f"{rate.share:.2f}")
        for rate in rates
    ]  # fmt: skip
    names = ("action", "rows", "rows/s", "plain COPY, rows/s", "share")
    return "## Rows in PostgreSQL\n\n" + _table(names, rows)


def _numbers(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", f"{cost.peak_mb:.0f}"


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
