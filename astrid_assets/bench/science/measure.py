"""One field of one case through the product's own chain, and what it says against the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrid_assets.bench.science.cases import BRIGHT_SNR, FAINT_SNR, HOST_FRACTION, Case
from astrid_assets.bench.science.theory import (
    theory_at,
    true_flux_ratio,
    true_snr,
)
from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.candidate import Candidate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.finder_curve import FinderCurveSettings, finder_curve
from astrid_assets.candidates.noise_peaks import noise_peaks
from astrid_assets.difference.blank_sky import blank_sky_mask
from astrid_assets.difference.forced import forced_flux
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.imaging.resample import world_to_pixel
from astrid_assets.imaging.smoothing import within
from astrid_assets.imaging.sources import source_significance
from astrid_assets.imaging.synthetic.pair import SyntheticPair, coadd_epoch, make_pair
from astrid_resources.images import PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
THRESHOLD_SIGMA = 5.0
TAIL_SIGMA = 4.0
_TRUTH_FWHM = 3.0
_MASK_FWHM = 2.0
_APART_FWHM = 6.0
_EDGE_PIX = 30.0
_NOISE_DRAWS = 100_000
_FLOOR_SIGMA = 0.0002
_CURVE_SNR = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
_CURVE_SOURCES = 500


@dataclass(frozen=True)
class SkyMoments:
    """Score in blank sky: n pixels, mean of x and x^2, median, beyond 4 sigma (two-sided)."""

    n_pixels: int
    mean: float
    mean_square: float
    median: float
    n_tail: int


@dataclass(frozen=True)
class FieldResult:
    """What one field says; lists are of one length, one entry per injected source that counts.

    snr: true S/N. score, flux_pull, flux_ratio: interpolated score at the true position, forced
    flux minus truth over its error, forced over true flux. is_found: the finder has a positive
    peak there; is_accepted: and no rule rejects it. offset_x, offset_y: fitted minus true position
    over bound / S/N. curve_expected: the finder's own probability in Gaussian noise.
    n_false, false_area_mpix, noise_peaks_per_mpix: accepted positive candidates away from truth
    and masks, where they could stand, and their Gaussian expectation; false_*: where and what.
    """

    case: str
    seed: int
    sky: SkyMoments
    snr: list[float] = field(repr=False)
    score: list[float] = field(repr=False)
    flux_ratio: list[float] = field(repr=False)
    flux_pull: list[float] = field(repr=False)
    is_found: list[bool] = field(repr=False)
    is_accepted: list[bool] = field(repr=False)
    offset_x: list[float] = field(repr=False)
    offset_y: list[float] = field(repr=False)
    curve_expected: list[float] = field(repr=False)
    curve_error: list[float] = field(repr=False)
    n_false: int
    false_area_mpix: float
    noise_peaks_per_mpix: float
    false_positions: list[list[float]]
    numbers: dict[str, float | None]


def make_case_pair(case: Case, seed: int) -> SyntheticPair:
    """Return field `seed` of `case`: dithered, with faint and bright transients."""
    rng = np.random.default_rng([seed, 77])
    dither = tuple(float(v) for v in rng.uniform(-3, 3, 2))
    shape = (case.side_pix, case.side_pix)
    science = replace(case.science, shape=shape, offset_pix=dither)  # type: ignore[arg-type]
    reference = replace(coadd_epoch(science, depth=case.reference_depth), **case.reference)
    middle = theory_at(science, reference, *(((n - 1) / 2) for n in reversed(shape)))
    area = shape[0] * shape[1] / 1e6
    wanted = np.concatenate(
        [
            rng.uniform(*FAINT_SNR, round(case.faint_per_mpix * area)),
            rng.uniform(*BRIGHT_SNR, round(case.bright_per_mpix * area)),
        ]
    )
    pair = make_pair(
        seed,
        shape,
        science=science,
        reference=reference,
        stars_per_mpix=case.stars_per_mpix,
        transient_host_fraction=HOST_FRACTION,
        transient_flux_adu=middle.flux_for_snr(wanted),
        floor_sigma=_FLOOR_SIGMA,
    )
    nothing = np.broadcast_to(np.float32(0), shape)  # the sky's maps are not asked for: less memory
    return replace(
        pair,
        science=replace(pair.science, sky=nothing),
        reference=replace(pair.reference, sky=nothing),
    )


def measure(case: Case, seed: int) -> FieldResult:
    """Return what field `seed` of `case` says. Raises what the stages raise."""
    pair = make_case_pair(case, seed)
    made, made_reference = calibrate(pair.science.raw), calibrate(pair.reference.raw)
    subtraction = subtract(made.image, made_reference.image)
    candidates = find_candidates(subtraction, made.image)
    defects = true_defects(pair)
    reach = pair.science.epoch.fwhm_pix
    masked = has_any(subtraction.difference.image.mask, *UNUSABLE)
    sources = _sources(pair, subtraction, candidates, defects)
    masked |= true_defects(pair, with_trails=False)
    false, area = _false_positives(pair, candidates, within(masked, _MASK_FWHM * reach))
    ny, nx = case.side_pix, case.side_pix
    at = theory_at(pair.science.epoch, pair.reference.epoch, (nx - 1) / 2, (ny - 1) / 2)
    peaks = noise_peaks(
        PSFModel.constant(at.psf, shape=pair.science.epoch.shape),
        threshold_sigma=THRESHOLD_SIGMA,
        rng=np.random.default_rng(1),
        n_draws=_NOISE_DRAWS,
    )
    metrics = subtraction.metrics
    return FieldResult(
        case=case.name,
        seed=seed,
        sky=_sky(pair, subtraction, masked | defects),
        **sources,
        n_false=len(false),
        false_area_mpix=area,
        noise_peaks_per_mpix=1e6 * peaks.per_pixel,
        false_positions=[[c.pixel_x, c.pixel_y, c.significance] for c in false],
        numbers={
            "n_psf_stars": made.metrics.n_psf_stars,
            "n_psf_stars_reference": made_reference.metrics.n_psf_stars,
            "psf_order": made.metrics.psf_order,
            "psf_order_reference": made_reference.metrics.psf_order,
            "psf_residual": made.metrics.psf_residual,
            "n_match_stars": metrics.n_stars,
            "psf_error": metrics.psf_error,
            "astrometric_noise_x_pix": metrics.astrometric_noise_x_pix,
            "flux_ratio_over_truth": metrics.flux_ratio
            / true_flux_ratio(pair.science.epoch, pair.reference.epoch),
            "product_score_median": metrics.score_median,
            "product_score_std": metrics.score_std,
            "masked_fraction": metrics.masked_fraction,
            "is_passed": float(subtraction.quality.is_passed),
        },
    )


def true_defects(pair: SyntheticPair, *, with_trails: bool = True) -> Bools:
    """Return where the counts of either exposure are not the sky's, on the science grid.

    with_trails: satellite trails, too; what is accepted on a trail is a false positive.
    """
    out = np.zeros(pair.science.epoch.shape, bool)
    for made in (pair.science, pair.reference):
        lost = made.saturated | made.bad | made.cosmic_rays
        if with_trails:
            lost = lost | made.trails
        y, x = np.nonzero(lost)
        if not len(x):
            continue
        if made is pair.reference:
            ra, dec = made.epoch.wcs(is_true=True).all_pix2world(x, y, 0)
            there = world_to_pixel(pair.science.epoch.wcs(is_true=True), ra, dec)
            x, y = (np.rint(np.asarray(a)).astype(int) for a in there)
            inside = (x >= 0) & (y >= 0) & (x < out.shape[1]) & (y < out.shape[0])
            x, y = x[inside], y[inside]
        out[y, x] = True
    return out


def _sky(pair: SyntheticPair, subtraction: Subtraction, lost: Bools) -> SkyMoments:
    """The score away from every true source above 3 sigma, masks and the edge."""
    epoch = pair.science.epoch
    clean = source_significance(
        pair.science.clean, epoch.sky_sigma_adu, unusable=np.zeros(epoch.shape, bool),
        fwhm_pix=epoch.fwhm_pix,
    )  # fmt: skip
    ratio = np.float32(epoch.sky_sigma_adu / pair.reference.epoch.sky_sigma_adu)
    ratio *= np.float32(true_flux_ratio(epoch, pair.reference.epoch))
    clean *= np.sqrt(1 + ratio**2)
    score = subtraction.difference.score_corrected
    fwhm = max(epoch.fwhm_pix, pair.reference.epoch.fwhm_pix)
    blank = blank_sky_mask(clean, lost, fwhm_pix=fwhm) & (score != 0)
    edge = int(np.ceil(_MASK_FWHM * fwhm)) + 8
    values = score[edge:-edge, edge:-edge][blank[edge:-edge, edge:-edge]].astype(float)
    return SkyMoments(
        len(values), float(values.mean()), float((values**2).mean()), float(np.median(values)),
        int(np.count_nonzero(np.abs(values) > TAIL_SIGMA)),
    )  # fmt: skip


def _sources(
    pair: SyntheticPair,
    subtraction: Subtraction,
    candidates: tuple[Candidate, ...],
    defects: Bools,
) -> dict[str, Any]:
    epoch = pair.science.epoch
    truth = pair.truth.select(_usable_sources(pair, defects))
    snr, bound = true_snr(pair, truth)
    places, flux = np.column_stack([truth.x, truth.y]), truth.flux_adu
    forced = forced_flux(subtraction.difference, places[:, 0], places[:, 1])
    settings = FinderCurveSettings(snr=_CURVE_SNR, n_per_snr=_CURVE_SOURCES)
    radius = settings.match_radius_pix(subtraction.metrics.fwhm_difference_pix)
    positive = [c for c in candidates if not c.is_negative]
    at = np.array([[c.pixel_x, c.pixel_y] for c in positive]).reshape(-1, 2)
    distance, index = cKDTree(at).query(places)
    is_found = distance <= radius
    index = np.where(is_found, index, 0)
    accepted = np.array([c.is_accepted for c in positive], bool)
    offset = (at[index] - places) * (snr / bound)[:, None]
    offset[~is_found] = 0
    ny, nx = epoch.shape
    middle = theory_at(epoch, pair.reference.epoch, (nx - 1) / 2, (ny - 1) / 2)
    half = len(middle.psf) // 2
    core = slice(half - half // 2, half + half // 2 + 1)
    curve = finder_curve(
        middle.psf[core, core], rng=np.random.default_rng([11, int(truth.x[0])]), settings=settings
    )
    return {
        "snr": snr.tolist(),
        "score": forced.score.tolist(),
        "flux_ratio": (forced.flux / flux).tolist(),
        "flux_pull": ((forced.flux - flux) / forced.flux_error).tolist(),
        "is_found": is_found.tolist(),
        "is_accepted": (is_found & accepted[index]).tolist(),
        "offset_x": offset[:, 0].tolist(),
        "offset_y": offset[:, 1].tolist(),
        "curve_expected": curve.at(snr).tolist(),
        "curve_error": curve.error_at(snr).tolist(),
    }


def _usable_sources(pair: SyntheticPair, defects: Bools) -> Bools:
    """Which transients stand on the detector, apart from each other and from true defects."""
    ny, nx = pair.science.epoch.shape
    fwhm, truth = pair.science.epoch.fwhm_pix, pair.truth
    near = within(defects, _MASK_FWHM * fwhm)
    places = np.column_stack([truth.x, truth.y])
    apart = cKDTree(places).query(places, k=2)[0][:, 1] > _APART_FWHM * fwhm
    inside = (np.abs(truth.x - (nx - 1) / 2) < nx / 2 - _EDGE_PIX) & (
        np.abs(truth.y - (ny - 1) / 2) < ny / 2 - _EDGE_PIX
    )
    row, column = (
        np.clip(np.rint(a).astype(int), 0, n - 1) for a, n in ((truth.y, ny), (truth.x, nx))
    )
    return np.asarray(apart & inside & ~near[row, column])


def _false_positives(
    pair: SyntheticPair, candidates: tuple[Candidate, ...], masked: Bools
) -> tuple[list[Candidate], float]:
    """Accepted positive candidates away from transients and masks, and the area left, Mpix."""
    away = ~masked
    radius = _TRUTH_FWHM * pair.science.epoch.fwhm_pix
    marks = np.zeros(masked.shape, bool)
    ny, nx = masked.shape
    x, y = (
        np.clip(np.rint(a).astype(int), 0, n - 1)
        for a, n in ((pair.truth.x, nx), (pair.truth.y, ny))
    )
    marks[y, x] = True
    away &= ~within(marks, radius)
    kept = [
        c
        for c in candidates
        if c.is_accepted and not c.is_negative and away[round(c.pixel_y), round(c.pixel_x)]
    ]
    return kept, float(np.count_nonzero(away)) / 1e6
