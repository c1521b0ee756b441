"""Whether the WCS of an exposure can be trusted to subtract with.

Only its own consistency is judged here; agreement with a star catalogue is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS, NoConvergence
from numpy.typing import NDArray

from astrid_assets.imaging.sphere import unit_vectors
from astrid_resources.images import KnownFailure

_ARCSEC = 3600.0
_GRID = 5


class WCSSanityError(KnownFailure):
    """The WCS is missing, not celestial, not finite, or absurd."""


@dataclass(frozen=True)
class WCSSettings:
    """What a sane WCS looks like.

    pixel_scale_min_arcsec, pixel_scale_max_arcsec: allowed pixel scales.
    stretch_max: greatest ratio of the longest to the shortest side of a pixel on the sky.
    scale_variation_max: greatest relative range of the pixel scale over the field.
    round_trip_max_pix: pixel to sky and back must close within this.
    """

    pixel_scale_min_arcsec: float = 0.005
    pixel_scale_max_arcsec: float = 120.0
    stretch_max: float = 1.5
    scale_variation_max: float = 0.25
    round_trip_max_pix: float = 0.05


DEFAULTS = WCSSettings()


@dataclass(frozen=True)
class WCSSanity:
    """The numbers of a WCS that passed.

    ra_deg, dec_deg: the sky position of the image centre (ICRS as the WCS says it).
    pixel_scale_arcsec: square root of the pixel area at the centre.
    stretch: longest over shortest side; scale_variation: (max - min) / median over the field.
    round_trip_pix: largest closure error; is_flipped: True where East is right of North.
    """

    ra_deg: float
    dec_deg: float
    pixel_scale_arcsec: float
    stretch: float
    scale_variation: float
    round_trip_pix: float
    is_flipped: bool


def check_wcs(
    wcs: WCS,
    *,
    shape: tuple[int, int],
    settings: WCSSettings = DEFAULTS,
) -> WCSSanity:
    """Return the numbers of `wcs` over an image of `shape` (ny, nx); WCSSanityError if insane."""
    if not wcs.has_celestial or wcs.naxis != 2:
        raise WCSSanityError(
            f"the WCS has axes {list(wcs.wcs.ctype)}: two celestial axes are needed; solve the "
            "field's astrometry first",
            ctype=list(wcs.wcs.ctype),
        )
    ny, nx = shape
    gx, gy = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, _GRID), _rows(ny)))
    centre = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
    x, y = np.concatenate([centre[0], gx]), np.concatenate([centre[1], gy])
    sky = _directions(wcs, x, y)
    step_x = (_directions(wcs, x + 0.5, y) - _directions(wcs, x - 0.5, y)) * _per_radian()
    step_y = (_directions(wcs, x, y + 0.5) - _directions(wcs, x, y - 0.5)) * _per_radian()
    area = np.einsum("ij,ij->i", np.cross(step_x, step_y), sky)
    if not np.isfinite(area).all() or (area == 0).any() or len(set(np.sign(area))) != 1:
        raise WCSSanityError(
            "the WCS is not finite, or is folded or degenerate, over the field: solve the "
            "field's astrometry first",
            pixel_area_arcsec2=[float(a) for a in area[np.isfinite(area)]],
        )
    scales = np.sqrt(np.abs(area))
    sides = np.linalg.svd(np.stack([step_x, step_y], axis=2), compute_uv=False)
    ra, dec = wcs.pixel_to_world_values(x[0], y[0])
    result = WCSSanity(
        ra_deg=float(ra) % 360.0,
        dec_deg=float(dec),
        pixel_scale_arcsec=float(scales[0]),
        stretch=float((sides[:, 0] / sides[:, 1]).max()),
        scale_variation=float(np.ptp(scales) / np.median(scales)),
        round_trip_pix=_round_trip(wcs, x, y),
        is_flipped=bool(area[0] > 0),
    )
    _judge(result, settings)
    return result


def _judge(found: WCSSanity, settings: WCSSettings) -> None:
    low, high = settings.pixel_scale_min_arcsec, settings.pixel_scale_max_arcsec
    if not low <= found.pixel_scale_arcsec <= high:
        raise WCSSanityError(
            f"pixel scale {found.pixel_scale_arcsec:.4g} arcsec is outside {low:g} to {high:g}",
            pixel_scale_arcsec=found.pixel_scale_arcsec,
        )
    for name, value, limit, unit in (
        ("stretch", found.stretch, settings.stretch_max, ""),
        ("scale_variation", found.scale_variation, settings.scale_variation_max, ""),
        ("round_trip_pix", found.round_trip_pix, settings.round_trip_max_pix, " px"),
    ):
        if not value <= limit:
            raise WCSSanityError(
                f"the WCS's {name} is {value:.4g}{unit}, allowed {limit:g}{unit}: solve the "
                "field's astrometry first",
                **{name: value},
            )


def _rows(ny: int) -> NDArray[np.float64]:
    return np.linspace(0, ny - 1, _GRID)


def _per_radian() -> float:
    return float(np.degrees(1.0) * _ARCSEC)


def _directions(wcs: WCS, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return unit_vectors(*wcs.pixel_to_world_values(x, y))


def _round_trip(wcs: WCS, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    try:
        back_x, back_y = wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    except NoConvergence:
        return float("inf")
    off = np.hypot(back_x - x, back_y - y)
    return float(off.max()) if np.isfinite(off).all() else float("inf")
