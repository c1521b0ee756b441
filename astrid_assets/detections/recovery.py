"""Completeness of one exposure: inject sources, subtract again, find, score.

Nothing of it reaches the catalog. Where sources are injected stands in `injection_plan.py`,
drawing them in `imaging/injection.py`, counting them in `completeness.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.candidates.extract import CandidateSettings, find_candidates
from astrid_assets.candidates.finder_curve import FinderCurve, FinderCurveSettings, finder_curve
from astrid_assets.detections.completeness import Axis, Bin, Counts, counted
from astrid_assets.detections.cutouts import candidate_cutouts
from astrid_assets.detections.injection_plan import (
    InjectedSources,
    InjectionSettings,
    Sample,
    plan_injection,
)
from astrid_assets.detections.scoring import Champion, score
from astrid_assets.difference.matching import known_match
from astrid_assets.difference.subtract import (
    Subtraction,
    SubtractionSettings,
    subtract_aligned,
)
from astrid_assets.imaging.injection import inject_sources
from astrid_resources.images import Image

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class RecoverySettings:
    """What the completeness depends on.

    snr_edges: bins of true S/N; the exposure is judged by those within the injection's snr_range.
    curve: the finder's own curve in Gaussian noise, and how close a candidate must be to a source.
    """

    snr_edges: tuple[float, ...] = (2.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 8, 12, 20, 40)
    injection: InjectionSettings = field(default_factory=InjectionSettings)
    curve: FinderCurveSettings = field(default_factory=lambda: FinderCurveSettings(n_per_snr=200))


@dataclass(frozen=True)
class Recovery:
    """The injected sources, what became of them, and the finder's curve they are held to.

    is_found, is_passed, is_accepted: arrays like those of `sources`. zero_point_ab_mag: None where
    not known.
    """

    sources: InjectedSources
    is_found: Bools = field(repr=False)
    is_passed: Bools = field(repr=False)
    is_accepted: Bools = field(repr=False)
    curve: FinderCurve
    settings: RecoverySettings
    zero_point_ab_mag: float | None

    @property
    def counts(self) -> Counts:
        """What became of the sources; none is expected on unusable pixels."""
        expected = np.where(self.sources.is_unusable, 0.0, self.curve.at(self.sources.snr))
        return Counts(self.is_found, self.is_passed, self.is_accepted, expected)

    @property
    def bins(self) -> tuple[Bin, ...]:
        """Counts by S/N, magnitude and host brightness.

        By S/N: SNR and FLUX on usable pixels. By magnitude: FLUX wherever there is a reference,
        masked pixels included, as nature would. By host: SNR and HOST on usable pixels away from
        reference stars, all of the same S/N.
        """
        s, settings = self.sources, self.settings
        usable = ~s.is_unusable
        axis = Axis.MAGNITUDE_INSTRUMENTAL
        if self.zero_point_ab_mag is not None:
            axis = Axis.MAGNITUDE_AB
        magnitude = (self.zero_point_ab_mag or 0.0) - 2.5 * np.log10(s.flux_adu)
        by_flux, step = s.of(Sample.FLUX), settings.injection.magnitude_step
        first, last = (
            (np.floor(magnitude[by_flux].min() / step), np.floor(magnitude[by_flux].max() / step))
            if by_flux.any()
            else (0, -1)
        )
        edges = step * np.arange(first, last + 2)
        on_host = s.of(Sample.SNR, Sample.HOST) & usable & ~s.is_near_star
        return (
            *counted(
                Axis.SNR,
                s.snr,
                settings.snr_edges,
                self.counts,
                where=s.of(Sample.SNR, Sample.FLUX) & usable,
            ),
            *counted(axis, magnitude, edges.tolist(), self.counts, where=by_flux),
            *counted(
                Axis.HOST,
                s.host_sky_sigma,
                settings.injection.host_edges,
                self.counts,
                where=on_host,
            ),
        )

    @property
    def judged(self) -> Bin:
        """The one bin that the exposure is judged by: SNR on usable pixels."""
        low, high = self.settings.injection.snr_range
        where = self.sources.of(Sample.SNR) & ~self.sources.is_unusable
        everything = counted(Axis.SNR, self.sources.snr, (0.0, None), self.counts, where=where)
        if not everything:
            return Bin(Axis.SNR, low, high, 0, 0, 0, 0, 0.0, 0.0)
        _, curve_error = self.curve.expected_number(self.sources.snr[where])
        variance = everything[0].expected_variance + curve_error**2
        return replace(everything[0], low=low, high=high, expected_variance=variance)


def subtract_again(
    injected: Image, subtraction: Subtraction, *, settings: SubtractionSettings | None = None
) -> Subtraction:
    """Subtract as before, from a science image that only gained sources.

    Registration, flux ratio, PSF error and noise factor are those of `subtraction`: measured anew
    they would be spoilt by sources that nature did not put there.
    """
    m = subtraction.metrics
    match = known_match(m, injected.shape)
    algorithm = subtraction.difference.algorithm
    settings = replace(settings or SubtractionSettings(), algorithm=algorithm, compare_with=None)
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
    candidate_settings = candidate_settings or CandidateSettings()
    p_d = subtraction.difference.image.psf
    if science.psf is None or p_d is None:
        raise ValueError(
            "injection and recovery need a PSF of the science image and of the difference"
        )
    sources = plan_injection(
        subtraction,
        science.psf,
        gain_e_per_adu=science.meta.gain_e_per_adu,
        zero_point_ab_mag=science.meta.zero_point_ab_mag,
        settings=settings.injection,
        rng=rng,
    )
    x, y = sources.x, sources.y
    injected = inject_sources(science, x=x, y=y, flux_adu=sources.flux_adu, rng=rng)
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
    radius = settings.curve.match_radius_pix(again.metrics.fwhm_difference_pix)
    close = np.hypot(x[:, None] - cx, y[:, None] - cy) <= radius
    threshold = candidate_settings.threshold_sigma
    return Recovery(
        sources=sources,
        is_found=close.any(axis=1),
        is_passed=(close & is_passed).any(axis=1),
        is_accepted=(close & is_passed & is_accepted).any(axis=1),
        curve=finder_curve(
            p_d, rng=rng, settings=replace(settings.curve, threshold_sigma=threshold)
        ),
        settings=settings,
        zero_point_ab_mag=science.meta.zero_point_ab_mag,
    )
