"""Whether a science image lies where its WCS says, judged by the reference's stars.

A WCS that is off by up to an arcminute, or turned a little, is corrected where the stars say so
beyond chance; any other disagreement is a failure of that exposure. Nothing is subtracted by a WCS
that the stars contradict. The residual shift within a pixel is the alignment's (`matching`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import pdtrc

from astrid_assets.difference.star_fits import find_peaks, fit_stars
from astrid_assets.difference.wcs_turned import similarity, turned_wcs
from astrid_assets.imaging.resample import world_to_pixel
from astrid_resources.images import Image, KnownFailure

Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]
_ARCSEC = 3600.0


class WCSContradictedError(KnownFailure):
    """The stars do not lie where the WCS says, nor anywhere near it that could be trusted."""


@dataclass(frozen=True)
class WCSRescueSettings:
    """What is searched, and what counts as an agreement of the stars.

    peak_sigma, n_stars_max: stars used on each image, the brightest.
    near_pix: shifts that are tried first; search_arcsec: the farthest shift that is corrected.
    tolerance_pix: how near a star lies to where it is expected.
    chance_max: greatest probability that the agreement came about by chance.
    n_stars_min, fraction_min: least number of agreeing stars, and least share of those that both
        images should show.
    keep_arcsec, keep_pix: a WCS that is off by less than the larger of these stays as it is.
    turn_max_deg, scale_off_max: greatest rotation and relative scale error that is corrected.
    """

    peak_sigma: float = 8.0
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
class WCSCorrection:
    """How far the WCS was off at the image's centre, and what was done about it.

    arcsec: 0 where it stays. n_stars: stars that agree; rms_pix: their scatter, reference pixels.
    reason: empty where it stays.
    """

    arcsec: float = 0.0
    n_stars: int = 0
    rms_pix: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Agreement:
    pairs: Pairs
    shift: Floats
    chance: float
    fraction: float


def corrected_by_stars(
    science: Image,
    reference: Image,
    *,
    peaks: tuple[Floats, Floats] | None = None,
    settings: WCSRescueSettings | None = None,
) -> tuple[Image, WCSCorrection]:
    """Return `science` with a WCS that the reference's stars confirm, and what was corrected.

    peaks: (n, 2) positions of both images' stars, brightest first, where they are known already.
    Images with fewer than `n_stars_min` usable stars, or too far apart to overlap after any shift
    that would be corrected, are returned as they are: the alignment and the coverage say so.
    Raises WCSContradictedError or WCSNotTurnableError.
    """
    settings = settings or WCSRescueSettings()
    found, known = peaks or (_stars(science, settings), _stars(reference, settings))
    found, known = found[: settings.n_stars_max], known[: settings.n_stars_max]
    if min(len(found), len(known)) < settings.n_stars_min:
        return science, WCSCorrection()
    scale = _scale_arcsec(reference.wcs, reference.shape)
    expected = _on(reference.wcs, science.wcs, found)
    wide = max(settings.near_pix, settings.search_arcsec / scale)
    if not _is_near(expected, reference.shape, wide):
        return science, WCSCorrection()
    for reach in (settings.near_pix, wide):
        agreement = _agreement(expected, known, science, reference, reach, settings)
        if agreement is not None:
            break
    else:
        raise WCSContradictedError(
            f"of {len(found)} stars of the exposure and {len(known)} of the reference no more "
            f"agree, within {settings.search_arcsec:g} arcsec of where the WCS has them, than "
            "chance makes agree: the WCS is wrong (offset, scale, orientation or another field); "
            "solve the field's astrometry and deliver the file again",
            n_stars=len(found),
            n_stars_reference=len(known),
            search_arcsec=settings.search_arcsec,
        )
    off = float(np.hypot(*agreement.shift))
    residual = known[agreement.pairs[:, 1]] - expected[agreement.pairs[:, 0]]
    turn, stretch = similarity(expected[agreement.pairs[:, 0]], residual)
    is_turned = _is_turned(expected[agreement.pairs[:, 0]], turn, stretch)
    if off <= max(settings.keep_pix, settings.keep_arcsec / scale) and not is_turned:
        return science, WCSCorrection(n_stars=len(agreement.pairs))
    return _corrected(science, reference, found, known, agreement, settings)


def _corrected(
    science: Image,
    reference: Image,
    found: Floats,
    known: Floats,
    agreement: _Agreement,
    settings: WCSRescueSettings,
) -> tuple[Image, WCSCorrection]:
    """Fit the sphere's rotation (and the scale, where it shows) and look again with it."""
    wcs, pairs = science.wcs, agreement.pairs
    found, known = _fitted(science, found), _fitted(reference, known)
    for _ in range(3):
        wcs = turned_wcs(
            science.wcs,
            found[pairs[:, 0]],
            _sky(reference.wcs, known[pairs[:, 1]]),
            turn_max_deg=settings.turn_max_deg,
            scale_off_max=settings.scale_off_max,
        )
        expected = _on(reference.wcs, wcs, found)
        pairs = _one_to_one(expected, known, np.zeros(2), settings.tolerance_pix)
        if len(pairs) < settings.n_stars_min:
            break
    residual = known[pairs[:, 1]] - expected[pairs[:, 0]]
    rms = float(np.sqrt(np.mean(residual**2))) if len(pairs) else float("inf")
    if len(pairs) < len(agreement.pairs) or rms > settings.tolerance_pix / 2:
        raise WCSContradictedError(
            f"{len(agreement.pairs)} stars agree on a shift, but a corrected WCS brings only "
            f"{len(pairs)} together (rms {rms:.2g} pixels): the WCS is wrong in more than its "
            "zero point; solve the field's astrometry and deliver the file again",
            n_stars=len(pairs),
            rms_pix=rms,
        )
    moved = _moved_arcsec(science.wcs, wcs, science.shape)
    reason = (
        f"the WCS was off by {moved:.2f} arcsec at the centre of the image: corrected by "
        f"{len(pairs)} stars of the reference (rms {rms:.2f} pixels, chance {agreement.chance:.1g})"
    )
    return science.with_(wcs=wcs), WCSCorrection(moved, len(pairs), rms, reason)


def _stars(image: Image, settings: WCSRescueSettings) -> Floats:
    if image.psf is None:
        raise ValueError("a WCS is confirmed on images that have a PSF")
    return find_peaks(
        image,
        threshold_sigma=settings.peak_sigma,
        separation_pix=2 * image.psf.fwhm_pix,
        max_number=settings.n_stars_max,
    )


def _fitted(image: Image, at: Floats) -> Floats:
    """Return the stars' PSF-fitted positions; the peak where the fit did not converge."""
    fits = fit_stars(image, at[:, 0], at[:, 1])
    out = np.column_stack([fits.x, fits.y])
    is_used = fits.is_good & (np.hypot(*(out - at).T) < 2)
    return np.where(is_used[:, None], out, at)


def _is_near(expected: Floats, shape: tuple[int, int], reach: float) -> bool:
    ny, nx = shape
    inside = (expected > -reach) & (expected < (nx + reach, ny + reach))
    return bool(inside.all(axis=1).any())


def _agreement(
    expected: Floats,
    known: Floats,
    science: Image,
    reference: Image,
    reach: float,
    settings: WCSRescueSettings,
) -> _Agreement | None:
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
    pairs = _one_to_one(expected, known, shift, settings.tolerance_pix)
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
    return _Agreement(pairs, shift, chance, fraction)


def _n_within(known: Floats, shift: Floats, science: Image, reference: Image) -> int:
    """Return how many of the reference's stars lie on the science image once it is shifted."""
    back = _on(science.wcs, reference.wcs, known - shift)
    ny, nx = science.shape
    return int(((back >= -0.5) & (back < (nx, ny))).all(axis=1).sum())


def _one_to_one(expected: Floats, known: Floats, shift: Floats, tolerance: float) -> Pairs:
    """Return pairs (n, 2) of indices that are each other's nearest within the tolerance."""
    usable = np.flatnonzero(np.isfinite(expected).all(axis=1))
    moved = expected[usable] + shift
    distance, nearest = cKDTree(known).query(moved)
    _, back = cKDTree(moved).query(known)
    mutual = (distance <= tolerance) & (back[nearest] == np.arange(len(usable)))
    return np.column_stack([usable[mutual], nearest[mutual]])


def _is_turned(at: Floats, turn: float, stretch: float) -> bool:
    """Return whether rotation and scale move the outermost stars by more than a pixel."""
    reach = float(np.hypot(*(at - at.mean(axis=0)).T).max())
    return len(at) >= 8 and reach * float(np.hypot(turn, stretch)) > 1.0


def _sky(wcs: WCS, at: Floats) -> Floats:
    return np.column_stack(wcs.all_pix2world(at[:, 0], at[:, 1], 0))


def _on(target: WCS, source: WCS, at: Floats) -> Floats:
    ra, dec = _sky(source, at).T
    return np.column_stack(world_to_pixel(target, ra, dec))


def _scale_arcsec(wcs: WCS, shape: tuple[int, int]) -> float:
    """Return the pixel scale at the centre of the image."""
    y, x = (n / 2 for n in shape)
    return _separation_arcsec(*_sky(wcs, np.array([[x, y], [x + 1, y]])))


def _moved_arcsec(before: WCS, after: WCS, shape: tuple[int, int]) -> float:
    centre = np.array([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]])
    return _separation_arcsec(_sky(before, centre)[0], _sky(after, centre)[0])


def _separation_arcsec(one: Floats, other: Floats) -> float:
    mean_dec = np.radians((one[1] + other[1]) / 2)
    east = ((other[0] - one[0] + 180) % 360 - 180) * np.cos(mean_dec)
    return float(np.hypot(east, other[1] - one[1]) * _ARCSEC)
