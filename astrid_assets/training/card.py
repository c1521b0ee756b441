"""The model card: what a champion's record says, for people; every number is read from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CARD_FILE = "MODEL_CARD.md"
Record = Mapping[str, Any]


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None, digits: int = 4) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def _interval(figure: Record, text: Any = _number) -> str:
    return f"{text(figure['value'])} ({text(figure['low'])} to {text(figure['high'])})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _edge(value: float | None) -> str:
    return "∞" if value is None or abs(value) > 1e8 else f"{value:g}"


def _share_row(name: str, row: Record) -> tuple[str, str, str, str]:
    interval = "—"
    if row.get("low_95") is not None:
        interval = f"{_share(row['low_95'])} to {_share(row['high_95'])}"
    return name, str(row["n"]), _share(row["share_accepted"]), interval


def model_card(record: Record) -> str:
    """Return the card as Markdown; sections whose figures a record lacks are left out."""
    figures, training = record["evaluation"], record["training"]
    lines = [f"# {record['name']} {record['version']}", ""]
    lines += [
        (
            f"A U-Net ensemble of {record['n_parameters']:,} weights: how probable it is that a "
            "candidate of a difference image is real, whether it is trailed, which pixels "
            "are its own. It names no kind of source."
        ),
        "",
    ]
    if "folds" in training:
        lines += _trained_on(record)
    if "auc_pr" in figures:
        lines += _test_figures(record)
    for key, section in _SECTIONS.items():
        if figures.get(key):
            lines += section(figures[key])
    lines += [
        "## What it is not for",
        "",
        (
            "Its bogus are synthetic or this pipeline's own; a camera with other artefacts "
            "needs labels of its own. Sources below S/N 6 and peaks of the noise look alike: what "
            "is accepted there follows the declared prior. Probabilities at another prior need "
            "`at_prior`."
        ),
        "",
    ]
    return "\n".join(lines)


def _trained_on(record: Record) -> list[str]:
    training = record["training"]
    rows = [
        (name, *(str(part.get(key, "—")) for key in ("n_fields", "n_nights", "n_real", "n_bogus")))
        for name, part in training["folds"].items()
    ]
    kinds = training["training_set"].get("kinds", {})
    listed = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items(), key=lambda k: -k[1]))
    skipped = training.get("skipped_fields") or {}
    return [
        "## Trained on",
        "",
        (
            "Sources put into the synthetic sky before the subtraction, and all other 5 sigma "
            "peaks of the same images, before any rule; split by night and with it by field."
        ),
        "",
        *_table(("fold", "fields", "nights", "real", "bogus"), rows),
        f"Samples by kind: {listed}.",
        "",
        (
            f"Set `{training['training_set'].get('sha256', '')[:16]}`; fields a stage refused: "
            f"{', '.join(f'{n} {why}' for why, n in skipped.items()) or 'none'}."
        ),
        "",
    ]


def _test_figures(record: Record) -> list[str]:
    figures, prior = record["evaluation"], record["prior_real"]
    rows = [
        ("test set", (f"{figures['n_real']} real ({figures.get('n_sources', '—')} sources), "
         f"{figures['n_bogus']} bogus, {figures['n_fields']} fields")),
        (f"AUCPR at real : bogus = 1 : {1 / prior - 1:.0f}, S/N ≥ 5", _interval(figures["auc_pr"])),
        ("false positives where 1 % of S/N ≥ 6 is lost",
         _interval(figures["false_positive_rate_at_1pct_fnr"], _share)),
        ("at the threshold: false positives", _interval(figures["false_positive_rate"], _share)),
        ("at the threshold: lost of S/N ≥ 6",
         _interval(figures["false_negative_rate_snr_min"], _share)),
        ("largest reliability error in 0.1–0.9, declared prior",
         _number(figures["largest_reliability_error"], 3)),
        ("the same at equal classes",
         _number(figures.get("largest_reliability_error_at_equal_classes"), 3)),
        ("log-loss", _number(figures["log_loss"])),
        ("trails called trails; points called trails",
         f"{_share(figures['trailed_found'])}; {_share(figures['trailed_false'])}"),
    ]  # fmt: skip
    out = [
        "## On fields and nights it never saw",
        "",
        (
            f"Probabilities are calibrated at a prior of {prior:.4f}; accepted is a probability of "
            f"at least {record['threshold']:.4f}. Intervals are 95 %, clustered by field."
        ),
        "",
        *_table(("figure", "value"), rows),
    ]
    for key, title in (
        ("by_snr", "Accepted real, by S/N"),
        ("by_snr_after_rules", "The same, of those the rules leave to the model"),
        ("by_host_sigma", "Accepted real of S/N ≥ 6, by the reference's brightness there (sigma)"),
        ("by_fwhm_real", "Accepted real of S/N ≥ 6, by FWHM (px)"),
        ("by_fwhm_bogus", "Accepted bogus, by FWHM (px)"),
    ):
        if key in figures:
            named = [
                _share_row(f"{_edge(row['low'])} to {_edge(row['high'])}", row)
                for row in figures[key]
            ]
            out += [f"### {title}", "", *_table(("bin", "n", "accepted", "95 %"), named)]
    for name, rows_by_kind in figures.get("confusion", {}).items():
        named = [_share_row(kind, row) for kind, row in rows_by_kind.items()]
        out += [
            f"### Accepted {name}, by kind",
            "",
            *_table(("kind", "n", "accepted", "95 %"), named),
        ]
    for key, title in (
        ("reliability", "at the declared prior"),
        ("reliability_at_equal_classes", "at equal classes"),
    ):
        if key in figures:
            bins = [
                (
                    f"{row['low']:g}–{row['high']:g}", _number(row["mean_probability"], 3),
                    _number(row["share_real"], 3),
                    f"{_number(row.get('error_low'), 3)} to {_number(row.get('error_high'), 3)}",
                    str(row["n_real"]), str(row["n_bogus"]),
                )
                for row in figures[key]
            ]  # fmt: skip
            head = ("bin", "probability", "share real", "error, 95 %", "real", "bogus")
            out += [f"### Reliability {title}", "", *_table(head, bins)]
    return out


def _models(table: Record) -> list[str]:
    rows = [
        (
            name.replace("_", " "), _number(row["auc_pr"]),
            _share(row["false_positive_rate_at_1pct_fnr"]), _number(row["log_loss"]),
            _interval(row["auc_pr_gain"]) if "auc_pr_gain" in row else "—",
        )
        for name, row in table.items()
    ]  # fmt: skip
    head = ("model", "AUCPR", "false positives at 1 % lost", "log-loss", "gain of the network")
    return ["## Beside classifiers on the measured features", "", *_table(head, rows)]


def _ablations(table: Record) -> list[str]:
    rows = [
        (
            name.replace("_", " "), _number(row["auc_pr"]),
            _share(row["false_positive_rate_at_1pct_fnr"]), _number(row["log_loss"]),
            _interval(row["auc_pr_gain"]) if "auc_pr_gain" in row else "—",
        )
        for name, row in table["models"].items()
    ]  # fmt: skip
    head = ("one member", "AUCPR", "false positives at 1 % lost", "log-loss", "gain of the whole")
    return [
        "## What each part is worth",
        "",
        f"One member, {table['n_steps']} steps, {table['n_fields']} fields.",
        "",
        *_table(head, rows),
    ]


def _search(found: Record) -> list[str]:
    rows = [
        (
            f"{_edge(row['low'])} to {_edge(row['high'])}", str(row["n_found"]),
            _share(row["lost_to_rules"]), str(row["n_after_rules"]), _share(row["lost_to_model"]),
            f"{_share(row['lost_to_model_low_95'])} to {_share(row['lost_to_model_high_95'])}",
        )
        for row in found["loss"]
    ]  # fmt: skip
    kinds = ", ".join(f"{kind} {n}" for kind, n in found["false_positives_by_kind"].items())
    head = ("S/N", "found", "lost to the rules", "left to the model", "lost to it", "95 %")
    return [
        "## Searched as a survey is",
        "",
        (
            f"{found['mpix']:.0f} Mpix of {found['n_fields']} synthetic fields: the rules leave "
            f"{found['after_rules_per_mpix']:.2f} false candidates per Mpix, the model accepts "
            f"{found['n_false_positives']} in all, {found['false_positives_per_mpix']:.3f} "
            f"({found['false_positives_per_mpix_low_95']:.3f} to "
            f"{found['false_positives_per_mpix_high_95']:.3f}) per Mpix: {kinds or 'none'}."
        ),
        "",
        *_table(head, rows),
    ]


def _ztf(found: Record) -> list[str]:
    at = found["at_own_threshold"]
    rows = [
        ("area under ROC, ours", _interval(found["auc_ours"], lambda v: _number(v, 3))),
        ("area under ROC, ZTF's `rb`", _interval(found["auc_rb"], lambda v: _number(v, 3))),
        ("asteroids accepted where 80 % of the bogus are rejected",
         _share(found["asteroids_accepted_at_80pct_bogus_rejected"])),
        ("at our threshold: asteroids, other real, bogus accepted",
         ", ".join(_share(at[f"{k}_accepted"]) for k in ("asteroids", "real", "bogus"))),
    ]  # fmt: skip
    title = (
        f"{found['n_real']} real, {found['n_bogus']} bogus by ZTF's `drb`, "
        f"{found['n_asteroids']} known asteroids; positive differences."
    )
    return ["## Real ZTF alert cutouts", "", title, "", *_table(("figure", "value"), rows)]


def _decam(found: Record) -> list[str]:
    rows = [
        (f"{_edge(row['low'])} to {_edge(row['high'])}",
         *(str(row[key]) for key in ("n_injected", "n_passed", "n_accepted")))
        for row in found["injected"]
    ]  # fmt: skip
    return [
        "## Real DECam frames",
        "",
        (
            f"The transient is accepted in {found['n_transient_accepted']} of {found['n_frames']} "
            f"frames, the dipole in {found['n_dipole_accepted']}; other candidates accepted: "
            f"{found['n_others_accepted']}. Sources put into these frames:"
        ),
        "",
        *_table(("S/N", "put in", "left by the rules", "accepted"), rows),
    ]


def _speed(found: Record) -> list[str]:
    return [
        "## Speed",
        "",
        (
            f"{found['cutouts_per_s']:.0f} cutouts per s (batch {found['batch']}, "
            f"{found['threads']} threads); {found['cold_start_s']:.2f} s from a new process to the "
            "first score."
        ),
        "",
    ]


_SECTIONS = {
    "models": _models,
    "ablations": _ablations,
    "search": _search,
    "ztf": _ztf,
    "decam": _decam,
    "speed": _speed,
}
