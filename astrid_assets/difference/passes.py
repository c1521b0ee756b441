"""The compiled passes of ZOGY over one tile: images in, spectra combined, maps out.

Two real maps travel as the real and the imaginary part of one complex tile, so that four complex
transforms do the work of eight real ones. Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

_BRIGHT_SIGMA = np.float32(3)
_MIN_NEIGHBOURS = 3
_LOST_LIGHT = np.float32(3)  # of a saturated core, in units of its counts: what its error allows
_LEAST_SHARE = np.float32(0.05)
_CHUNK = 64


@njit(cache=True, nogil=True, error_model="numpy")
def load(
    science, reference, var_n, var_r, bad_n, bad_r, full_r, top, left, scale_n, scale_r, f_r,
    counts, noise,
):  # fmt: skip
    """Fill the tiles `counts` and `noise` from (top, left): n + i r, in units of the sky noise.

    0 beyond the image. A pixel without a measurement gets variance 0, since its value adds no
    noise, and a value that keeps the static sky from leaving a hole.
    """
    ny, nx = science.shape
    ty, tx = counts.shape
    first, stop = max(left, 0), min(left + tx, nx)
    square_n, square_r = scale_n * scale_n, scale_r * scale_r
    for j in range(ty):
        y = top + j
        if y < 0 or y >= ny:
            counts[j] = 0
            noise[j] = 0
            continue
        counts[j, : first - left] = 0
        noise[j, : first - left] = 0
        counts[j, stop - left :] = 0
        noise[j, stop - left :] = 0
        inner = slice(first - left, stop - left)
        _paired(
            science[y, first:stop], reference[y, first:stop], scale_n, scale_r, counts[j, inner]
        )
        _paired(var_n[y, first:stop], var_r[y, first:stop], square_n, square_r, noise[j, inner])
        for start in range(first, stop, _CHUNK):
            end = min(start + _CHUNK, stop)
            if not (_has_any(bad_n[y, start:end]) or _has_any(bad_r[y, start:end])):
                continue
            for x in range(start, end):
                if bad_n[y, x] or bad_r[y, x]:
                    n, r, v_n, v_r, _, _ = _filled(
                        science, reference, var_n, var_r, bad_n, bad_r, full_r, y, x, f_r
                    )
                    counts[j, x - left] = complex(n * scale_n, r * scale_r)
                    noise[j, x - left] = complex(v_n * square_n, v_r * square_r)


@njit(cache=True, nogil=True)
def _paired(a, b, scale_a, scale_b, out):
    for x in range(a.size):
        out[x] = complex(a[x] * scale_a, b[x] * scale_b)


@njit(cache=True, nogil=True)
def _has_any(flags):
    found = np.uint8(0)
    for x in range(flags.size):
        found |= np.uint8(flags[x])
    return found != 0


@njit(cache=True, nogil=True, error_model="numpy")
def _filled(science, reference, var_n, var_r, bad_n, bad_r, full_r, y, x, f_r):
    """Return n, r, their variances, and their counts of a source taken from the other image.

    Of a pixel unusable in one image or both. A science pixel takes the scaled reference where that
    shows a source, else 0. A reference pixel takes the mean of its good neighbours, but the scaled
    science pixel (if that shows a source) where there are none, or where it is saturated and they
    show a source, too: a star is one in both images, while a defect may lie across what is new.
    Where both are unusable, both hold 0; a core that is saturated in both keeps its counts, on one
    scale: a hole would be seen by each PSF in its own way. How much light is above these counts
    nobody knows.
    """
    ny, nx = science.shape
    zero = np.float32(0)
    if bad_n[y, x] and bad_r[y, x]:
        if not full_r[y, x]:
            return zero, zero, zero, zero, zero, zero
        n = max(science[y, x], zero)
        return n, n * f_r, zero, zero, zero, _LOST_LIGHT * n * f_r
    if bad_n[y, x]:
        r, v_r = reference[y, x], var_r[y, x]
        if r > _BRIGHT_SIGMA * np.sqrt(v_r):
            return r / f_r, r, v_r / (f_r * f_r), v_r, r / f_r, zero
        return zero, r, zero, v_r, zero, zero
    n, v_n = science[y, x], var_n[y, x]
    light, noise, count = zero, zero, 0
    for v in range(max(y - 1, 0), min(y + 2, ny)):
        for u in range(max(x - 1, 0), min(x + 2, nx)):
            if not bad_r[v, u]:
                light += reference[v, u]
                noise += var_r[v, u]
                count += 1
    is_known = count >= _MIN_NEIGHBOURS
    if is_known:
        light, noise = light / np.float32(count), noise / np.float32(count)
    is_star = full_r[y, x] and light > _BRIGHT_SIGMA * np.sqrt(noise)
    if (is_star or not is_known) and n > _BRIGHT_SIGMA * np.sqrt(v_n):
        return n, n * f_r, v_n, v_n * f_r * f_r, zero, n * f_r
    return n, light if is_known else zero, v_n, zero, zero, zero


@njit(cache=True, nogil=True, error_model="numpy")
def filled_error(
    out, science, reference, var_n, var_r, bad_n, bad_r, full_r, top, left, f_r,
    squared_n, squared_r,
):  # fmt: skip
    """Fill `out`: per pixel from (top, left) on, the variance of S that filled pixels make.

    squared_n, squared_r: float32 stamps of odd edge, the filters squared (eqs. 26, 29) times the
    square of the fraction by which counts of the other image are wrong. Summed pixel by pixel: a
    star's core squared is beyond what a transform in single precision leaves beside the sky.
    """
    ny, nx = science.shape
    rows, columns = out.shape
    reach = max(squared_n.shape[0], squared_r.shape[0]) // 2
    out[:] = 0
    for y in range(max(top - reach, 0), min(top + rows + reach, ny)):
        last = min(left + columns + reach, nx)
        for start in range(max(left - reach, 0), last, _CHUNK):
            end = min(start + _CHUNK, last)
            if not (_has_any(bad_n[y, start:end]) or _has_any(bad_r[y, start:end])):
                continue
            for x in range(start, end):
                if not (bad_n[y, x] or bad_r[y, x]):
                    continue
                _, _, _, _, from_r, from_n = _filled(
                    science, reference, var_n, var_r, bad_n, bad_r, full_r, y, x, f_r
                )
                if from_r > 0:
                    _add_around(out, y - top, x - left, from_r * from_r, squared_n)
                if from_n > 0:
                    _add_around(out, y - top, x - left, from_n * from_n, squared_r)


@njit(cache=True, nogil=True)
def _add_around(out, y, x, factor, stamp):
    """Add `factor` times `stamp`, centred on (y, x), where that lies on `out`."""
    half = stamp.shape[0] // 2
    first, stop = max(x - half, 0), min(x + half + 1, out.shape[1])
    for v in range(max(y - half, 0), min(y + half + 1, out.shape[0])):
        row, values = out[v], stamp[v - y + half]
        for u in range(first, stop):
            row[u] += factor * values[u - x + half]


@njit(cache=True, nogil=True, fastmath=True)
def combine(counts, noise, weights):
    """Turn, in place, the spectra of n + i r into those of S_n + i S_r and of D + i V(S)."""
    ty, tx = counts.shape
    half = np.float32(0.5)
    for y in range(ty):
        other = (ty - y) % ty
        front, back, front_noise, back_noise = counts[y], counts[other], noise[y], noise[other]
        a_n, a_r, b_n = weights[y, 0], weights[y, 1], weights[y, 2]
        b_r, w_n, w_r = weights[y, 3], weights[y, 4], weights[y, 5]
        for x in range(tx // 2 + 1):
            if (x == 0 or 2 * x == tx) and other < y:
                continue
            mirror = np.uintp(tx - x) if x > 0 else np.uintp(0)
            z, m = half * front[x], half * back[mirror].conjugate()
            n, r = z + m, z - m
            r = complex(r.imag, -r.real)
            z, m = half * front_noise[x], half * back_noise[mirror].conjugate()
            v_n, v_r = z + m, z - m
            v_r = complex(v_r.imag, -v_r.real)
            s_n, s_r = n * a_n[x], r * a_r[x]
            d = n * b_n[x] + r * b_r[x]
            v = v_n * w_n[x] + v_r * w_r[x]
            front[x] = complex(s_n.real - s_r.imag, s_n.imag + s_r.real)
            front_noise[x] = complex(d.real - v.imag, d.imag + v.real)
            back[mirror] = complex(s_n.real + s_r.imag, s_r.real - s_n.imag)
            back_noise[mirror] = complex(d.real + v.imag, v.real - d.imag)


@njit(cache=True, nogil=True)
def lost_share(lost, unusable, top, left, kept_y, kept_x, footprint):
    """Fill `lost`: per pixel from (top, left) on, the weight of a source's flux that is lost.

    footprint: float32 (n, n), n odd, sum 1. kept_y, kept_x: share of it inside the image, by
    position on each axis.
    """
    ny, nx = unusable.shape
    rows, columns = lost.shape
    half = footprint.shape[0] // 2
    one = np.float32(1)
    for j in range(rows):
        for i in range(columns):
            lost[j, i] = one - kept_y[top + j] * kept_x[left + i]
    for y in range(max(top - half, 0), min(top + rows + half, ny)):
        last = min(left + columns + half, nx)
        for start in range(max(left - half, 0), last, _CHUNK):
            end = min(start + _CHUNK, last)
            if not _has_any(unusable[y, start:end]):
                continue
            for x in range(start, end):
                if not unusable[y, x]:
                    continue
                for v in range(max(y - half, top), min(y + half + 1, top + rows)):
                    for u in range(max(x - half, left), min(x + half + 1, left + columns)):
                        lost[v - top, u - left] += footprint[y - v + half, x - u + half]


@njit(cache=True, nogil=True, error_model="numpy")
def store(
    counts, noise, lost, filled, var_n, var_r, top, left, skip_y, skip_x,
    f_s, f_d, f_r, inverse_noise, ast_x, ast_y, psf2, least,
    difference, difference_variance, significance, corrected, flux, flux_error, fraction,
    score, score_variance,
):  # fmt: skip
    """Write the maps of `Zogy`, in its order, for the pixels of `lost` (eqs. 17, 25-33, 41-43).

    The pixel (top, left) of the image is pixel (skip_y, skip_x) of the tiles. filled: see
    `filled_error`.
    """
    ny, nx = var_n.shape
    rows, columns = lost.shape
    right = left + columns
    one, zero = np.float32(1), np.float32(0)
    inverse_ratio2 = one / (f_r * f_r)
    # One by one: rows unpacked from one array have an unknown stride and no vector code.
    variance, total = np.empty(columns, np.float32), np.empty(columns, np.float32)
    weight = np.empty(columns, np.float32)
    wide_n, wide_r = np.empty(columns + 2, np.float32), np.empty(columns + 2, np.float32)
    s_n, s_r = wide_n[1:-1], wide_r[1:-1]
    first, stop = max(skip_x - 1, 0), skip_x + columns + 1
    for j in range(rows):
        y, here = top + j, skip_y + j
        above, below = here + (y + 1 < ny), here - (y > 0)
        _real(counts[here, first:stop], wide_n[first + 1 - skip_x :])
        _imaginary(counts[here, first:stop], wide_r[first + 1 - skip_x :])
        for wide in (wide_n, wide_r):
            if left == 0:
                wide[0] = wide[1]
            if right == nx:
                wide[-1] = wide[-2]
        _real(noise[here, skip_x : skip_x + columns], total)
        _scaled(total, one / f_d, difference[y, left:right])
        _imaginary(noise[here, skip_x : skip_x + columns], variance)
        for i in range(columns):
            dx, other = wide_n[i + 2] - wide_n[i], wide_r[i + 2] - wide_r[i]
            total[i] = ast_x * (dx * dx + other * other)
        _slopes(counts[above, skip_x:stop], counts[below, skip_x:stop], ast_y, total)
        for i in range(columns):
            common = max(min(s_n[i], s_r[i]), zero)
            total[i] += max(variance[i] * f_s, zero) + psf2 * common * common + filled[j, i]
        _corrected(s_n, s_r, total, lost[j], least, corrected[y, left:right])
        for i in range(columns):
            weight[i] = one / (f_s * max(one - lost[j, i], _LEAST_SHARE))
        _flux(s_n, s_r, weight, flux[y, left:right])
        _flux_error(total, weight, _LEAST_SHARE * f_s, flux_error[y, left:right])
        _scaled(s_r, inverse_noise, significance[y, left:right])
        _sum(var_n[y, left:right], var_r[y, left:right], inverse_ratio2,
             difference_variance[y, left:right])  # fmt: skip
        if score.size:
            for i in range(columns):
                score[y, left + i] = s_n[i] - s_r[i]
                score_variance[y, left + i] = total[i]
                fraction[y, left + i] = max(one - lost[j, i], zero)


@njit(cache=True, nogil=True)
def _slopes(above, below, factor, out):
    """Add the variance that a displacement along y makes (eqs. 31-33)."""
    for i in range(out.size):
        slope = above[i] - below[i]
        out[i] += factor * (slope.real * slope.real + slope.imag * slope.imag)


@njit(cache=True, nogil=True)
def _real(row, out):
    for i in range(min(row.size, out.size)):
        out[i] = row[i].real


@njit(cache=True, nogil=True)
def _imaginary(row, out):
    for i in range(min(row.size, out.size)):
        out[i] = row[i].imag


@njit(cache=True, nogil=True, error_model="numpy")
def _corrected(s_n, s_r, total, lost, least, out):
    zero, most = np.float32(0), np.float32(1) - least
    for i in range(out.size):
        value = (s_n[i] - s_r[i]) / np.sqrt(total[i])
        out[i] = value if lost[i] <= most and total[i] > zero else zero


@njit(cache=True, nogil=True)
def _flux(s_n, s_r, weight, out):
    for i in range(out.size):
        out[i] = (s_n[i] - s_r[i]) * weight[i]


@njit(cache=True, nogil=True)
def _flux_error(variance, weight, least, out):
    for i in range(out.size):
        out[i] = np.sqrt(max(variance[i], least)) * weight[i]


@njit(cache=True, nogil=True)
def _scaled(values, factor, out):
    for i in range(out.size):
        out[i] = values[i] * factor


@njit(cache=True, nogil=True)
def _sum(first, second, factor, out):
    for i in range(out.size):
        out[i] = first[i] + second[i] * factor
