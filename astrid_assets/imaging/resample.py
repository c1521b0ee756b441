"""Resampling an image onto another WCS: flux-preserving, with variance, masks and PSF.

The WCS is evaluated on a sparse grid and interpolated by cubic convolution, pixels by six taps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.wcs import NoConvergence
from numba import njit
from numpy.typing import NDArray

from astrid_assets.imaging.kernel import PHASES, weight_table
from astrid_assets.imaging.resample_psf import resampled_psf
from astrid_assets.imaging.threads import over_rows
from astrid_resources.images import Image, MaskPlane, plane_bits
from astrid_resources.images.masks import UNUSABLE

GRID_STEP_PIX = 32
Shift = float | Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""A shift in pixels: the same everywhere, or a function of output pixel positions (x, y)."""
_TOLERANCE_PIX = 1e-7


def resample(
    image: Image, *, wcs: WCS, shape: tuple[int, int], shift_pix: tuple[Shift, Shift] = (0.0, 0.0)
) -> Image:
    """Return `image` on the grid of `wcs` with `shape` (ny, nx), surface brightness times area.

    shift_pix: (x, y) in pixels of `image`, added to the positions at which it is read: what
        must be added where its own WCS is off; a function must be smooth over 32 pixels.
    The flux of sources is preserved (pixel-area Jacobian J). Variance follows the weights w, not
    w^2, times J: the noise power at PSF scale is what stays unchanged. Unusable pixels set their
    plane on every output pixel whose central 4 x 4 taps hold one; around these the central taps
    alone are read (six without the unusable ones would lean to one side, by a third on the slope
    of a saturated star). Outside the input NO_DATA is set, data are 0 and the variance is the
    median variance.
    """
    positions = grid_positions(image.wcs, wcs, shape, shift_pix=shift_pix)
    bits = np.uint32(plane_bits(*UNUSABLE))
    core, near, unusable = _near_unusable(image.mask, bits)
    keep = ~bits
    fill = float(np.median(image.variance[::7, ::7])) if image.variance.size else 0.0
    data = np.empty(shape, np.float32)
    variance = np.empty(shape, np.float32)
    mask = np.empty(shape, np.uint32)
    tables = weight_table(), weight_table(inner=True)

    def band(first: int, stop: int) -> None:
        _resample_rows(
            image.data, image.variance, image.mask, unusable, near, core, positions, *tables,
            np.float32(fill), keep, np.uint32(MaskPlane.NO_DATA.flag), first, stop,
            data, variance, mask,
        )  # fmt: skip

    over_rows(band, shape[0])
    psf = None if image.psf is None else resampled_psf(image.psf, positions, GRID_STEP_PIX, shape)
    return Image(data, variance, mask, wcs, image.meta, psf=psf, header=image.header)


def grid_positions(
    wcs_in: WCS, wcs_out: WCS, shape: tuple[int, int], *, shift_pix: tuple[Shift, Shift]
) -> NDArray[np.float64]:
    """Return input positions (x, y) at the nodes of a sparse grid over the output: (2, my, mx).

    Node (j, i) belongs to the output pixel ((i - 1) * 32, (j - 1) * 32); one node stands beyond
    each edge. Nodes that the input WCS cannot reach are NaN.
    """
    nodes = [(np.arange((n - 1) // GRID_STEP_PIX + 4) - 1.0) * GRID_STEP_PIX for n in shape]
    y, x = np.meshgrid(*nodes, indexing="ij")
    ra, dec = wcs_out.all_pix2world(x.ravel(), y.ravel(), 0)
    u, v = world_to_pixel(wcs_in, ra, dec)
    places = (u.reshape(x.shape), v.reshape(x.shape))
    shifts = (shift(x, y) if callable(shift) else shift for shift in shift_pix)
    return np.stack([place + shift for place, shift in zip(places, shifts, strict=True)])


def world_to_pixel(
    wcs: WCS, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 0-based pixel positions (x, y) of `ra`, `dec` in degrees, NaN where unreachable.

    SIP and TPV distortions are inverted to 1e-7 pixels.
    """
    x = np.full(np.shape(ra), np.nan)
    y = x.copy()
    ok = np.isfinite(ra) & np.isfinite(dec)
    if not ok.any():
        return x, y
    try:
        x[ok], y[ok] = wcs.all_world2pix(ra[ok], dec[ok], 0, tolerance=_TOLERANCE_PIX, maxiter=60)
    except NoConvergence as failure:
        solution = failure.best_solution.copy()
        for bad in (failure.divergent, failure.slow_conv):
            if bad is not None:
                solution[bad] = np.nan
        x[ok], y[ok] = solution.T
    return x, y


def _near_unusable(
    mask: NDArray[np.uint32], bits: np.uint32
) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.uint8]]:
    """Return what the taps around floor(position) meet: three maps like `mask`.

    The OR of `bits` over the central 4 x 4 taps; whether any of the 6 x 6 taps has one; the pixel
    itself.
    """
    core = np.empty(mask.shape, np.uint32)
    near, unusable = np.empty(mask.shape, np.bool_), np.empty(mask.shape, np.uint8)
    over_rows(
        lambda first, stop: _mark_near(mask, bits, first, stop, core, near, unusable), len(mask)
    )
    return core, near, unusable


@njit(cache=True, nogil=True)
def _mark_near(mask, bits, first, stop, core, near, unusable):  # type: ignore[no-untyped-def]
    ny, nx = mask.shape
    core[first:stop] = 0
    near[first:stop] = False
    unusable[first:stop] = 0
    for y in range(max(0, first - 2), min(ny, stop + 3)):
        for x in range(nx):
            value = mask[y, x] & bits
            if not value:
                continue
            if first <= y < stop:
                unusable[y, x] = 1
            for v in range(max(first, y - 3), min(stop, y + 3)):
                for u in range(max(0, x - 3), min(nx, x + 3)):
                    near[v, u] = True
                    if y - 2 <= v <= y + 1 and x - 2 <= u <= x + 1:
                        core[v, u] |= value


@njit(cache=True, nogil=True, inline="always")
def _cubic(t, weights, slopes):  # type: ignore[no-untyped-def]
    """Catmull-Rom weights at t in [0, 1) and their derivatives (Keys 1981)."""
    weights[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    weights[1] = (1.5 * t - 2.5) * t * t + 1.0
    weights[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    weights[3] = (0.5 * t - 0.5) * t * t
    slopes[0] = (-1.5 * t + 2.0) * t - 0.5
    slopes[1] = (4.5 * t - 5.0) * t
    slopes[2] = (-4.5 * t + 4.0) * t + 0.5
    slopes[3] = (1.5 * t - 1.0) * t


@njit(cache=True, nogil=True, inline="always")
def _polynomial(values, left):  # type: ignore[no-untyped-def]
    """Coefficients of the Catmull-Rom cubic between nodes left + 1 and left + 2."""
    a, b, c, d = values[left], values[left + 1], values[left + 2], values[left + 3]
    return b, 0.5 * (c - a), a - 2.5 * b + 2.0 * c - 0.5 * d, 1.5 * (b - c) + 0.5 * (d - a)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _along_row(u_nodes, v_nodes, uy_nodes, vy_nodes, us, vs, areas):  # type: ignore[no-untyped-def]
    """Fill positions and pixel areas of one output row from its nodes."""
    step = GRID_STEP_PIX
    for left in range((us.size - 1) // step + 1):
        u0, u1, u2, u3 = _polynomial(u_nodes, left)
        v0, v1, v2, v3 = _polynomial(v_nodes, left)
        p0, p1, p2, p3 = _polynomial(uy_nodes, left)
        q0, q1, q2, q3 = _polynomial(vy_nodes, left)
        start = left * step
        for i in range(start, min(start + step, us.size)):
            t = (i - start) / step
            us[i] = ((u3 * t + u2) * t + u1) * t + u0
            vs[i] = ((v3 * t + v2) * t + v1) * t + v0
            ux, vx = (3 * u3 * t + 2 * u2) * t + u1, (3 * v3 * t + 2 * v2) * t + v1
            uy, vy = ((p3 * t + p2) * t + p1) * t + p0, ((q3 * t + q2) * t + q1) * t + q0
            areas[i] = abs(ux * vy - uy * vx) / step


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _resample_rows(  # type: ignore[no-untyped-def]
    data, variance, mask, unusable, near, core, positions, table, inner_table, fill, keep, no_data,
    first, stop, out_data, out_variance, out_mask,
):  # fmt: skip
    ny, nx = data.shape
    width = out_data.shape[1]
    n_nodes = positions.shape[2]
    row = np.empty((4, n_nodes))
    us, vs, areas = np.empty(width), np.empty(width), np.empty(width)
    c, s = np.empty(4), np.empty(4)
    step = GRID_STEP_PIX
    wx, wy = np.empty(6, np.float32), np.empty(6, np.float32)
    for j in range(first, stop):
        base = j // step
        _cubic((j - base * step) / step, c, s)
        for i in range(n_nodes):
            for k in range(2):
                value, slope = 0.0, 0.0
                for m in range(4):
                    value += c[m] * positions[k, base + m, i]
                    slope += s[m] * positions[k, base + m, i]
                row[k, i] = value
                row[2 + k, i] = slope / step
        _along_row(row[0], row[1], row[2], row[3], us, vs, areas)
        for i in range(width):
            u, v = us[i], vs[i]
            u0, v0 = np.floor(u + 0.5), np.floor(v + 0.5)
            exact = abs(u - u0) < 1e-5 and abs(v - v0) < 1e-5
            if exact:
                u, v = u0, v0
            inside = u >= 1.0 and v >= 1.0 and u < nx - 2 and v < ny - 2
            if not inside and not (exact and u >= 0 and v >= 0 and u < nx and v < ny):
                out_data[j, i] = 0.0
                out_variance[j, i] = fill
                out_mask[j, i] = no_data
                continue
            area = areas[i]
            x0, y0 = int(np.floor(u)), int(np.floor(v))
            px, py = (u - x0) * PHASES, (v - y0) * PHASES
            kx, ky = min(int(px), PHASES - 1), min(int(py), PHASES - 1)
            fx, fy = np.float32(px - kx), np.float32(py - ky)
            total, power = np.float32(0.0), np.float32(0.0)
            whole = x0 >= 2 and y0 >= 2 and x0 + 3 < nx and y0 + 3 < ny and not near[y0, x0]
            used = table if whole or not inside or core[y0, x0] else inner_table
            for m in range(6):
                wx[m] = used[kx, m] + fx * (used[kx + 1, m] - used[kx, m])
                wy[m] = used[ky, m] + fy * (used[ky + 1, m] - used[ky, m])
            if whole:
                for n in range(6):
                    d, q = np.float32(0.0), np.float32(0.0)
                    for m in range(6):
                        d += wx[m] * data[y0 - 2 + n, x0 - 2 + m]
                        q += wx[m] * variance[y0 - 2 + n, x0 - 2 + m]
                    total += wy[n] * d
                    power += wy[n] * q
            else:
                usable, all_d, all_q, everything = 0.0, 0.0, 0.0, 0.0
                for n in range(6):
                    y = y0 - 2 + n
                    if y < 0 or y >= ny:
                        continue
                    for m in range(6):
                        x = x0 - 2 + m
                        if x < 0 or x >= nx:
                            continue
                        w = wx[m] * wy[n]
                        all_d += w * data[y, x]
                        all_q += w * variance[y, x]
                        everything += w
                        if not unusable[y, x]:
                            total += w * data[y, x]
                            power += w * variance[y, x]
                            usable += w
                if usable > 0.3:
                    total = np.float32(total / usable)
                    power = np.float32(power / usable)
                else:
                    total = np.float32(all_d / everything)
                    power = np.float32(all_q / everything)
            xr, yr = min(x0 + 1, nx - 1), min(y0 + 1, ny - 1)
            floor = min(
                min(variance[y0, x0], variance[y0, xr]), min(variance[yr, x0], variance[yr, xr])
            )
            out_data[j, i] = total * area
            out_variance[j, i] = max(power, floor) * area
            nearest = mask[int(v0), int(u0)]
            out_mask[j, i] = nearest if exact else (nearest & keep) | core[y0, x0]
