"""Accepted shares of groups of samples, with intervals clustered by field: by S/N, host, kind …"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training.evaluate import EvaluationSettings
from astrid_assets.training.samples import TrainingSet

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grouping:
    """Accepted samples with the fields they are of: what every share is computed from."""

    accepted: Flags = field(repr=False)
    fields: NDArray[np.int64] = field(repr=False)
    n_bootstrap: int = 300
    seed: int = 1

    def share(self, among: Flags) -> dict[str, Any]:
        """Return n, n_accepted and the accepted share of some samples with its 95 % interval."""
        n, k = int(among.sum()), int((among & self.accepted).sum())
        row: dict[str, Any] = {"n": n, "n_accepted": k, "share_accepted": k / n if n else None}
        names, index = np.unique(self.fields[among], return_inverse=True)
        if len(names) > 1:
            rng = np.random.default_rng(self.seed)
            of = np.bincount(index).astype(float)
            taken = np.bincount(index, weights=self.accepted[among])
            drawn = rng.multinomial(
                len(names), np.full(len(names), 1 / len(names)), self.n_bootstrap
            )
            low, high = np.percentile((drawn @ taken) / (drawn @ of), (2.5, 97.5))
            row |= {"low_95": float(low), "high_95": float(high)}
        return row

    def binned(self, value: Floats, edges: tuple[float, ...], among: Flags) -> list[dict[str, Any]]:
        """Return a row per bin of `value`."""
        return [
            {"low": low, "high": high, **self.share(among & (value >= low) & (value < high))}
            for low, high in pairwise(edges)
        ]

    def named(self, value: NDArray[Any], among: Flags) -> dict[str, dict[str, Any]]:
        """Return a row per value."""
        return {str(v): self.share(among & (value == v)) for v in np.unique(value[among])}


def group_figures(
    accepted: Flags,
    samples: TrainingSet,
    snr: Floats,
    *,
    asked: Flags,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Return accepted shares by S/N, kind (the confusion), host brightness, seeing and view.

    asked: those that the rules leave to the model (a negative one counts as if positive).
    """
    of = Grouping(accepted, samples.sky_field, settings.n_bootstrap, settings.seed)
    real = samples.is_real
    bright = real & (snr >= settings.snr_min)
    fwhm, host = samples.fwhm_pix.astype(float), samples.host_sigma.astype(float)
    seeing = settings.fwhm_edges_pix
    return {
        "by_snr": of.binned(snr, settings.snr_edges, real),
        "by_snr_after_rules": of.binned(snr, settings.snr_edges, real & asked),
        "confusion": {"real": of.named(samples.kind, real), "bogus": of.named(samples.kind, ~real)},
        "bogus_after_rules": of.named(samples.kind, ~real & asked),
        "by_host_sigma": of.binned(host, settings.host_edges_sigma, bright),
        "by_fwhm_real": of.binned(fwhm, seeing, bright),
        "by_fwhm_bogus": of.binned(fwhm, seeing, ~real),
        "by_view_real": of.named(samples.view, bright),
        "by_view_bogus": of.named(samples.view, ~real),
        "on_host": of.share(bright & samples.on_host),
        "off_host": of.share(bright & ~samples.on_host),
        "after_rules": {"real": of.share(real & asked), "bogus": of.share(~real & asked)},
    }
