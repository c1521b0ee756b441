"""`python -m astrid_assets.bench.science`: measures what is missing, then writes the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from astrid_assets.bench.science.cases import CASES, Case
from astrid_assets.bench.science.pooled import Pooled, pool
from astrid_assets.bench.science.report import report
from astrid_assets.bench.science.store import Results, code_identity
from astrid_assets.bench.science.work import measure_all
from astrid_assets.imaging.threads import n_cores
from astrid_resources.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "statistics.md"
_COMMAND = "make bench-science"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark; progress goes to standard error, the table to a file or to the output.

    A field that is measured already, by the same code, is not measured again.
    """
    options = _parser().parse_args(arguments)
    cases = [case.quick() if options.quick else case for case in CASES]
    if options.cases:
        cases = [case for case in cases if case.name in options.cases]
    results = Results(
        options.results or Settings().home / "bench_science", identity=code_identity()
    )
    tasks = [(case, seed) for case in cases for seed in range(1, case.n_fields + 1)]
    missing = [task for task in tasks if not results.has(*task)]
    _say(f"{len(tasks)} fields, {len(tasks) - len(missing)} of them measured; in {results.folder}")
    if not options.report_only:
        measure_all(missing, results, n_workers=options.workers, say=_say)
    pooled, failures = _pooled(cases, results)
    text = report(pooled, command=_COMMAND + _form(options.quick), failures=failures)
    target = options.output or (None if options.quick or options.cases else DOCUMENT)
    if target is None:
        sys.stdout.write(text)
    else:
        target.write_text(text)
        _say(f"written: {target}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small fields, a few minutes")
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, help="only these (to the output)")
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes, one core each")
    parser.add_argument("--results", type=Path, help="folder (default: in ASTRID_HOME)")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    parser.add_argument(
        "-o", "--output", type=Path, help=f"Markdown file (default: {DOCUMENT.name} when complete)"
    )
    return parser


def _form(is_quick: bool) -> str:
    return " ARGS=--quick" if is_quick else ""


def _pooled(cases: Sequence[Case], results: Results) -> tuple[list[tuple[Case, Pooled]], list[str]]:
    """The measured fields of each case put together, and why others could not be measured."""
    pooled, failures = [], []
    for case in cases:
        seeds = [s for s in range(1, case.n_fields + 1) if results.has(case, s)]
        read = [(seed, results.read(case, seed)) for seed in seeds]
        fields = [result for _, result in read if not isinstance(result, str)]
        failures += [f"{case.meaning}, field {s}: {r}" for s, r in read if isinstance(r, str)]
        if fields:
            pooled.append((case, pool(fields)))
    return pooled, failures


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
