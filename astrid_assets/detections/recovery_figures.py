"""The numbers and the plot of an injection-recovery: completeness by true S/N against theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from astrid_assets.detections.recovery import Recovery
from astrid_assets.imaging.figures import png_bytes
from astrid_assets.limits import INJECTED_COMPLETENESS
from astrid_assets.quality import Judgement, judge

THRESHOLD_SIGMA = 5.0


def expected_found(snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit theory: the probability Phi(s - 5) that the score exceeds 5 at a source."""
    return np.asarray(ndtr(snr - THRESHOLD_SIGMA))


def recovery_metrics(recovery: Recovery) -> dict[str, Any]:
    """Return the completeness over all S/N and how it stands to the unit theory.

    completeness_deficit_sigma: (found - expected) over its binomial error, on unmasked places.
    A peak finder may choose the maximum and finds a little more than the unit theory.
    """
    total = recovery.total
    usable = ~recovery.is_unusable
    expected = expected_found(recovery.snr[usable])
    scatter = float(np.sqrt(np.sum(expected * (1 - expected))))
    found = int(recovery.is_found[usable].sum())
    return {
        "n_injected": total.n_injected,
        "n_found": total.n_found,
        "n_passed_rules": total.n_passed,
        "n_accepted": total.n_accepted,
        "completeness": total.completeness,
        "completeness_low": total.completeness_low,
        "completeness_high": total.completeness_high,
        "n_expected": float(expected.sum()),
        "completeness_deficit_sigma": (found - float(expected.sum())) / scatter
        if scatter > 0
        else None,
        "bins": [asdict(entry) for entry in recovery.bins],
    }


def completeness_failures(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why an exposure may not reach the catalog: fewer sources recovered than in theory."""
    finding = judge(INJECTED_COMPLETENESS, metrics, label="")
    if finding.judgement is not Judgement.FAILED:
        return ()
    reason = (
        f"completeness: {metrics['n_found']} of {metrics['n_injected']} injected sources were "
        f"found, {finding.value:.1f} standard errors from theory, {finding.low:g} are allowed"
    )
    return (reason,)


def recovery_table(metrics: Mapping[str, Any], label: str) -> list[dict[str, object]]:
    """Return a row per S/N bin for the UI, from the metrics of a product."""
    return [
        {
            "exposure": label,
            "S/N": f"{entry['snr_low']:g} to {entry['snr_high']:g}",
            "injected": entry["n_injected"],
            "found": entry["n_found"],
            "passed rules": entry["n_passed"],
            "accepted": entry["n_accepted"],
            "completeness": entry["completeness"],
            "95 % low": entry["completeness_low"],
            "95 % high": entry["completeness_high"],
        }
        for entry in metrics["bins"]
    ]


def recovery_png(recovery: Recovery, *, title: str) -> bytes:
    """Return the completeness by true S/N with Wilson's 95 % intervals and the unit theory."""
    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    snr = np.linspace(recovery.bins[0].snr_low, recovery.bins[-1].snr_high, 200)
    axes.plot(snr, expected_found(snr), color="#868e96", label="theory: score above 5")
    filled = [entry for entry in recovery.bins if entry.completeness is not None]
    centre = [(entry.snr_low + entry.snr_high) / 2 for entry in filled]
    value = np.array([entry.completeness for entry in filled], float)
    low = value - np.array([entry.completeness_low for entry in filled])
    high = np.array([entry.completeness_high for entry in filled]) - value
    axes.errorbar(
        centre, value, yerr=[low, high], fmt="o", color="#1971c2", capsize=3, label="accepted"
    )
    axes.set_xlabel("true S/N of the injected source")
    axes.set_ylabel("completeness")
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(title, fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return png_bytes(figure, dpi=110)
