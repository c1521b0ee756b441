"""The numbers, tables and plots of injection and recovery, of one exposure and of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astrid_assets.candidates.finder_curve import unit_theory
from astrid_assets.detections.completeness import Axis, Bin, wilson_interval
from astrid_assets.detections.recovery import Recovery
from astrid_assets.imaging.figures import png_bytes
from astrid_assets.limits import INJECTED_COMPLETENESS
from astrid_assets.quality import Judgement, judge

LABELS = {
    Axis.SNR: "true S/N",
    Axis.MAGNITUDE_AB: "AB magnitude",
    Axis.MAGNITUDE_INSTRUMENTAL: "-2.5 log10(science counts)",
    Axis.HOST: "light of the host, per pixel (sky sigma)",
}
_FOUND, _ACCEPTED, _EXPECTED = "#868e96", "#1971c2", "#343a40"


def recovery_metrics(recovery: Recovery) -> dict[str, Any]:
    """Return what the exposure is judged by, and the counts by S/N, magnitude and host.

    completeness_deficit_sigma: (found - expected from the finder's curve in Gaussian noise) over
    the error of both, on unmasked places.
    """
    judged = recovery.judged
    low, high = judged.completeness_interval
    return {
        "n_injected": judged.n_injected,
        "n_found": judged.n_found,
        "n_passed_rules": judged.n_passed,
        "n_accepted": judged.n_accepted,
        "completeness": judged.completeness,
        "completeness_low": low,
        "completeness_high": high,
        "n_expected": judged.n_expected,
        "completeness_deficit_sigma": judged.found_deficit_sigma,
        "n_injected_in_all": len(recovery.sources.x),
        "judged": judged.as_dict(),
        "bins": [one.as_dict() for one in recovery.bins],
    }


def completeness_failures(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why an exposure may not reach the catalog: it recovers fewer sources than noise lets.

    They are compared with what the same finder finds in Gaussian noise.
    """
    finding = judge(INJECTED_COMPLETENESS, metrics, label="")
    if finding.judgement is not Judgement.FAILED:
        return ()
    reason = (
        f"completeness: {metrics['n_found']} of {metrics['n_injected']} injected sources were "
        f"found, {metrics['n_expected']:.0f} are expected in Gaussian noise: {finding.value:.1f} "
        f"standard errors, {finding.low:g} are allowed"
    )
    return (reason,)


def completeness_table(bins: Sequence[Bin], label: str) -> list[dict[str, object]]:
    """Return a row per bin for the UI."""
    return [
        {
            "of": label,
            "by": LABELS[one.axis],
            "from": one.low,
            "to": one.high,
            "exposures": one.n_exposures,
            "injected": one.n_injected,
            "expected": one.n_expected,
            "found": one.n_found,
            "passed rules": one.n_passed,
            "accepted": one.n_accepted,
            "completeness": one.completeness,
            "95 % low": one.completeness_interval[0],
            "95 % high": one.completeness_interval[1],
        }
        for one in bins
    ]


def recovery_png(recovery: Recovery, *, title: str) -> bytes:
    """Return one exposure's completeness by true S/N with the finder's curve and unit theory."""
    figure = Figure(figsize=(5.2, 3.3), layout="constrained")
    axes = figure.add_subplot()
    bins = [one for one in recovery.bins if one.axis is Axis.SNR]
    snr = np.linspace(recovery.settings.snr_edges[0], 12, 200)
    curve = recovery.curve
    axes.plot(snr, curve.at(snr), color=_EXPECTED, lw=1.2, label="this finder in Gaussian noise")
    theory = unit_theory(snr, curve.threshold_sigma)
    axes.plot(snr, theory, color=_FOUND, lw=0.8, ls=":", label="score at the place above 5")
    _draw(axes, bins)
    axes.axvspan(*recovery.settings.injection.snr_range, color="#e7f5ff", zorder=0)
    axes.set_title(title, fontsize=9)
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    return png_bytes(figure, dpi=110)


def pooled_png(bins: Sequence[Bin], *, title: str, n_exposures: int) -> bytes:
    """Return the completeness of many exposures by S/N, by magnitude and by host brightness.

    Open marks: bins that fewer than `n_exposures` tried, so that the deeper or shallower ones
    are missing there.
    """
    axes_present = [axis for axis in Axis if any(one.axis is axis for one in bins)]
    figure = Figure(figsize=(3.9 * max(len(axes_present), 1), 3.8), layout="constrained")
    for k, axis in enumerate(axes_present):
        axes = figure.add_subplot(1, len(axes_present), k + 1)
        own = [one for one in bins if one.axis is axis]
        _draw(axes, own, n_exposures=n_exposures, with_expected=True)
        if k:
            axes.set_ylabel("")
        if k == 0:
            named = axes.get_legend_handles_labels()
            figure.legend(*named, frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    figure.suptitle(title, fontsize=9)
    return png_bytes(figure, dpi=110)


def _draw(
    axes: Axes, bins: Sequence[Bin], *, n_exposures: int = 0, with_expected: bool = False
) -> None:
    """Draw shares found and accepted with Wilson's 95 % intervals."""
    axis = bins[0].axis if bins else Axis.SNR
    left = np.array([one.low for one in bins])
    right = np.array([one.low * 4 if one.high is None else one.high for one in bins])
    is_host = axis is Axis.HOST
    if is_host:
        left, right = np.arange(len(bins)) - 0.5, np.arange(len(bins)) + 0.5
    middle = (left + right) / 2
    if with_expected:
        for k, one in enumerate(bins):
            axes.plot(
                [left[k], right[k]],
                [one.n_expected / one.n_injected] * 2,
                color=_EXPECTED,
                lw=1.2,
                label="found by this finder in Gaussian noise" if k == 0 else None,
            )
    shift = 0.08 * (right - left)
    for colour, label, sign in ((_FOUND, "found", -1), (_ACCEPTED, "accepted", 1)):
        number = [one.n_found if label == "found" else one.n_accepted for one in bins]
        for k, one in enumerate(bins):
            low, high = wilson_interval(number[k], one.n_injected)
            value = number[k] / one.n_injected
            axes.errorbar(
                middle[k] + sign * shift[k],
                value,
                yerr=[[max(value - low, 0)], [max(high - value, 0)]],
                fmt="o",
                ms=4,
                capsize=2,
                lw=1,
                color=colour,
                mfc="white" if one.n_exposures < n_exposures else colour,
                label=f"{label} (95 %)" if k == 0 else None,
            )
    if is_host:
        names = [
            f"{one.low:g}+" if one.high is None else f"{one.low:g}-{one.high:g}" for one in bins
        ]
        axes.set_xticks(middle, names)
    elif axis is Axis.SNR and bins:
        axes.set_xscale("log")
        ticks = [t for t in (3, 4, 5, 6, 8, 12, 20, 40) if left[0] <= t <= right[-1]]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.set_xticks([], minor=True)
    axes.set_xlabel(LABELS[axis], fontsize=9)
    axes.set_ylabel("share of injected sources", fontsize=9)
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelsize=8)
