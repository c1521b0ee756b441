"""Where sources are injected and how bright: three samples that answer three questions.

Drawing them into an image stands in `imaging/injection.py`, finding them again in `recovery.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from astrid_assets.candidates.neighbours import reference_neighbours
from astrid_assets.difference.subtract import Subtraction
from astrid_assets.imaging.stamps import cut, offsets
from astrid_resources.images import MaskPlane, NoWork, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Bools = NDArray[np.bool_]
_HOST_DRAWS = 30_000
_STAR_CHECKS = 12
_RING_FWHM = (1.0, 2.0)


class NoRoomError(NoWork):
    """The exposure has no place where a source could be injected apart from what it holds."""


class Sample(IntEnum):
    """Why a source was injected.

    SNR: anywhere, true S/N uniform where completeness falls: what an exposure is judged by.
    FLUX: anywhere, magnitude uniform over a wider range: completeness by magnitude, for a rate.
    HOST: on the light of galaxies, true S/N as SNR: completeness by what lies underneath.
    """

    SNR = 0
    FLUX = 1
    HOST = 2


@dataclass(frozen=True)
class InjectionSettings:
    """How many sources at most, how bright, and how far apart.

    snr_range: true S/N of SNR and HOST. flux_snr_range: of FLUX, in errors of a typical PSF flux,
    widened to whole bins of magnitude_step. host_edges: sky sigmas per pixel; HOST takes each bin
    above the first alike. separation_fwhm: least distance of two sources. clear_fwhm, clear_sigma:
    no peak of the score above so much within so far: a source on it could not be told from it.
    """

    n_snr: int = 120
    n_flux: int = 60
    n_host: int = 40
    snr_range: tuple[float, float] = (4.0, 8.0)
    flux_snr_range: tuple[float, float] = (2.5, 40.0)
    magnitude_step: float = 0.5
    host_edges: tuple[float | None, ...] = (0.0, 0.5, 2.0, 8.0, None)
    separation_fwhm: float = 6.0
    clear_fwhm: float = 2.0
    clear_sigma: float = 4.5
    draws_per_source: int = 20

    @property
    def numbers(self) -> dict[Sample, int]:
        """How many sources of each sample at most."""
        return {Sample.SNR: self.n_snr, Sample.FLUX: self.n_flux, Sample.HOST: self.n_host}


@dataclass(frozen=True)
class InjectedSources:
    """Sources to inject, arrays of one length.

    x, y: pixels; flux_adu: science counts; snr: true S/N with the source's own photons, at an
    unusable place that of a typical one. host_sky_sigma: reference light around it, per pixel,
    in sky sigmas of the science image. is_near_star: a reference star may leave a residual there.
    is_unusable: on masked pixels.
    """

    sample: NDArray[np.int8] = field(repr=False)
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux_adu: Floats = field(repr=False)
    snr: Floats = field(repr=False)
    host_sky_sigma: Floats = field(repr=False)
    is_near_star: Bools = field(repr=False)
    is_unusable: Bools = field(repr=False)

    def of(self, *samples: Sample) -> Bools:
        """Return which sources are of these samples."""
        return np.isin(self.sample, [int(one) for one in samples])


def plan_injection(
    subtraction: Subtraction,
    psf: PSFModel,
    *,
    gain_e_per_adu: float,
    zero_point_ab_mag: float | None,
    settings: InjectionSettings,
    rng: np.random.Generator,
) -> InjectedSources:
    """Return sources for the science image that `subtraction` was made of.

    psf: that image's; zero_point_ab_mag: None where not known. Raises NoRoomError.
    """
    difference = subtraction.difference
    sample, column, row = _places(subtraction, settings, rng)
    unusable = has_any(difference.image.mask, *UNUSABLE)
    is_unusable = unusable[row, column]
    typical = float(np.median(difference.psf_flux_error[~unusable]))
    error = np.where(is_unusable, typical, difference.psf_flux_error[row, column].astype(float))
    x, y = (at + rng.uniform(-0.5, 0.5, len(at)) for at in (column, row))
    c = own_noise(psf, gain_e_per_adu=gain_e_per_adu)
    snr = rng.uniform(*settings.snr_range, len(x))
    low, high = magnitude_range(typical, zero_point_ab_mag or 0.0, settings)
    magnitude = rng.uniform(low, high, len(x))
    is_flux = sample == int(Sample.FLUX)
    by_magnitude = 10 ** (-0.4 * (magnitude - (zero_point_ab_mag or 0.0)))
    flux = np.where(is_flux, by_magnitude, flux_for_snr(snr, error, c))
    return InjectedSources(
        sample=sample,
        x=x,
        y=y,
        flux_adu=flux,
        snr=np.where(is_flux, flux / np.sqrt(error**2 + c * flux), snr),
        host_sky_sigma=host_light(subtraction, column, row),
        is_near_star=_is_near_star(subtraction, column, row),
        is_unusable=is_unusable,
    )


def magnitude_range(
    flux_error: float, zero_point_mag: float, settings: InjectionSettings
) -> tuple[float, float]:
    """Return (bright, faint) ends of the FLUX sample, whole multiples of the bin."""
    faint, bright = (
        zero_point_mag - 2.5 * np.log10(snr * flux_error) for snr in settings.flux_snr_range
    )
    step = settings.magnitude_step
    return step * float(np.floor(bright / step)), step * float(np.ceil(faint / step))


def own_noise(psf: PSFModel, *, gain_e_per_adu: float) -> float:
    """Return c of the variance c * flux that a source's own photons add to its PSF flux.

    c = sum(P^3) / (gain * sum(P^2)^2) of a matched filter.
    """
    stamp = psf.centre.astype(float)
    return float(np.sum(stamp**3) / (gain_e_per_adu * np.sum(stamp**2) ** 2))


def flux_for_snr(snr: Floats, flux_error: Floats, c: float) -> Floats:
    """Return the counts of a source of true S/N `snr`: flux / sqrt(flux_error^2 + c flux) = snr."""
    return (snr**2 * c + np.sqrt(snr**4 * c**2 + 4 * snr**2 * flux_error**2)) / 2


def host_light(subtraction: Subtraction, x: Whole, y: Whole) -> Floats:
    """Return the reference's light per pixel around (x, y), in sky sigmas of the science image.

    Around is between one and two FWHM: chosen by the very pixels that a source is measured on,
    places would be those where the reference's noise is high, and the score too low by it.
    Unusable reference pixels are left out; 0 where none is usable, and never below 0.
    """
    reference, metrics = subtraction.reference_on_science, subtraction.metrics
    inner, outer = (factor * metrics.fwhm_difference_pix for factor in _RING_FWHM)
    half = int(np.ceil(outer))
    at = x.astype(float), y.astype(float)
    data = cut(reference.data, *at, half=half, outside=0).astype(float)
    mask = cut(reference.mask, *at, half=half, outside=MaskPlane.NO_DATA.flag)
    dx, dy = offsets(np.zeros(1), np.zeros(1), half=half)
    radius = np.hypot(dx, dy)
    used = (radius >= inner) & (radius <= outer) & ~has_any(mask, *UNUSABLE)
    mean = np.sum(data * used, axis=(1, 2)) / np.maximum(used.sum(axis=(1, 2)), 1)
    return np.maximum(mean / metrics.flux_ratio / metrics.sky_sigma_science, 0.0)


def _is_near_star(subtraction: Subtraction, x: Whole, y: Whole) -> Bools:
    around = reference_neighbours(
        subtraction.reference_on_science, x.astype(float), y.astype(float)
    )
    return np.isfinite(around.star_flux)


def _places(
    subtraction: Subtraction, settings: InjectionSettings, rng: np.random.Generator
) -> tuple[NDArray[np.int8], Whole, Whole]:
    """Return sample and pixels (x, y) of each source, apart from peaks and from each other.

    The samples take turns in proportion to their numbers, so that little room is shared fairly.
    """
    difference, fwhm = subtraction.difference, subtraction.metrics.fwhm_difference_pix
    nx = difference.score_corrected.shape[1]
    covered = np.flatnonzero(~has_any(difference.image.mask, MaskPlane.NO_DATA))
    if not len(covered):
        raise NoRoomError("no pixel of the exposure is covered by the reference", n_pixels=0)
    n_draws = settings.draws_per_source
    drawn = {one: iter(rng.choice(covered, n * n_draws)) for one, n in settings.numbers.items()}
    drawn[Sample.HOST] = iter(_on_hosts(subtraction, covered, settings, rng))
    turns = sorted(((k + 0.5) / n, one) for one, n in settings.numbers.items() for k in range(n))
    clear, apart = int(np.ceil(settings.clear_fwhm * fwhm)), settings.separation_fwhm * fwhm
    taken = np.empty((0, 3))
    for _, one in turns:
        for pixel in islice(drawn[one], n_draws):
            y, x = divmod(int(pixel), nx)
            near = difference.score_corrected[
                max(0, y - clear) : y + clear + 1, max(0, x - clear) : x + clear + 1
            ]
            if (np.hypot(taken[:, 1] - x, taken[:, 2] - y) <= apart).any():
                continue
            if np.abs(near).max() < settings.clear_sigma:
                taken = np.vstack([taken, (int(one), x, y)])
                break
    if not len(taken):
        raise NoRoomError(
            f"none of {sum(settings.numbers.values()) * n_draws} places is clear of peaks above "
            f"{settings.clear_sigma} sigma",
            n_pixels=len(covered),
        )
    return taken[:, 0].astype(np.int8), taken[:, 1].astype(np.int64), taken[:, 2].astype(np.int64)


def _on_hosts(
    subtraction: Subtraction,
    covered: NDArray[np.intp],
    settings: InjectionSettings,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return usable pixels on reference light away from stars, each bin of brightness alike."""
    nx = subtraction.difference.score_corrected.shape[1]
    pixels = rng.choice(covered, _HOST_DRAWS)
    mask = subtraction.difference.image.mask.ravel()
    pixels = pixels[~has_any(mask[pixels], *UNUSABLE)]
    light = host_light(subtraction, pixels % nx, pixels // nx)
    edges = [edge for edge in settings.host_edges if edge is not None]
    kind = np.digitize(light, edges)
    groups = [pixels[kind == k] for k in range(2, len(edges) + 1)]
    n_each = -(-_STAR_CHECKS * settings.n_host // max(len(groups), 1))
    chosen = np.concatenate([group[:n_each] for group in groups] or [pixels[:0]])
    if not chosen.size:
        return chosen
    chosen = rng.permutation(chosen)
    return chosen[~_is_near_star(subtraction, chosen % nx, chosen // nx)]
