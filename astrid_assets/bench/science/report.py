"""The pooled figures as Markdown: each with its error bar, what must be reached and the aim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astrid_assets.bench.science.cases import Case
from astrid_assets.bench.science.pooled import Figure, Pooled

GAUSSIAN_TAIL = 6.334e-5
_NONE = "–"
_MEASURED = (
    "Measured by `{command}` on the synthetic sky, by the product's own chain (calibrate both, "
    "subtract, find candidates; no noise scaling) against the truth of the fields. "
    "Errors are 1 σ; those of blank sky come from the scatter between fields. "
    "**Bold** misses what is required, *italic* reaches it but misses the aim; `?` where that is "
    "within two errors, so that the fields are too few to say. The S/N of a source is the true "
    "one, from the true PSFs and the expected noise with its own photons."
)
_FALSE_POSITIVES = (
    "Positive accepted candidates beyond 5 σ away from injected sources and masks. The Gaussian "
    "expectation is that of the peaks of noise with the autocorrelation of the same P_D, for the "
    "same area. Limits: one-sided 95 %."
)
_COMPLETENESS = (
    "Found against what the same finder finds in Gaussian noise with the same P_D. Allowed: "
    "0.02 + 2 standard errors."
)
_STRESS = (
    "Positions are shown and not demanded: of sources that appear on bright stars the peak is "
    "drawn by what the subtraction leaves there; the rules reject these."
)


@dataclass(frozen=True)
class Demand:
    """One figure: how it is written, what must be reached and the aim; None where there is none.

    distance: how far the figure is from what is right, and its error, in the unit of the limits.
    is_for_stress: demanded of stress fields, too; else it is shown there and no more.
    """

    name: str
    text: Callable[[Pooled], str]
    distance: Callable[[Pooled], Figure]
    required: float
    aim: float | None
    required_text: str
    aim_text: str
    is_for_stress: bool = True


DEMANDS: tuple[Demand, ...] = (
    Demand(
        "blank sky: std",
        lambda p: _figure(p.sky_std, 4),
        lambda p: _from(p.sky_std, 1),
        0.01,
        0.005,
        "1.00 ± 0.01",
        "± 0.005",
    ),
    Demand(
        "blank sky: median",
        lambda p: _figure(p.sky_median, 4, sign=True),
        lambda p: _from(p.sky_median, 0),
        0.05,
        0.02,
        "± 0.05",
        "± 0.02",
    ),
    Demand(
        "blank sky: beyond 4 σ (Gaussian 6.3e-5)",
        lambda p: f"{p.sky_tail.value:.1e} ± {p.sky_tail.error:.0e}",
        lambda p: p.sky_tail,
        8e-5,
        None,
        "≤ 8e-5",
        "",
    ),
    Demand(
        "offset δ of Φ(s − 5 − δ)",
        lambda p: _figure(p.delta, 3, sign=True),
        lambda p: _from(p.delta, 0),
        0.05,
        0.03,
        "± 0.05",
        "± 0.03",
    ),
    Demand(
        "flux bias, %",
        lambda p: _figure(p.flux_bias, 2, sign=True, scale=100),
        lambda p: _from(p.flux_bias, 0, scale=100),
        0.5,
        0.15,
        "± 0.5",
        "± 0.15",
    ),
    Demand(
        "flux pull: std",
        lambda p: _figure(p.pull_std, 3),
        lambda p: _from(p.pull_std, 1),
        0.05,
        0.03,
        "1 ± 0.05",
        "± 0.03",
    ),
    Demand(
        "position rms ÷ bound",
        lambda p: _figure(p.position, 3),
        lambda p: p.position,
        1.3,
        1.1,
        "≤ 1.3",
        "≤ 1.1",
        is_for_stress=False,
    ),
)
"""The figures that every case has; false positives and completeness have tables of their own."""


def report(pooled: Sequence[tuple[Case, Pooled]], *, command: str, failures: Sequence[str]) -> str:
    """Return the page: main cases, false positives, completeness, stress fields."""
    main = [entry for entry in pooled if not entry[0].is_stress]
    stress = [entry for entry in pooled if entry[0].is_stress]
    parts = [
        "# Statistics of the subtraction",
        "",
        _MEASURED.format(command=command),
        "",
        "## Figures",
        "",
        *_figures(main),
        "",
        "## False positives",
        "",
        _FALSE_POSITIVES,
        "",
        *_false_positives(pooled),
        "",
        "## Completeness of the finder",
        "",
        _COMPLETENESS,
        "",
        *_completeness(main),
    ]
    if stress:
        parts += ["", "## Stress fields", "", _STRESS, "", *_figures(stress, is_stress=True)]
    if failures:
        parts += ["", "## Fields that a stage refused", "", *(f"- {text}" for text in failures)]
    return "\n".join(parts) + "\n"


def _figures(entries: Sequence[tuple[Case, Pooled]], *, is_stress: bool = False) -> list[str]:
    """One row a case, what is demanded above."""
    demands = [d if d.is_for_stress or not is_stress else _shown_only(d) for d in DEMANDS]
    head = ["case", "fields", "Mpix", "sources", *(d.name for d in DEMANDS)]
    rows = [head, ["---"] * len(head)]
    rows.append(["*required*", "", "", "", *(d.required_text for d in demands)])
    rows.append(["*aim*", "", "", "", *(d.aim_text for d in demands)])
    for case, pooled in entries:
        cells = [_marked(d.text(pooled), d.distance(pooled), d.required, d.aim) for d in demands]
        about = [case.meaning, str(pooled.n_fields), f"{pooled.area_mpix:.0f}"]
        rows.append([*about, str(pooled.n_sources), *cells])
    return _table(rows)


def _shown_only(demand: Demand) -> Demand:
    return replace(demand, required=np.inf, aim=None, required_text="", aim_text="")


def _false_positives(entries: Sequence[tuple[Case, Pooled]]) -> list[str]:
    head = [
        "case", "Mpix", "found", "Gaussian expectation", "excess per Mpix",
        "its 95 % upper limit", "required", "aim", "PSF stars",
    ]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for case, p in entries:
        limit = _marked(
            f"{p.excess_limit:.2f}", Figure(p.excess_limit, 0.0), case.excess_max, case.excess_aim
        )
        rows.append(
            [
                case.meaning,
                f"{p.area_mpix:.0f}",
                str(p.n_false),
                f"{p.n_false_expected:.1f}",
                f"{p.excess:+.3f} ± {np.sqrt(max(p.n_false, 1)) / p.area_mpix:.3f}",
                limit,
                f"≤ {case.excess_max:g}",
                _NONE if case.excess_aim is None else f"≤ {case.excess_aim:g}",
                f"{p.n_psf_stars:.0f}",
            ]
        )
    return _table(rows)


def _completeness(entries: Sequence[tuple[Case, Pooled]]) -> list[str]:
    head = ["case", "S/N", "sources", "found", "expected", "difference", "allowed", "accepted"]
    rows = [head, ["---"] * len(head)]
    for case, pooled in entries:
        for b in pooled.bins:
            difference = b.found - b.expected
            allowed = abs(difference) - b.excess
            rows.append(
                [
                    case.meaning,
                    f"{b.snr_low:g}–{b.snr_high:g}",
                    str(b.n),
                    f"{b.found:.3f}",
                    f"{b.expected:.3f}",
                    _marked(
                        f"{difference:+.3f} ± {b.error:.3f}",
                        Figure(abs(difference), 0.0),
                        allowed,
                        None,
                    ),
                    f"{allowed:.3f}",
                    f"{b.accepted:.3f}",
                ]
            )
    return _table(rows)


def _from(figure: Figure, right: float, *, scale: float = 1.0) -> Figure:
    return Figure(scale * abs(figure.value - right), scale * figure.error)


def _marked(text: str, distance: Figure, required: float, aim: float | None) -> str:
    """The text, marked as a miss of what is required or of the aim; an error of NaN counts 0."""
    if not np.isfinite(distance.value):
        return _NONE
    sure = distance.value - 2 * np.nan_to_num(distance.error)
    for limit, mark in ((required, "**"), (aim, "*")):
        if limit is not None and distance.value > limit:
            return f"{mark}{text}{mark}" + (" ?" if sure <= limit else "")
    return text


def _figure(figure: Figure, digits: int, *, sign: bool = False, scale: float = 1.0) -> str:
    form = f"+.{digits}f" if sign else f".{digits}f"
    return f"{scale * figure.value:{form}} ± {scale * figure.error:.{digits}f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in rows]
