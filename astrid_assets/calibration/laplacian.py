"""L.A.Cosmic in one pass, compiled: the costly parts are done only where a cheap test lets them.

Every pixel is asked for its Laplacian over noise. The medians of the method, separable and of the
widths that astroscrappy gives separable ones, are taken only at the few pixels that pass; growing
and the star test walk from hit to hit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SMALLEST_STRUCTURE = 0.01
NOISE_RADIUS, LAPLACIAN_RADIUS, FINE_RADIUS, COARSE_RADIUS = 3, 3, 2, 4
SEED, CORE, HIT, SEEN = 1, 2, 3, 4


@njit(cache=True, nogil=True, fastmath=True)
def above_noise(data, variance, limit, first, stop, out):  # type: ignore[no-untyped-def]
    """Where the Laplacian of rows first to stop may exceed 2 `limit` noise, into bool `out`.

    The image doubled, its Laplacian cut at zero and halved again has a closed form: the mean of
    max(0, 2 c - v - h) over the four pairs of a vertical and a horizontal neighbour. The noise is
    the least of the 3 x 3 pixels: a hit's own counts are no reason to miss it.
    """
    ny, nx = data.shape
    zero = np.float32(0)
    least = np.float32(64 * limit * limit)
    wide, noise2 = np.empty(nx + 2, np.float32), np.empty(nx + 2, np.float32)
    for y in range(first, stop):
        top, bottom = max(y - 1, 0), min(y + 1, ny - 1)
        wide[1 : nx + 1] = data[y]
        wide[0], wide[nx + 1] = data[y, 0], data[y, nx - 1]
        above, below = data[top], data[bottom]
        low, middle, high, inner = variance[top], variance[y], variance[bottom], noise2[1:]
        for x in range(nx):
            inner[x] = min(min(low[x], middle[x]), high[x])
        noise2[0], noise2[nx + 1] = noise2[1], noise2[nx]
        left, centre, right = wide[:nx], wide[1 : nx + 1], wide[2:]
        before, here, after, row = noise2[:nx], noise2[1 : nx + 1], noise2[2:], out[y]
        for x in range(nx):
            twice = 2 * centre[x]
            a, b = twice - above[x], twice - below[x]
            total = max(a - left[x], zero) + max(a - right[x], zero)
            total += max(b - left[x], zero) + max(b - right[x], zero)
            row[x] = total * total > least * min(min(before[x], here[x]), after[x])


@njit(cache=True, nogil=True)
def _value(data, unusable, y, x, centre):  # type: ignore[no-untyped-def]
    """The neighbour's value; beyond the edge or unusable it equals the centre's."""
    ny, nx = data.shape
    if y < 0 or x < 0 or y >= ny or x >= nx or unusable[y, x]:
        return centre
    return data[y, x]


@njit(cache=True, nogil=True)
def _laplacian(data, unusable, y, x):  # type: ignore[no-untyped-def]
    """Positive Laplacian of the doubled image, over its factor 2, at one pixel."""
    c = data[y, x]
    a = 2 * c - _value(data, unusable, y - 1, x, c)
    b = 2 * c - _value(data, unusable, y + 1, x, c)
    left = _value(data, unusable, y, x - 1, c)
    right = _value(data, unusable, y, x + 1, c)
    total = max(a - left, 0) + max(a - right, 0) + max(b - left, 0) + max(b - right, 0)
    return total / 8


@njit(cache=True, nogil=True)
def _median(values, n):  # type: ignore[no-untyped-def]
    """Median of the first n of a short buffer, which is sorted in place."""
    for i in range(1, n):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


@njit(cache=True, nogil=True)
def _box_median(data, unusable, y, x, radius, is_laplacian):  # type: ignore[no-untyped-def]
    """Median of the row medians of a box around a usable pixel, of `data` or its Laplacian."""
    ny, nx = data.shape
    rows, line = np.empty(2 * radius + 1), np.empty(2 * radius + 1)
    n_rows = 0
    for j in range(max(y - radius, 0), min(y + radius + 1, ny)):
        n = 0
        for i in range(max(x - radius, 0), min(x + radius + 1, nx)):
            if not unusable[j, i]:
                line[n] = _laplacian(data, unusable, j, i) if is_laplacian else data[j, i]
                n += 1
        if n:
            rows[n_rows] = _median(line, n)
            n_rows += 1
    return _median(rows, n_rows)


@njit(cache=True, nogil=True)
def _excess(data, variance, unusable, y, x, least):  # type: ignore[no-untyped-def]
    """Laplacian less its median around, and the noise; the median is left out below `least`.

    The noise is that of the median variance around: a hit's own counts are not noise.
    """
    noise = np.sqrt(_box_median(variance, unusable, y, x, NOISE_RADIUS, False))
    excess = _laplacian(data, unusable, y, x)
    if excess > least * noise:
        excess -= _box_median(data, unusable, y, x, LAPLACIAN_RADIUS, True)
    return excess, noise


@njit(cache=True, nogil=True)
def seeds(ys, xs, data, variance, unusable, threshold, contrast, first, stop, out):  # type: ignore[no-untyped-def]
    """Which of the candidates first to stop begin a hit, into bool `out`.

    A seed exceeds `threshold` noise and `contrast` times the fine structure (5 x 5 less 9 x 9
    median).
    """
    for k in range(first, stop):
        y, x = ys[k], xs[k]
        out[k] = False
        if unusable[y, x]:
            continue
        excess, noise = _excess(data, variance, unusable, y, x, threshold)
        if excess <= threshold * noise:
            continue
        structure = _box_median(data, unusable, y, x, FINE_RADIUS, False)
        structure -= _box_median(data, unusable, y, x, COARSE_RADIUS, False)
        out[k] = excess > contrast * max(structure, SMALLEST_STRUCTURE * noise)


@njit(cache=True, nogil=True)
def hits_around(ys, xs, data, variance, unusable, threshold, fraction):  # type: ignore[no-untyped-def]
    """uint8 map, HIT where a cosmic ray hit, and those pixels: the seeds (ys, xs), and growth.

    Neighbours join above the threshold, and then above `fraction` of it.
    """
    ny, nx = data.shape
    state = np.zeros((ny, nx), np.uint8)
    found = np.empty((9 * ys.size + 1, 2), np.int32)
    n = ys.size
    for k in range(n):
        state[ys[k], xs[k]] = SEED
        found[k, 0], found[k, 1] = ys[k], xs[k]
    for level, limit in ((CORE, threshold), (HIT, fraction * threshold)):
        last = n
        for k in range(last):
            for y in range(max(found[k, 0] - 1, 0), min(found[k, 0] + 2, ny)):
                for x in range(max(found[k, 1] - 1, 0), min(found[k, 1] + 2, nx)):
                    if state[y, x] != 0 or unusable[y, x]:
                        continue
                    excess, noise = _excess(data, variance, unusable, y, x, limit)
                    if excess > limit * noise:
                        state[y, x] = level
                        if n == found.shape[0]:
                            found = np.concatenate((found, np.empty_like(found)))
                        found[n, 0], found[n, 1] = y, x
                        n += 1
    for k in range(n):
        state[found[k, 0], found[k, 1]] = HIT
    return state, found[:n]


@njit(cache=True, nogil=True)
def take_back_stars(state, found, data, variance, unusable, falls, ratio):  # type: ignore[no-untyped-def]
    """Set `state` to 0 where a connected group of hits peaks no more sharply than a star.

    falls: what the PSF leaves of its peak one pixel along x and y, and along the diagonals; a star
    has `ratio` of that along all four axes.
    """
    ny, nx = data.shape
    group = np.empty((found.shape[0], 2), np.int32)
    for k in range(found.shape[0]):
        if state[found[k, 0], found[k, 1]] != HIT:
            continue
        group[0] = found[k]
        state[found[k, 0], found[k, 1]] = SEEN
        n, done, best = 1, 0, 0
        while done < n:
            y0, x0 = group[done, 0], group[done, 1]
            if data[y0, x0] > data[group[best, 0], group[best, 1]]:
                best = done
            done += 1
            for y in range(max(y0 - 1, 0), min(y0 + 2, ny)):
                for x in range(max(x0 - 1, 0), min(x0 + 2, nx)):
                    if state[y, x] == HIT:
                        state[y, x] = SEEN
                        group[n, 0], group[n, 1] = y, x
                        n += 1
        y, x = group[best, 0], group[best, 1]
        peak, noise = data[y, x], np.sqrt(variance[y, x])
        is_star = peak > 0
        for dy, dx, fall in (
            (0, 1, falls[0]),
            (1, 0, falls[0]),
            (1, 1, falls[1]),
            (1, -1, falls[1]),
        ):
            pair = _value(data, unusable, y + dy, x + dx, peak)
            pair += _value(data, unusable, y - dy, x - dx, peak)
            is_star = is_star and pair / 2 + noise >= ratio * fall * peak
        if is_star:
            for m in range(n):
                state[group[m, 0], group[m, 1]] = 0
