"""Steps of the sky's noise along straight edges, as between the amplifiers of a detector.

A noise map smoothed over cells is wrong by half the step on either side of such an edge; taken out
first and put back afterwards, the step stays sharp.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
_LEAST_STEP = 0.15
_LEAST_CELLS = 8
_RUN_SHARE = 3
_LEAST_RUN = 4
_SEGMENT_SHARE = 6
_LEAST_COLUMNS = 24
_EDGES_MAX = 7


@dataclass(frozen=True)
class NoiseSteps:
    """Edges of the noise and its level between them.

    rows, columns: first row or column after each edge. factors: (len(rows) + 1,
    len(columns) + 1), noise of each rectangle over that of the image.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    factors: Floats = field(repr=False)

    def map(self, shape: tuple[int, int]) -> Floats32:
        """Return the factors at every element of an image of `shape`."""
        tall = np.diff([0, *self.rows, shape[0]])
        wide = np.diff([0, *self.columns, shape[1]])
        rows = np.repeat(self.factors.astype(np.float32), tall, axis=0)
        return np.repeat(rows, wide, axis=1)


def find_noise_steps(
    values: Floats32, sky: Bools, scatters: Floats, edges: tuple[NDArray[np.int64], ...]
) -> NoiseSteps | None:
    """Return where the noise of `values` [y, x] steps by 15 % or more, None where nowhere.

    scatters: of the cells whose row and column edges are `edges`; NaN where there is none. A step
    must run along a third of the image at least; where cells two apart differ by it, the columns
    (or rows) between them tell whether it is one, and where it stands.
    """
    if min(scatters.shape) < _LEAST_CELLS:
        return None
    logs = np.log(np.where(scatters > 0, scatters, np.nan))
    columns = _edges(values, sky, logs, edges[0], edges[1])
    rows = _edges(values.T, sky.T, logs.T, edges[1], edges[0])
    if not (rows or columns):
        return None
    factors = np.ones((len(rows) + 1, len(columns) + 1))
    middle = float(np.nanmedian(scatters))
    over, across = ([0, *found, n] for found, n in zip((rows, columns), values.shape, strict=True))
    for j in range(len(over) - 1):
        inside_y = (edges[0][:-1] >= over[j]) & (edges[0][1:] <= over[j + 1])
        for i in range(len(across) - 1):
            inside_x = (edges[1][:-1] >= across[i]) & (edges[1][1:] <= across[i + 1])
            own = scatters[np.ix_(inside_y, inside_x)]
            if np.isfinite(own).any():
                factors[j, i] = float(np.nanmedian(own)) / middle
    return NoiseSteps(tuple(rows), tuple(columns), factors)


def _edges(
    values: Floats32,
    sky: Bools,
    logs: Floats,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> list[int]:
    """Columns at which the noise steps, increasing; a bump of one cell (a trail) is no step."""
    change = np.nan_to_num(logs[:, 2:] - logs[:, :-2])
    run = max(_LEAST_RUN, len(logs) // _RUN_SHARE)
    typical = np.median(np.lib.stride_tricks.sliding_window_view(change, run, axis=0), axis=-1)
    found: list[int] = []
    for _ in range(_EDGES_MAX):
        first, cell = (int(i) for i in np.unravel_index(np.abs(typical).argmax(), typical.shape))
        size = float(typical[first, cell])
        if abs(size) < _LEAST_STEP:
            break
        along = slice(first, first + run)
        right, left = min(cell + 3, logs.shape[1] - 1), max(cell - 1, 0)
        wider = float(np.median(np.nan_to_num(logs[along, right] - logs[along, left])))
        part = np.s_[rows[first] : rows[first + run], columns[cell] : columns[cell + 3]]
        place = _sharp_edge(values[part], sky[part]) if wider / size > 0.5 else None
        if place is not None:
            found.append(int(columns[cell]) + place)
        typical[:, max(cell - 2, 0) : cell + 3] = 0
    return sorted(set(found))


def _sharp_edge(values: Floats32, sky: Bools) -> int | None:
    """Where the scatter of columns steps by 15 % or more; None where it does not, or rather drifts.

    A step leaves less of the logarithms of the scatters than a straight line.
    """
    noise = np.full(values.shape[1], np.nan)
    for i in range(values.shape[1]):
        column = values[:, i][sky[:, i]]
        if column.size >= values.shape[0] // 4:
            noise[i] = np.median(np.abs(column - np.median(column)))
    known = np.flatnonzero(noise > 0)
    n = known.size
    if n < _LEAST_COLUMNS:
        return None
    logs = np.log(noise[known])
    logs -= logs.mean()
    cuts = np.arange(n // _SEGMENT_SHARE, n - n // _SEGMENT_SHARE)
    before = np.cumsum(logs)[cuts - 1]
    taken = before**2 * n / (cuts * (n - cuts))
    best = int(np.argmax(taken))
    step = before[best] * n / (cuts[best] * (n - cuts[best]))
    place = known - known.mean()
    by_line = np.sum(place * logs) ** 2 / np.sum(place**2)
    is_step = abs(step) > _LEAST_STEP and taken[best] > by_line
    return int(known[cuts[best]]) if is_step else None
