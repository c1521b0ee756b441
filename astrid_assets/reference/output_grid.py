"""The grid of a coadd: the anchor's pixels, widened to the union of all inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from astrid_assets.imaging.resample import world_to_pixel
from astrid_resources.images import KnownFailure

_SAME_GRID_PIX = 1e-4
_EDGE_POINTS = 9
AREA_RATIO_MAX = 4.0
"""The largest coadd in units of all its inputs' pixels: a greater one has an input that is off."""


class CoaddTooLargeError(KnownFailure):
    """The union of the inputs is larger than a coadd may be."""


@dataclass(frozen=True)
class Footprint:
    """The WCS of an image and its shape (ny, nx)."""

    wcs: WCS
    shape: tuple[int, int]

    def border_sky(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return RA, Dec in degrees of points along the outer edge of the border pixels."""
        ny, nx = self.shape
        along = np.linspace(0, 1, _EDGE_POINTS)
        x = np.concatenate([along, along, 0 * along, 0 * along + 1]) * nx - 0.5
        y = np.concatenate([0 * along, 0 * along + 1, along, along]) * ny - 0.5
        return self.wcs.all_pix2world(x, y, 0)


def output_grid(
    anchor: Footprint, footprints: Sequence[Footprint], *, mpix_max: float
) -> Footprint:
    """Return the grid that holds all `footprints` with the anchor's pixel scale and orientation.

    Where all inputs are on the anchor's own grid it is that grid, so that nothing is
    interpolated. A distorted anchor is replaced by its tangent plane, since a distortion
    polynomial means nothing outside its own detector. Raises CoaddTooLargeError above `mpix_max`
    and above AREA_RATIO_MAX times the inputs' own pixels.
    """
    if all(_is_same_grid(anchor, other) for other in footprints):
        return anchor
    wcs = _tangent_plane(anchor) if anchor.wcs.has_distortion else anchor.wcs.deepcopy()
    borders = [world_to_pixel(wcs, *other.border_sky()) for other in footprints]
    x = np.concatenate([b[0] for b in borders])
    y = np.concatenate([b[1] for b in borders])
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CoaddTooLargeError("the inputs lie too far apart on the sky for one plane")
    x0, y0 = (int(np.floor(v.min() + 0.5)) for v in (x, y))
    x1, y1 = (int(np.ceil(v.max() + 0.5)) for v in (x, y))
    shape = (y1 - y0, x1 - x0)
    if shape[0] * shape[1] > mpix_max * 1e6:
        raise CoaddTooLargeError(
            f"the union of the inputs is {shape[1]} x {shape[0]} pixels, allowed are "
            f"{mpix_max:g} Mpix: choose inputs that overlap, or smaller tiles",
            shape=shape,
            mpix_max=mpix_max,
        )
    n_given = sum(ny * nx for ny, nx in (other.shape for other in footprints))
    if shape[0] * shape[1] > AREA_RATIO_MAX * n_given:
        raise CoaddTooLargeError(
            f"the union of the inputs is {shape[1]} x {shape[0]} pixels, more than "
            f"{AREA_RATIO_MAX:g} times what all {len(footprints)} inputs have: the WCS of one of "
            "them is wrong, or they hardly overlap",
            shape=shape,
            area_ratio_max=AREA_RATIO_MAX,
        )
    wcs.wcs.crpix = wcs.wcs.crpix - [x0, y0]
    wcs.pixel_shape = (shape[1], shape[0])
    wcs.wcs.set()
    return Footprint(wcs, shape)


def _is_same_grid(one: Footprint, other: Footprint) -> bool:
    if one.shape != other.shape:
        return False
    ny, nx = one.shape
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, nx, 4), np.linspace(0, ny, 4)))
    u, v = world_to_pixel(other.wcs, *one.wcs.all_pix2world(x, y, 0))
    return bool(np.hypot(u - x, v - y).max() < _SAME_GRID_PIX)


def _tangent_plane(anchor: Footprint) -> WCS:
    """Return a gnomonic WCS that agrees with the anchor's at the centre of its image."""
    ny, nx = anchor.shape
    x, y = (nx - 1) / 2, (ny - 1) / 2
    ra, dec = (float(v) for v in anchor.wcs.all_pix2world(x, y, 0))
    out = WCS(naxis=2)
    out.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    out.wcs.crval = [ra, dec]
    out.wcs.crpix = [x + 1, y + 1]
    out.wcs.cd = np.eye(2) / 3600
    out.wcs.radesys = anchor.wcs.wcs.radesys or "ICRS"
    out.wcs.set()
    near = anchor.wcs.all_pix2world([x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5], 0)
    u, v = out.all_world2pix(*near, 0)
    out.wcs.cd = np.array([[u[1] - u[0], u[3] - u[2]], [v[1] - v[0], v[3] - v[2]]]) / 3600
    out.wcs.set()
    return out
