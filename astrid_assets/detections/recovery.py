"""Completeness of one exposure: inject sources, subtract again, find, score.

Nothing of it reaches the catalog. Drawing the sources stands in `imaging/injection.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from astrid_assets.candidates.extract import CandidateSettings, find_candidates
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.scoring import Champion, score
from astrid_assets.difference.matching import known_match
from astrid_assets.difference.subtract import (
    Subtraction,
    SubtractionSettings,
    subtract_aligned,
)
from astrid_assets.imaging.injection import inject_sources
from astrid_resources.images import DifferenceImage, Image, MaskPlane, NoWork, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
_Z95 = 1.959964
_MIN_SCORE_POWER = 0.05


class NoRoomError(NoWork):
    """The exposure has no place where a source could be injected apart from what it holds."""


@dataclass(frozen=True)
class RecoverySettings:
    """What the completeness depends on.

    snr_edges: bins of true S/N, sources are drawn uniform over them; n_sources: at most this many,
    at least separation_fwhm apart and that far from every peak above clear_sigma already there.
    match_fwhm: a candidate this close to a source is that source.
    """

    snr_edges: tuple[float, ...] = (4.0, 5.0, 6.0, 7.0, 8.0)
    n_sources: int = 120
    separation_fwhm: float = 6.0
    clear_fwhm: float = 2.0
    clear_sigma: float = 4.5
    match_fwhm: float = 0.6
    draws_per_source: int = 20


@dataclass(frozen=True)
class RecoveryBin:
    """Completeness of one S/N bin; the error bars are Wilson's 95 % interval.

    n_found: a candidate stands there; n_passed: and no rule rejected it; n_accepted: and the
    model accepted it. completeness = n_accepted / n_injected.
    """

    snr_low: float
    snr_high: float
    n_injected: int
    n_found: int
    n_passed: int
    n_accepted: int
    completeness: float | None
    completeness_low: float
    completeness_high: float


@dataclass(frozen=True)
class Recovery:
    """The injected sources (arrays of one length) and the completeness by S/N.

    x, y: pixels; flux_adu: science counts; snr: true S/N with the source's own photons.
    is_unusable: it fell on masked pixels (it counts as injected all the same).
    """

    bins: tuple[RecoveryBin, ...]
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux_adu: Floats = field(repr=False)
    snr: Floats = field(repr=False)
    is_unusable: NDArray[np.bool_] = field(repr=False)
    is_found: NDArray[np.bool_] = field(repr=False)
    is_passed: NDArray[np.bool_] = field(repr=False)
    is_accepted: NDArray[np.bool_] = field(repr=False)

    @property
    def total(self) -> RecoveryBin:
        """The completeness over all bins."""
        return _bin(self, self.bins[0].snr_low, self.bins[-1].snr_high)


def wilson_interval(k: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of k successes in n trials; (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, _Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def flux_for_snr(
    snr: Floats, flux_error: Floats, psf: PSFModel, *, gain_e_per_adu: float
) -> Floats:
    """Return the counts of a source of true S/N `snr` where a PSF flux has `flux_error` without it.

    The source's own photons add c·flux to the variance of a matched-filter flux,
    c = sum(P^3) / (gain · sum(P^2)^2).
    """
    stamp = psf.centre.astype(float)
    c = np.sum(stamp**3) / (gain_e_per_adu * np.sum(stamp**2) ** 2)
    return (snr**2 * c + np.sqrt(snr**4 * c**2 + 4 * snr**2 * flux_error**2)) / 2


def _places(
    subtraction: Subtraction, settings: RecoverySettings, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pixels (x, y) drawn uniform over the covered area, apart from peaks and each other."""
    difference = subtraction.difference
    fwhm = subtraction.metrics.fwhm_difference_pix
    score_map = np.abs(difference.score_corrected)
    nx = score_map.shape[1]
    covered = np.flatnonzero(~has_any(difference.image.mask, MaskPlane.NO_DATA))
    if not len(covered):
        raise NoRoomError("no pixel of the exposure is covered by the reference", n_pixels=0)
    clear = int(np.ceil(settings.clear_fwhm * fwhm))
    xs: list[int] = []
    ys: list[int] = []
    for pixel in rng.choice(covered, settings.n_sources * settings.draws_per_source):
        y, x = divmod(int(pixel), nx)
        near = score_map[max(0, y - clear) : y + clear + 1, max(0, x - clear) : x + clear + 1]
        apart = np.hypot(np.array(xs) - x, np.array(ys) - y) > settings.separation_fwhm * fwhm
        if near.max() < settings.clear_sigma and apart.all():
            xs.append(x)
            ys.append(y)
        if len(xs) == settings.n_sources:
            break
    if not xs:
        raise NoRoomError(
            f"none of {settings.n_sources * settings.draws_per_source} places is clear of peaks "
            f"above {settings.clear_sigma} sigma",
            n_pixels=len(covered),
        )
    return np.array(xs), np.array(ys)


def score_error(difference: DifferenceImage, x: NDArray[np.int64], y: NDArray[np.int64]) -> Floats:
    """Return the flux that raises score_corrected by 1 at pixels (x, y), science counts.

    It is the whole noise of the score, with the astrometric and PSF-model terms that the error of
    a PSF flux leaves out: both maps come from the same S, so their ratio (over 3 x 3 pixels,
    weighted by the score) is F_S / sqrt(V) there. Where the score says nothing: the flux error.
    """
    ny, nx = difference.score_corrected.shape
    offset = np.arange(-1, 2)
    rows = np.clip(y[:, None, None] + offset[None, :, None], 0, ny - 1)
    columns = np.clip(x[:, None, None] + offset[None, None, :], 0, nx - 1)
    score = difference.score_corrected[rows, columns].astype(float)
    flux = difference.psf_flux[rows, columns].astype(float)
    power = np.sum(score**2, axis=(1, 2))
    known = power > _MIN_SCORE_POWER
    ratio = np.sum(flux * score, axis=(1, 2)) / np.where(known, power, 1)
    flux_error = difference.psf_flux_error[y, x].astype(float)
    return np.where(known & (ratio > 0), ratio, flux_error)


def subtract_again(
    injected: Image, subtraction: Subtraction, *, settings: SubtractionSettings | None = None
) -> Subtraction:
    """Subtract as before, from a science image that only gained sources.

    Registration, flux ratio, PSF error and noise factor are those of `subtraction`: measured anew
    they would be spoilt by sources that nature did not put there.
    """
    m = subtraction.metrics
    match = known_match(m, injected.shape)
    again = subtract_aligned(injected, subtraction.reference_on_science, match, settings=settings)
    change = np.float32(again.metrics.noise_scale_factor / m.noise_scale_factor)
    difference = replace(
        again.difference,
        score_corrected=again.difference.score_corrected * change,
        psf_flux_error=again.difference.psf_flux_error / change,
        noise_scale_factor=m.noise_scale_factor,
    )
    return replace(again, difference=difference)


def recover(
    science: Image,
    subtraction: Subtraction,
    *,
    champion: Champion,
    rng: np.random.Generator,
    settings: RecoverySettings | None = None,
    subtraction_settings: SubtractionSettings | None = None,
    candidate_settings: CandidateSettings | None = None,
) -> Recovery:
    """Return the completeness of `science` in the `subtraction` that was made of it.

    Raises NoRoomError where there is no clear place, and what the stages raise.
    """
    settings = settings or RecoverySettings()
    if science.psf is None:
        raise ValueError("a science image without a PSF cannot take injected sources")
    column, row = _places(subtraction, settings, rng)
    x, y = column + rng.uniform(-0.5, 0.5, len(row)), row + rng.uniform(-0.5, 0.5, len(row))
    mask = subtraction.difference.image.mask
    is_unusable = has_any(mask, *UNUSABLE)[row, column]
    typical = float(np.median(subtraction.difference.psf_flux_error[~has_any(mask, *UNUSABLE)]))
    error = np.where(is_unusable, typical, score_error(subtraction.difference, column, row))
    snr = rng.uniform(settings.snr_edges[0], settings.snr_edges[-1], len(row))
    flux = flux_for_snr(snr, error, science.psf, gain_e_per_adu=science.meta.gain_e_per_adu)
    injected = inject_sources(science, x=x, y=y, flux_adu=flux, rng=rng)
    again = subtract_again(injected, subtraction, settings=subtraction_settings)
    found = find_candidates(again, injected, settings=candidate_settings)
    positive = [candidate for candidate in found if not candidate.is_negative]
    cx = np.array([candidate.pixel_x for candidate in positive], float)
    cy = np.array([candidate.pixel_y for candidate in positive], float)
    is_passed = np.array([not candidate.rejection_rule for candidate in positive], bool)
    cutouts = candidate_cutouts(
        again.difference,
        injected,
        again.reference_on_science,
        x=cx,
        y=cy,
        is_negative=np.zeros(len(positive), bool),
        settings=champion.cutouts,
    )
    is_accepted = score(champion, cutouts).is_accepted
    radius = max(1.5, settings.match_fwhm * again.metrics.fwhm_difference_pix)
    close = np.hypot(x[:, None] - cx, y[:, None] - cy) <= radius
    recovery = Recovery(
        bins=(),
        x=x,
        y=y,
        flux_adu=flux,
        snr=snr,
        is_unusable=is_unusable,
        is_found=close.any(axis=1),
        is_passed=(close & is_passed).any(axis=1),
        is_accepted=(close & is_passed & is_accepted).any(axis=1),
    )
    bins = tuple(_bin(recovery, low, high) for low, high in pairwise(settings.snr_edges))
    return Recovery(**{**vars(recovery), "bins": bins})


def _bin(recovery: Recovery, low: float, high: float) -> RecoveryBin:
    inside = (recovery.snr >= low) & (recovery.snr <= high)
    n, k = int(inside.sum()), int((inside & recovery.is_accepted).sum())
    interval = wilson_interval(k, n)
    return RecoveryBin(
        snr_low=low,
        snr_high=high,
        n_injected=n,
        n_found=int((inside & recovery.is_found).sum()),
        n_passed=int((inside & recovery.is_passed).sum()),
        n_accepted=k,
        completeness=k / n if n else None,
        completeness_low=interval[0],
        completeness_high=interval[1],
    )
