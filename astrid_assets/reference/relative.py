"""Shift and flux scale of one image relative to another, from the stars they have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import pdtrc

from astrid_assets.imaging.resample import world_to_pixel
from astrid_resources.images import KnownFailure

Floats = NDArray[np.float64]
_MAD_TO_SIGMA = 1.482602
_N_CLIPS = 5


class TooFewCommonStarsError(KnownFailure):
    """Too few stars are measured in both images to tie one to the other."""


@dataclass(frozen=True)
class RelativeSettings:
    """How images are tied together.

    match_radius_arcsec: greatest distance of a star from where the WCS says.
    n_stars_min: least number of common stars.
    flux_floor: relative error added to each star's flux, so that no single star decides.
    position_floor_pix: the same for its position.
    clip_sigma: stars farther than this from the median, in robust scatter, are left out.
    shift_significance, shift_min_pix: a shift is applied where it exceeds so many of its standard
        errors and this length; below, the pixels stay where they are.
    flux_ratio_min, flux_ratio_max: allowed flux scale (thick cloud is left out).
    agreement_pix, chance_max: stars within this of the common shift agree; the greatest probability
        that so many of unrelated stars do (a WCS that is off meets unrelated stars).
    """

    match_radius_arcsec: float = 2.0
    n_stars_min: int = 3
    flux_floor: float = 0.01
    position_floor_pix: float = 0.02
    clip_sigma: float = 3.5
    shift_significance: float = 3.0
    shift_min_pix: float = 0.02
    flux_ratio_min: float = 0.2
    flux_ratio_max: float = 5.0
    agreement_pix: float = 1.0
    chance_max: float = 1e-4


DEFAULTS = RelativeSettings()


@dataclass(frozen=True)
class StarList:
    """Stars measured on one image: 0-based pixel positions, total fluxes and errors (ADU)."""

    x: Floats
    y: Floats
    flux: Floats
    flux_error: Floats
    position_error: Floats
    wcs: WCS


@dataclass(frozen=True)
class Relative:
    """One image against the anchor.

    flux_ratio: its counts over the anchor's for one source, with its error.
    shift_pix: (x, y), added to positions that its WCS gives, in its own pixels; the measured one
        with its error, whether or not it `is_shifted` (worth applying).
    """

    flux_ratio: float
    flux_ratio_error: float
    flux_scatter: float
    shift_pix: tuple[float, float]
    shift_error_pix: float
    n_stars: int
    is_shifted: bool

    @property
    def applied_shift_pix(self) -> tuple[float, float]:
        """The shift to resample with."""
        return self.shift_pix if self.is_shifted else (0.0, 0.0)


IDENTITY = Relative(1.0, 0.0, 0.0, (0.0, 0.0), 0.0, 0, False)


def relate(
    stars: StarList, anchor: StarList, *, pixel_scale_arcsec: float, settings: RelativeSettings
) -> Relative:
    """Return shift and flux ratio of `stars` against `anchor`; TooFewCommonStarsError."""
    ra, dec = anchor.wcs.all_pix2world(anchor.x, anchor.y, 0)
    u, v = world_to_pixel(stars.wcs, np.asarray(ra), np.asarray(dec))
    radius_pix = settings.match_radius_arcsec / pixel_scale_arcsec
    mine, theirs = _mutual_nearest(stars, u, v, radius_pix=radius_pix)
    positive = (stars.flux[mine] > 0) & (anchor.flux[theirs] > 0)
    mine, theirs = mine[positive], theirs[positive]
    if len(mine) < settings.n_stars_min:
        raise TooFewCommonStarsError(
            f"{len(mine)} common stars, {settings.n_stars_min} are needed to tie two images",
            n_found=len(mine),
            n_required=settings.n_stars_min,
        )
    error = np.sqrt(
        stars.position_error[mine] ** 2
        + anchor.position_error[theirs] ** 2
        + settings.position_floor_pix**2
    )
    off_x, off_y = stars.x[mine] - u[theirs], stars.y[mine] - v[theirs]
    crowding = len(stars.x) * _density(u, v)
    _require_agreement(off_x, off_y, radius_pix, crowding, settings)
    dx = _clipped_mean(off_x, error, settings.clip_sigma)
    dy = _clipped_mean(off_y, error, settings.clip_sigma)
    log_ratio = np.log(stars.flux[mine] / anchor.flux[theirs])
    relative_error = np.sqrt(
        (stars.flux_error[mine] / stars.flux[mine]) ** 2
        + (anchor.flux_error[theirs] / anchor.flux[theirs]) ** 2
        + settings.flux_floor**2
    )
    ratio = _clipped_mean(log_ratio, relative_error, settings.clip_sigma)
    length, length_error = float(np.hypot(dx[0], dy[0])), float(max(dx[1], dy[1]))
    return Relative(
        flux_ratio=float(np.exp(ratio[0])),
        flux_ratio_error=float(np.exp(ratio[0]) * ratio[1]),
        flux_scatter=ratio[2],
        shift_pix=(dx[0], dy[0]),
        shift_error_pix=length_error,
        n_stars=len(mine),
        is_shifted=length > max(settings.shift_min_pix, settings.shift_significance * length_error),
    )


def _require_agreement(
    off_x: Floats, off_y: Floats, radius_pix: float, crowding: float, settings: RelativeSettings
) -> None:
    """Raise TooFewCommonStarsError where the shifts agree no better than those of other stars.

    Shifts of unrelated stars are spread over the matching circle, or, in a dense field, over the
    distance of neighbours; every shift in the circle counts as one trial. crowding: neighbours per
    square pixel that all stars have together.
    """
    shifts = np.column_stack([off_x, off_y])
    reach = min(settings.agreement_pix, radius_pix)
    n_agreeing = int(np.max(cKDTree(shifts).query_ball_point(shifts, reach, return_length=True)))
    n_trials = (radius_pix / reach) ** 2
    by_chance = max(len(shifts) / n_trials, crowding * np.pi * reach**2)
    chance = n_trials * float(pdtrc(n_agreeing - 1, by_chance))
    if chance > settings.chance_max and n_agreeing < len(shifts):
        raise TooFewCommonStarsError(
            f"{n_agreeing} of {len(shifts)} common stars agree on a shift, no more than chance "
            f"makes agree (probability {min(chance, 1.0):.2g}): one of the two WCS is wrong",
            n_found=n_agreeing,
            n_required=settings.n_stars_min,
        )


def _density(u: Floats, v: Floats) -> float:
    """Return the number of stars per pixel of the rectangle that holds them."""
    kept = np.isfinite(u) & np.isfinite(v)
    return float(kept.sum() / max(1.0, np.ptp(u[kept]) * np.ptp(v[kept]))) if kept.any() else 0.0


def _mutual_nearest(
    stars: StarList, u: Floats, v: Floats, *, radius_pix: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return indices of pairs that are each other's nearest within `radius_pix`."""
    none = np.zeros(0, np.intp)
    reachable = np.flatnonzero(np.isfinite(u) & np.isfinite(v))
    if len(stars.x) == 0 or len(reachable) == 0:
        return none, none
    here, there = np.column_stack([stars.x, stars.y]), np.column_stack([u, v])[reachable]
    distance, nearest = cKDTree(there).query(here)
    _, back = cKDTree(here).query(there)
    mine = np.flatnonzero((distance <= radius_pix) & (back[nearest] == np.arange(len(here))))
    return mine, reachable[nearest[mine]]


def _clipped_mean(values: Floats, errors: Floats, clip_sigma: float) -> tuple[float, float, float]:
    """Return the weighted mean, its error (not below what the scatter says), and the scatter."""
    keep = np.ones(len(values), bool)
    for _ in range(_N_CLIPS):
        centre = np.median(values[keep])
        spread = _MAD_TO_SIGMA * np.median(np.abs(values[keep] - centre))
        limit = clip_sigma * np.sqrt(spread**2 + errors**2)
        now = np.abs(values - centre) <= limit
        if now.sum() < 3 or (now == keep).all():
            break
        keep = now
    weight = 1 / errors[keep] ** 2
    mean = float(np.sum(weight * values[keep]) / weight.sum())
    scatter = float(np.sqrt(np.sum(weight * (values[keep] - mean) ** 2) / weight.sum()))
    n = int(keep.sum())
    return mean, max(float(weight.sum() ** -0.5), scatter / max(n - 1, 1) ** 0.5), scatter
