"""Completeness of a tile over all its nights, from the manifest: what a rate stands on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from astrid_assets.detections.completeness import Axis, Bin, bins_of, crossing, pooled
from astrid_resources.database import Database, Observation, ProductRow
from astrid_resources.products import Product, Verdict

ASSET = "injection_recovery"
HALF = 0.5


@dataclass(frozen=True)
class PooledCompleteness:
    """Counts over all exposures of a tile and filter whose injected sources were recovered.

    bins: by S/N, magnitude and host. judged: the S/N range that exposures are judged by, one bin.
    """

    tile: str
    filter_band: str
    n_exposures: int
    n_nights: int
    bins: tuple[Bin, ...]
    judged: Bin

    @property
    def found_excess(self) -> float:
        """Share found minus share expected of this finder in Gaussian noise."""
        return (self.judged.n_found - self.judged.n_expected) / self.judged.n_injected

    @property
    def found_excess_error(self) -> float:
        """Its standard error."""
        return float(self.judged.expected_variance**0.5 / self.judged.n_injected)

    def half(self, *axes: Axis) -> float | None:
        """Return where the share accepted passes through a half, along the first known axis."""
        for axis in axes:
            own = [one for one in self.bins if one.axis is axis]
            if own:
                return crossing(own, share=HALF)
        return None

    @property
    def title(self) -> str:
        """What was pooled."""
        exposures = "exposure" if self.n_exposures == 1 else "exposures"
        nights = "night" if self.n_nights == 1 else "nights"
        return (
            f"tile {self.tile}, filter {self.filter_band}: {self.n_exposures} {exposures} of "
            f"{self.n_nights} {nights}"
        )

    @property
    def text(self) -> str:
        """The figures in a sentence."""
        one = self.judged
        low, high = one.completeness_interval
        return (
            f"Of {one.n_injected} sources injected at S/N {one.low:g} to {one.high:g}, "
            f"{one.n_found} were found where this finder finds {one.n_expected:.0f} in Gaussian "
            f"noise, and {one.n_accepted} accepted: {one.n_accepted / one.n_injected:.0%} "
            f"({low:.0%} to {high:.0%} at 95 %)."
        )

    @property
    def line(self) -> dict[str, Any]:
        """What a person reads first."""
        low, high = self.judged.completeness_interval
        return {
            "tile": self.tile,
            "filter": self.filter_band,
            "nights": self.n_nights,
            "exposures": self.n_exposures,
            "injected": self.judged.n_injected,
            "S/N": f"{self.judged.low:g} to {self.judged.high:g}",
            "found": self.judged.n_found,
            "expected": self.judged.n_expected,
            "accepted": self.judged.completeness,
            "95 % low": low,
            "95 % high": high,
            "half accepted at S/N": self.half(Axis.SNR),
            "half accepted at mag AB": self.half(Axis.MAGNITUDE_AB),
            "half accepted at -2.5 log10(counts)": self.half(Axis.MAGNITUDE_INSTRUMENTAL),
        }


def pooled_completeness(
    database: Database, *, tile: str | None = None, made: Iterable[Product] = ()
) -> tuple[PooledCompleteness, ...]:
    """Return the pooled completeness of each tile and filter, in their order.

    tile: this one only. made: products of the running partition, not committed yet; they take the
    place of those of the same exposures.
    """
    fresh = {one.observation_id: one for one in made if one.observation_id is not None}
    query = sa.select(
        Observation.id, Observation.tile, Observation.filter_band, Observation.night
    ).where(Observation.is_current)
    stored = sa.select(ProductRow.observation_id, ProductRow.verdict, ProductRow.metrics).where(
        ProductRow.asset == ASSET, ProductRow.is_current
    )
    if tile is not None:
        query, stored = query.where(Observation.tile == tile), stored.where(ProductRow.tile == tile)
    with database.read() as session:
        exposures = {row.id: row for row in session.execute(query)}
        metrics: dict[Any, Mapping[str, Any]] = {
            identity: numbers
            for identity, verdict, numbers in session.execute(stored)
            if verdict is Verdict.PASSED and identity not in fresh
        }
    metrics |= {key: p.metrics for key, p in fresh.items() if p.verdict is Verdict.PASSED}
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for identity in sorted(metrics.keys() & exposures.keys(), key=str):
        row = exposures[identity]
        if metrics[identity].get("judged", {}).get("n_injected"):
            groups[row.tile, row.filter_band].append((row.night, metrics[identity]))
    return tuple(_pooled(key, members) for key, members in sorted(groups.items()))


def _pooled(key: tuple[str, str], members: list[Any]) -> PooledCompleteness:
    judged = pooled(bins_of({"bins": [numbers["judged"]]}) for _, numbers in members)
    return PooledCompleteness(
        tile=key[0],
        filter_band=key[1],
        n_exposures=len(members),
        n_nights=len({night for night, _ in members}),
        bins=pooled(bins_of(numbers) for _, numbers in members),
        judged=max(judged, key=lambda one: one.n_exposures),
    )
