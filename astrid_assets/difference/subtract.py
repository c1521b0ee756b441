"""From a science image and a reference to a difference with its numbers and verdict.

Align by stars, resample the reference onto the science grid, subtract by the chosen algorithm in
overlapping sub-images where its kernels vary, judge the blank sky, scale the noise only where the
input was resampled before it came to us.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.alard_lupton.fit import KernelSettings
from astrid_assets.difference.algorithms import plan
from astrid_assets.difference.blank_sky import (
    BlankSkySettings,
    blank_sky_mask,
    blank_sky_statistics,
    blank_sky_verdict,
)
from astrid_assets.difference.levels import LevelSettings, measured_level, take_level
from astrid_assets.difference.matching import MatchSettings, StarMatch, match_stars, star_peaks
from astrid_assets.difference.measure import disagreement, measure_subtraction
from astrid_assets.difference.metrics import Quality, SubtractionMetrics
from astrid_assets.difference.overlap import no_overlap, require_overlap
from astrid_assets.difference.planes import pair_masks
from astrid_assets.difference.star_agreement import WCSRescueSettings
from astrid_assets.difference.sub_images import subtract_maps
from astrid_assets.difference.wcs_rescue import WCSCorrection, corrected_by_stars
from astrid_assets.imaging.resample import resample
from astrid_resources.images import (
    Algorithm,
    DifferenceImage,
    Image,
)


@dataclass(frozen=True)
class SubtractionSettings:
    """The parameters of a subtraction that change its data.

    algorithm: what subtracts. compare_with: a second one that runs beside it, for the disagreement
    of the two (it doubles the work).
    sub_image_pix: greatest edge of a sub-image where a PSF varies (a constant one needs no cut).
    sub_image_change: a sub-image is cut smaller where a kernel would change by more from its
    centre to its corner: norm of the change over that of the kernel.
    psf_error_min: least fractional PSF-model error in V(S); the stars' misfit may raise it.
    coverage_fraction_min: least covered share of the science image to do any work at all.
    n_independent_for_scaling: blank-sky elements needed to scale the noise of resampled frames.
    """

    algorithm: Algorithm = "zogy"
    compare_with: Algorithm | None = None
    sub_image_pix: int = 512
    sub_image_change: float = 0.05
    psf_error_min: float = 0.005
    coverage_fraction_min: float = 0.02
    n_independent_for_scaling: int = 200
    wcs: WCSRescueSettings = field(default_factory=WCSRescueSettings)
    matching: MatchSettings = field(default_factory=MatchSettings)
    blank_sky: BlankSkySettings = field(default_factory=BlankSkySettings)
    level: LevelSettings = field(default_factory=LevelSettings)
    kernel: KernelSettings = field(default_factory=KernelSettings)

    def __post_init__(self) -> None:
        if self.compare_with == self.algorithm:
            raise ValueError(f"{self.algorithm} cannot be compared with itself")


@dataclass(frozen=True)
class Subtraction:
    """One difference with what it was made from and what is known of its quality.

    other_score: score_corrected of the second algorithm, sigmas, where one ran.
    """

    difference: DifferenceImage
    reference_on_science: Image
    metrics: SubtractionMetrics
    quality: Quality
    other_score: NDArray[np.float32] | None = field(default=None, repr=False)


def subtract(
    science: Image, reference: Image, *, settings: SubtractionSettings | None = None
) -> Subtraction:
    """Subtract `reference` (on its own grid) from `science`; both need a PSF.

    Fluxes are science counts. A WCS that the reference's stars show to be off is corrected first.
    Raises NoOverlapError where too little is covered, WCSContradictedError where the stars do not
    lie where the WCS says, and TooFewMatchesError (or TooFewKernelStarsError) where too few
    common stars align the pair.
    """
    settings = settings or SubtractionSettings()
    if science.psf is None or reference.psf is None:
        raise ValueError("subtract needs a PSF on both images")
    peaks = (star_peaks(science, settings.matching), star_peaks(reference, settings.matching))
    science, correction = corrected_by_stars(science, reference, peaks=peaks, settings=settings.wcs)
    require_overlap(science, reference, fraction_min=settings.coverage_fraction_min)
    match = match_stars(science, reference, peaks=peaks, settings=settings.matching)
    aligned = resample(reference, wcs=science.wcs, shape=science.shape, shift_pix=match.shift)
    return subtract_aligned(science, aligned, match, correction=correction, settings=settings)


def subtract_aligned(
    science: Image,
    aligned: Image,
    match: StarMatch,
    *,
    correction: WCSCorrection | None = None,
    settings: SubtractionSettings | None = None,
) -> Subtraction:
    """Subtract a reference that already lies on the science grid, aligned as `match` says.

    correction: what was done to the science image's WCS before.
    """
    settings, correction = settings or SubtractionSettings(), correction or WCSCorrection()
    made, blank = _subtracted(science, aligned, match, correction, settings)
    if settings.compare_with is None:
        return made
    second = replace(settings, algorithm=settings.compare_with, compare_with=None)
    other, _ = _subtracted(science, aligned, replace(match, kernel=None), correction, second)
    scores = made.difference.score_corrected, other.difference.score_corrected
    metrics = replace(
        made.metrics,
        compared_with=settings.compare_with,
        score_disagreement=disagreement(*scores, blank),
    )
    return replace(made, metrics=metrics, other_score=scores[1])


def _subtracted(
    science: Image,
    aligned: Image,
    match: StarMatch,
    correction: WCSCorrection,
    settings: SubtractionSettings,
) -> tuple[Subtraction, NDArray[np.bool_]]:
    """Return the subtraction by one algorithm, and where its sky is blank."""
    masks = pair_masks(science.mask, aligned.mask)
    coverage = masks.n_covered / max(masks.n_usable_science, 1)
    if coverage < settings.coverage_fraction_min:
        raise no_overlap(coverage, settings.coverage_fraction_min)
    planned = plan(settings.algorithm, science, aligned, match, settings.kernel)
    psf_error = max(planned.model_error, settings.psf_error_min)
    maps = subtract_maps(
        science,
        planned.reference,
        scheme_at=planned.scheme_at,
        order=planned.order,
        astrometric_noise_pix=(match.astrometric_noise_x_pix, match.astrometric_noise_y_pix),
        psf_error=psf_error,
        sub_image_pix=settings.sub_image_pix,
        sub_image_change=settings.sub_image_change,
        unusable_science=masks.science,
        unusable_reference=masks.reference,
        saturated_reference=masks.saturated_reference,
    )
    fwhm = maps.psf.fwhm_pix
    blank = blank_sky_mask(
        maps.reference_significance, masks.either, fwhm_pix=fwhm, settings=settings.blank_sky
    )
    blank &= maps.score_corrected != 0
    level = match.level or measured_level(
        maps.psf_flux,
        maps.psf_flux_error,
        blank,
        pixels_per_element=float(np.sum(maps.psf_score.astype(float) ** 2)),
        settings=settings.level,
    )
    area = maps.psf.noise_equivalent_area_pix
    take_level(maps, level, effective_area_pix=area)
    sky = blank_sky_statistics(maps.score_corrected, blank, score_autocorrelation=maps.psf_score)
    is_resampled = science.meta.is_resampled or aligned.meta.is_resampled
    scale = 1.0
    if is_resampled and sky.std and sky.n_independent >= settings.n_independent_for_scaling:
        scale = sky.std
    corrected, flux_error = maps.score_corrected, maps.psf_flux_error
    if scale != 1:
        corrected, flux_error = corrected / np.float32(scale), flux_error * np.float32(scale)
    difference = DifferenceImage(
        Image(
            maps.difference,
            maps.difference_variance,
            masks.mask,
            science.wcs,
            science.meta,
            psf=maps.psf,
            header=science.header,
        ),
        corrected,
        maps.psf_flux,
        flux_error,
        scale,
        settings.algorithm,
    )
    metrics = measure_subtraction(
        science,
        aligned,
        maps,
        match=match,
        correction=correction,
        kernel=planned.kernel,
        unusable=masks.either,
        blank=blank,
        sky=sky,
        level=level,
        coverage_fraction=coverage,
        psf_error=psf_error,
        noise_scale_factor=scale,
    )
    verdict, reasons = blank_sky_verdict(
        sky, is_resampled=is_resampled, settings=settings.blank_sky
    )
    told = (correction.reason,) if correction.reason else ()
    if verdict is None:
        quality = Quality(True, (), (*reasons, *told))
    else:
        quality = Quality(verdict, reasons, told)
    return Subtraction(difference, aligned, metrics, quality), blank
