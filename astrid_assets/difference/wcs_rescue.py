"""Whether a science image lies where its WCS says, judged by the reference's stars.

A WCS that is off by up to an arcminute, or turned a little, is corrected where the stars say so
beyond chance; any other disagreement is a failure of that exposure. Nothing is subtracted by a WCS
that the stars contradict. The residual shift within a pixel is the alignment's (`matching`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

from astrid_assets.difference.matching import star_peaks
from astrid_assets.difference.star_agreement import (
    Agreement,
    Floats,
    WCSRescueSettings,
    agreement_of,
    is_near,
    one_to_one,
    pixels_on,
    sky_of,
)
from astrid_assets.difference.star_fits import fit_stars
from astrid_assets.difference.wcs_turned import WCSNotTurnableError, similarity, turned_wcs
from astrid_resources.images import Image, KnownFailure

_ARCSEC = 3600.0


class WCSContradictedError(KnownFailure):
    """The stars do not lie where the WCS says, nor anywhere near it that could be trusted."""


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
    found, known = peaks or (star_peaks(science), star_peaks(reference))
    found, known = found[: settings.n_stars_max], known[: settings.n_stars_max]
    if min(len(found), len(known)) < settings.n_stars_min:
        return science, WCSCorrection()
    scale = _scale_arcsec(reference.wcs, reference.shape)
    expected = pixels_on(reference.wcs, science.wcs, found)
    wide = max(settings.near_pix, settings.search_arcsec / scale)
    if not is_near(expected, reference.shape, wide):
        return science, WCSCorrection()
    for reach in (settings.near_pix, wide):
        agreement = agreement_of(expected, known, science, reference, reach, settings)
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
    is_off = off > max(settings.keep_pix, settings.keep_arcsec / scale)
    if not is_off and not is_turned:
        return science, WCSCorrection(n_stars=len(agreement.pairs))
    try:
        return _corrected(science, reference, found, known, agreement, settings)
    except (WCSContradictedError, WCSNotTurnableError):
        if reach > settings.near_pix:
            raise
    # Near its place but bent otherwise than the reference: the alignment follows that.
    if not is_off:
        return science, WCSCorrection(n_stars=len(agreement.pairs))
    return _corrected(science, reference, found, known, agreement, settings, is_shift=True)


def _corrected(
    science: Image,
    reference: Image,
    found: Floats,
    known: Floats,
    agreement: Agreement,
    settings: WCSRescueSettings,
    *,
    is_shift: bool = False,
) -> tuple[Image, WCSCorrection]:
    """Fit the sphere's rotation (and the scale, where it shows) and look again with it.

    is_shift: fit nothing but the shift of all stars.
    """
    wcs, pairs = science.wcs, agreement.pairs
    found, known = _fitted(science, found), _fitted(reference, known)
    for _ in range(3):
        wcs = turned_wcs(
            science.wcs,
            found[pairs[:, 0]],
            sky_of(reference.wcs, known[pairs[:, 1]]),
            turn_max_deg=settings.turn_max_deg,
            scale_off_max=settings.scale_off_max,
            is_shift=is_shift,
        )
        expected = pixels_on(reference.wcs, wcs, found)
        pairs = one_to_one(expected, known, np.zeros(2), settings.tolerance_pix)
        if len(pairs) < settings.n_stars_min:
            break
    residual = known[pairs[:, 1]] - expected[pairs[:, 0]]
    rms = float(np.sqrt(np.mean(residual**2))) if len(pairs) else float("inf")
    limit = settings.tolerance_pix if is_shift else settings.tolerance_pix / 2
    n_needed = settings.n_stars_min if is_shift else len(agreement.pairs)
    if len(pairs) < n_needed or rms > limit:
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


def _fitted(image: Image, at: Floats) -> Floats:
    """Return the stars' PSF-fitted positions; the peak where the fit did not converge."""
    fits = fit_stars(image, at[:, 0], at[:, 1])
    out = np.column_stack([fits.x, fits.y])
    is_used = fits.is_good & (np.hypot(*(out - at).T) < 2)
    return np.where(is_used[:, None], out, at)


def _is_turned(at: Floats, turn: float, stretch: float) -> bool:
    """Return whether rotation and scale move the outermost stars by more than a pixel."""
    reach = float(np.hypot(*(at - at.mean(axis=0)).T).max())
    return len(at) >= 8 and reach * float(np.hypot(turn, stretch)) > 1.0


def _scale_arcsec(wcs: WCS, shape: tuple[int, int]) -> float:
    """Return the pixel scale at the centre of the image."""
    y, x = (n / 2 for n in shape)
    return _separation_arcsec(*sky_of(wcs, np.array([[x, y], [x + 1, y]])))


def _moved_arcsec(before: WCS, after: WCS, shape: tuple[int, int]) -> float:
    centre = np.array([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]])
    return _separation_arcsec(sky_of(before, centre)[0], sky_of(after, centre)[0])


def _separation_arcsec(one: Floats, other: Floats) -> float:
    mean_dec = np.radians((one[1] + other[1]) / 2)
    east = ((other[0] - one[0] + 180) % 360 - 180) * np.cos(mean_dec)
    return float(np.hypot(east, other[1] - one[1]) * _ARCSEC)
