"""Sections of the model card on evidence beyond the test set; see `card.py`."""

from __future__ import annotations

from astrid_assets.training import card_text as md
from astrid_assets.training.card_text import Record


def _models(found: Record) -> list[str]:
    rows = [
        (
            name.replace("_", " "), md.number(row["auc_pr"]),
            md.share(row["false_positive_rate_at_1pct_fnr"]), md.number(row["log_loss"]),
            md.interval(row["auc_pr_gain"]) if "auc_pr_gain" in row else "—",
        )
        for name, row in found.items()
    ]  # fmt: skip
    head = ("model", "AUCPR", "false positives at 1 % lost", "log-loss", "gain of the network")
    return ["## Beside classifiers on the measured features", "", *md.table(head, rows)]


def _ablations(found: Record) -> list[str]:
    rows = [
        (
            name.replace("_", " "), md.number(row["auc_pr"]),
            md.share(row["false_positive_rate_at_1pct_fnr"]), md.number(row["log_loss"]),
            md.interval(row["auc_pr_gain"]) if "auc_pr_gain" in row else "—",
        )
        for name, row in found["models"].items()
    ]  # fmt: skip
    head = ("one member", "AUCPR", "false positives at 1 % lost", "log-loss", "gain of the whole")
    return [
        "## What each part is worth",
        "",
        f"One member, {found['n_steps']} steps, {found['n_fields']} fields.",
        "",
        *md.table(head, rows),
    ]


def _search(found: Record) -> list[str]:
    rows = [
        (
            f"{md.edge(row['low'])} to {md.edge(row['high'])}",
            str(row["n_found"]),
            md.share(row["lost_to_rules"]),
            str(row["n_after_rules"]),
            md.share(row["lost_to_model"]),
            " to ".join(md.share(row[f"lost_to_model_{end}_95"]) for end in ("low", "high")),
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
        *md.table(head, rows),
        "Lost to the model at other thresholds:",
        "",
        *md.table(
            ("false per Mpix", "accepted above", "S/N 5 to 6", "6 to 7", "above 7"),
            [
                (
                    f"{row['false_positives_per_mpix']:g}",
                    md.number(row["above"]),
                    *(md.share(lost) for lost in row["lost_to_model"]),
                )
                for row in found["trade"]
            ],
        ),
    ]


def _ztf(found: Record) -> list[str]:
    at, alike = found["at_own_threshold"], found.get("one_seeing")
    rows = [
        ("area under ROC, ours", md.interval(found["auc_ours"], lambda v: md.number(v, 3))),
        ("area under ROC, ZTF's `rb`", md.interval(found["auc_rb"], lambda v: md.number(v, 3))),
        ("asteroids accepted where 80 % of the bogus are rejected",
         md.share(found["asteroids_accepted_at_80pct_bogus_rejected"])),
        *(
            (f"{name}, were the seeing of all exposures one", text(alike[key]))
            for name, key, text in (
                ("area, ours", "auc_ours", lambda v: md.number(v, 3)),
                ("asteroids", "asteroids_accepted_at_80pct_bogus_rejected", md.share),
            )
            if alike
        ),
        ("at our threshold: asteroids, other real, bogus accepted",
         ", ".join(md.share(at[f"{k}_accepted"]) for k in ("asteroids", "real", "bogus"))),
    ]  # fmt: skip
    title = (
        f"{found['n_real']} real, {found['n_bogus']} bogus by ZTF's `drb`, "
        f"{found['n_asteroids']} known asteroids; positive differences."
    )
    return ["## Real ZTF alert cutouts", "", title, "", *md.table(("figure", "value"), rows)]


def _decam(found: Record) -> list[str]:
    rows = [
        (f"{md.edge(row['low'])} to {md.edge(row['high'])}",
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
        *md.table(("S/N", "put in", "left by the rules", "accepted"), rows),
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


SECTIONS = {
    "models": _models,
    "ablations": _ablations,
    "search": _search,
    "ztf": _ztf,
    "decam": _decam,
    "speed": _speed,
}
