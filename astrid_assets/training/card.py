"""The model card: what a champion's record says, for people; every number is read from there."""

from __future__ import annotations

from astrid_assets.training import card_text as md
from astrid_assets.training.card_sections import SECTIONS
from astrid_assets.training.card_text import Record

CARD_FILE = "MODEL_CARD.md"


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
    for key, section in SECTIONS.items():
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
        *md.table(("fold", "fields", "nights", "real", "bogus"), rows),
        f"Samples by kind: {listed}.",
        "",
        (
            f"Set `{training['training_set'].get('sha256', '')[:16]}`; fields a stage refused: "
            f"{', '.join(f'{n} {why}' for why, n in skipped.items()) or 'none'}."
        ),
        "",
    ]


def _with_chance(figures: Record, key: str) -> str:
    found, chance = (
        md.number(figures.get(f"largest_reliability_error{which}{key}"), 3)
        for which in ("", "_by_chance")
    )
    return f"{found} (by chance alone {chance})"


def _test_figures(record: Record) -> list[str]:
    figures, prior = record["evaluation"], record["prior_real"]
    rows = [
        ("test set", (f"{figures['n_real']} real ({figures.get('n_sources', '—')} sources), "
         f"{figures['n_bogus']} bogus, {figures['n_fields']} fields")),
        (f"AUCPR at real : bogus = 1 : {1 / prior - 1:.0f}, S/N ≥ 5",
         md.interval(figures["auc_pr"])),
        ("false positives where 1 % of S/N ≥ 6 is lost",
         md.interval(figures["false_positive_rate_at_1pct_fnr"], md.share)),
        ("at the threshold: false positives",
         md.interval(figures["false_positive_rate"], md.share)),
        ("at the threshold: lost of S/N ≥ 6",
         md.interval(figures["false_negative_rate_snr_min"], md.share)),
        *(
            (f"largest reliability error in 0.1–0.9, {name}",
             _with_chance(figures, key))
            for key, name in (("", "declared prior"), ("_at_equal_classes", "at equal classes"))
        ),
        ("log-loss", md.number(figures["log_loss"])),
        ("trails called trails; points called trails",
         f"{md.share(figures['trailed_found'])}; {md.share(figures['trailed_false'])}"),
    ]  # fmt: skip
    out = [
        "## On fields and nights it never saw",
        "",
        (
            f"Probabilities are calibrated at a prior of {prior:.4f}; accepted is a probability of "
            f"at least {record['threshold']:.4f}. Intervals are 95 %, clustered by field."
        ),
        "",
        *md.table(("figure", "value"), rows),
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
                md.share_row(f"{md.edge(row['low'])} to {md.edge(row['high'])}", row)
                for row in figures[key]
            ]
            out += [f"### {title}", "", *md.table(("bin", "n", "accepted", "95 %"), named)]
    for name, rows_by_kind in figures.get("confusion", {}).items():
        named = [md.share_row(kind, row) for kind, row in rows_by_kind.items()]
        out += [
            f"### Accepted {name}, by kind",
            "",
            *md.table(("kind", "n", "accepted", "95 %"), named),
        ]
    for key, title in (
        ("reliability", "at the declared prior"),
        ("reliability_at_equal_classes", "at equal classes"),
    ):
        if key in figures:
            bins = [
                (
                    f"{row['low']:g}–{row['high']:g}", md.number(row["mean_probability"], 3),
                    md.number(row["share_real"], 3),
                    " to ".join(md.number(row.get(f"error_{end}"), 3) for end in ("low", "high")),
                    md.number(row.get("standard_error"), 3), str(row["n_real"]),
                    str(row["n_bogus"]),
                )
                for row in figures[key]
            ]  # fmt: skip
            head = (
                "bin",
                "probability",
                "share real",
                "error, 95 %",
                "± by chance",
                "real",
                "bogus",
            )
            out += [f"### Reliability {title}", "", *md.table(head, bins)]
    return out
