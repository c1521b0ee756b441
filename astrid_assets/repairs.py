"""In which order withdrawn products are made again: nights that references need come first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astrid_resources.integrity import Rerun

_BEFORE_REFERENCES = frozenset({"raw_exposures", "calibrated_exposures"})

NightAndTile = tuple[str, str]


@dataclass(frozen=True)
class Plan:
    """What to run: nights whose exposures a reference may need, references, nights; and the rest.

    first and nights: (night, tile). A night of `first` is among `nights` too: the reference that
    is made in between may change it. others: what no job of a night or a tile makes.
    """

    first: tuple[NightAndTile, ...]
    tiles: tuple[str, ...]
    nights: tuple[NightAndTile, ...]
    others: tuple[Rerun, ...]

    @property
    def next_nights(self) -> tuple[NightAndTile, ...]:
        """The nights that wait for no reference."""
        waiting = set(self.tiles)
        return tuple(key for key in self.nights if key in set(self.first) or key[1] not in waiting)

    @property
    def next_tiles(self) -> tuple[str, ...]:
        """The tiles whose reference waits for no night."""
        waiting = {tile for _, tile in self.first}
        return tuple(tile for tile in self.tiles if tile not in waiting)


def planned(reruns: Iterable[Rerun]) -> Plan:
    """Return the order in which partitions are to be run again."""
    wanted = sorted(reruns)
    nights: dict[NightAndTile, set[str]] = {}
    for item in wanted:
        if item.night and item.tile:
            nights.setdefault((item.night, item.tile), set()).add(item.asset)
    tiles = sorted({item.tile for item in wanted if item.tile and not item.night})
    first = [key for key, assets in nights.items() if tiles and assets & _BEFORE_REFERENCES]
    others = [item for item in wanted if not item.tile]
    return Plan(tuple(first), tuple(tiles), tuple(nights), tuple(others))
