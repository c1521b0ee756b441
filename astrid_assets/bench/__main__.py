"""`python -m astrid_assets.bench [SIZE ...]`: Markdown tables of time, CPU and memory."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from astrid_assets.bench import report
from astrid_assets.bench.chain import chain_cost
from astrid_assets.bench.commands import command_costs
from astrid_assets.bench.dagster_share import dagster_share
from astrid_assets.bench.inputs import write_pair
from astrid_assets.bench.peers import peer_costs
from astrid_assets.bench.rows import bench_rows
from astrid_assets.bench.stages import bench_size
from astrid_assets.bench.storage import bench_storage, storage_table
from astrid_assets.bench.storage_s3 import bench_s3

SIZES_PIX = (1024, 2048, 3072, 4096)
PROCESS_SIZE_PIX = 3072


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark; progress goes to standard error, the tables to standard output."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES_PIX, help="image edges, pixels")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the tables there")
    parser.add_argument(
        "--process-size", type=int, default=PROCESS_SIZE_PIX, metavar="PIX",
        help="image edge for the chain and commands in processes of their own, and for peers",
    )  # fmt: skip
    parser.add_argument("--no-processes", action="store_true", help="leave chain and commands out")
    parser.add_argument("--no-peers", action="store_true", help="leave other programs out")
    parser.add_argument("--no-dagster", action="store_true", help="leave Dagster's share out")
    parser.add_argument("--no-storage", action="store_true", help="leave objects and rows out")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    command = "make bench" + (f' ARGS="{" ".join(given)}"' if given else "")
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    parts = [report.heading(command, today)]
    for part in _parts(options):
        parts.append(part)
        sys.stdout.write(part + "\n")
        sys.stdout.flush()
    if options.write is not None:
        options.write.write_text("\n".join(parts))
        _progress(f"written: {options.write}")


def _parts(options: argparse.Namespace) -> Iterator[str]:
    """Yield each table as soon as it is measured; the processes first, while this one is small."""
    size = options.process_size
    with tempfile.TemporaryDirectory(prefix="astrid-bench-") as name:
        folder = Path(name)
        if not (options.no_processes and options.no_peers):
            _progress(f"{size}: writing the synthetic pair")
            files = write_pair(size, folder)
        if not options.no_processes:
            chains = {}
            for title, is_at_hand in (
                ("chain, both images calibrated side by side", False),
                ("chain, the reference calibrated before", True),
            ):
                _progress(f"{size}: {title}")
                chains[title] = chain_cost(files, folder, is_reference_at_hand=is_at_hand)
            _progress(f"{size}: astrid difference in fresh processes")
            yield report.process_table(chains, command_costs(files, folder), size)
        peers = [] if options.no_peers else peer_costs(files, folder, say=_progress)
    costs = [cost for edge in options.sizes for cost in bench_size(edge, say=_progress)]
    if costs:
        yield report.stage_table(costs)
        yield report.growth_table(costs)
    if peers:
        yield report.peer_table(peers, costs, size)
    if not options.no_dagster:
        _progress("Dagster: a night of the synthetic demo, twice")
        yield report.dagster_table(dagster_share())
    if not options.no_storage:
        yield "## Objects in a local folder\n\n" + storage_table(bench_storage(say=_progress))
        if objects := bench_s3(say=_progress):
            yield "## Objects in an S3 bucket (moto on this machine)\n\n" + storage_table(objects)
        if rates := bench_rows(say=_progress):
            yield report.row_table(rates)


def _progress(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
