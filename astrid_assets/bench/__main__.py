"""`python -m astrid_assets.bench [SIZE ...]`: prints Markdown tables of time, CPU and memory."""

from __future__ import annotations

import argparse
import sys

from astrid_assets.bench.dagster_share import dagster_share
from astrid_assets.bench.stages import StageCost, bench_size
from astrid_assets.bench.storage import bench_storage, storage_table

SIZES_PIX = (1024, 3072)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark; progress goes to standard error, the tables to standard output."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES_PIX, help="image edges, pixels")
    parser.add_argument("--no-dagster", action="store_true", help="leave Dagster's share out")
    parser.add_argument("--no-storage", action="store_true", help="leave storage out")
    options = parser.parse_args(arguments)
    costs = [cost for size in options.sizes for cost in bench_size(size, say=_progress)]
    _out(_table(costs))
    if not options.no_dagster:
        _progress("Dagster: a night of the synthetic demo, twice")
        share = dagster_share()
        _out(
            "\n| Dagster's share of a run | wall s |\n|---|---|\n"
            f"| chain of {share.n_exposures} exposures of 400 x 400, first time "
            f"| {share.first_s:.2f} |\n"
            "| the same again, all products taken over (Dagster, checks, database) "
            f"| {share.unchanged_s:.2f} |\n"
            f"| a fresh process that loads the definitions | {share.load_definitions_s:.2f} |\n"
        )
    if not options.no_storage:
        _out("\n" + storage_table(bench_storage(say=_progress)))


def _table(costs: list[StageCost]) -> str:
    floors = {c.size_pix: c.cost.wall_s for c in costs if c.stage.startswith("FFT floor")}
    lines = [
        "| size | stage | wall s | CPU s | peak MB | wall / FFT floor |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.size_pix} | {c.stage} | {c.cost.wall_s:.3f} | {c.cost.cpu_s:.3f} "
        f"| {c.cost.peak_mb:.0f} | {c.cost.wall_s / floors[c.size_pix]:.2f} |"
        for c in costs
    ]
    return "\n".join(lines) + "\n"


def _progress(text: str) -> None:
    sys.stderr.write(text + "\n")


def _out(text: str) -> None:
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
