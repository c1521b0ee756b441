"""Which shift the stars of two images agree on, and whether chance explains that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import pdtrc

from astrid_assets.imaging.resample import world_to_pixel
from astrid_resources.images import Image

Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class WCSRescueSettings:
    """What is searched, and what counts as an agreement of the stars.

    n_stars_max: stars used on each image, the brightest of those that align it (`star_peaks`).
    near_pix: shifts that are tried first; search_arcsec: the farthest shift that is corrected.
    tolerance_pix: how near a star lies to where it is expected.
    chance_max: greatest probability that the agreement came about by chance.
    n_stars_min, fraction_min: least number of agreeing stars, and least share of those that both
        images should show.
    keep_arcsec, keep_pix: a WCS that is off by less than the larger of these stays as it is.
    turn_max_deg, scale_off_max: greatest rotation and relative scale error that is corrected.
    """

    n_stars_max: int = 120
    near_pix: float = 10.0
    search_arcsec: float = 75.0
    tolerance_pix: float = 2.5
    chance_max: float = 1e-6
    n_stars_min: int = 3
    fraction_min: float = 0.2
    keep_arcsec: float = 0.5
    keep_pix: float = 1.0
    turn_max_deg: float = 1.0
    scale_off_max: float = 0.02


@dataclass(frozen=True)
class Agreement:
    """Stars that lie where the others are after one shift.

    pairs: (n, 2) indices of the stars of both images. shift: (x, y) pixels of the reference.
    chance: probability of as many by chance; fraction: of the stars that both images should show.
    """

    pairs: Pairs
    shift: Floats
    chance: float
    fraction: float


def is_near(expected: Floats, shape: tuple[int, int], reach: float) -> bool:
    """Return whether any position lies on an image of `shape`, or within `reach` of it."""
    ny, nx = shape
    inside = (expected > -reach) & (expected < (nx + reach, ny + reach))
    return bool(inside.all(axis=1).any())


def agreement_of(
    expected: Floats,
    known: Floats,
    science: Image,
    reference: Image,
    reach: float,
    settings: WCSRescueSettings,
) -> Agreement | None:
    """Return the shift within `reach` that most stars agree on, where chance does not explain it.

    The number of agreements by chance is Poisson with the stars' own densities, and every
    independent shift that was tried counts.
    """
    usable = np.flatnonzero(np.isfinite(expected).all(axis=1))
    if usable.size == 0:
        return None
    near = cKDTree(known).query_ball_point(expected[usable], reach)
    differences = [known[js] - expected[i] for i, js in zip(usable, near, strict=True) if js]
    if not differences:
        return None
    all_shifts = np.concatenate(differences)
    votes = cKDTree(all_shifts).query_ball_point(
        all_shifts, settings.tolerance_pix, return_length=True
    )
    order = np.lexsort((np.hypot(*all_shifts.T), -np.asarray(votes)))
    mode = all_shifts[order[0]]
    close = np.hypot(*(all_shifts - mode).T) <= settings.tolerance_pix
    shift = np.median(all_shifts[close], axis=0)
    pairs = one_to_one(expected, known, shift, settings.tolerance_pix)
    ny, nx = reference.shape
    moved = expected + shift
    inside = (moved >= -0.5) & (moved < (nx, ny))
    n_science = int(inside.all(axis=1).sum())
    n_reference = _n_within(known, shift, science, reference)
    density = len(known) / (nx * ny)
    by_chance = n_science * density * np.pi * settings.tolerance_pix**2
    n_trials = max(1.0, (reach / settings.tolerance_pix) ** 2)
    chance = float(min(1.0, n_trials * pdtrc(len(pairs) - 1, by_chance)))
    fraction = len(pairs) / max(1, min(n_science, n_reference))
    is_real = chance <= settings.chance_max and fraction >= settings.fraction_min
    if len(pairs) < settings.n_stars_min or not is_real:
        return None
    return Agreement(pairs, shift, chance, fraction)


def _n_within(known: Floats, shift: Floats, science: Image, reference: Image) -> int:
    """Return how many of the reference's stars lie on the science image once it is shifted."""
    back = pixels_on(science.wcs, reference.wcs, known - shift)
    ny, nx = science.shape
    return int(((back >= -0.5) & (back < (nx, ny))).all(axis=1).sum())


def one_to_one(expected: Floats, known: Floats, shift: Floats, tolerance: float) -> Pairs:
    """Return pairs (n, 2) of indices that are each other's nearest within the tolerance."""
    usable = np.flatnonzero(np.isfinite(expected).all(axis=1))
    moved = expected[usable] + shift
    distance, nearest = cKDTree(known).query(moved)
    _, back = cKDTree(moved).query(known)
    mutual = (distance <= tolerance) & (back[nearest] == np.arange(len(usable)))
    return np.column_stack([usable[mutual], nearest[mutual]])


def sky_of(wcs: WCS, at: Floats) -> Floats:
    """Return RA, Dec in degrees (n, 2) of pixels `at` (n, 2)."""
    return np.column_stack(wcs.all_pix2world(at[:, 0], at[:, 1], 0))


def pixels_on(target: WCS, source: WCS, at: Floats) -> Floats:
    """Return where pixels `at` (n, 2) of `source` lie on `target`, NaN where unreachable."""
    ra, dec = sky_of(source, at).T
    return np.column_stack(world_to_pixel(target, ra, dec))
