"""Aligning a pair by the stars both show: shift and distortion, flux ratio, registration noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrid_assets.difference.alard_lupton.solution import KernelSolution
from astrid_assets.difference.metrics import SubtractionMetrics
from astrid_assets.difference.star_fits import StarFits, find_peaks, fit_stars
from astrid_assets.difference.surfaces import Surface, fit_surfaces
from astrid_assets.imaging.resample import world_to_pixel
from astrid_resources.images import Image, KnownFailure

FloatColumn = NDArray[np.float64]
_POSITION_FLOOR_PIX = 0.1
_FLUX_FLOOR = 0.05
_POSITION_ERROR_FLOOR_PIX = 0.001
_FLUX_ERROR_FLOOR = 0.01


class TooFewMatchesError(KnownFailure):
    """Too few common stars to align the pair: the WCS alone is not trusted silently."""


@dataclass(frozen=True)
class MatchSettings:
    """Thresholds of the alignment.

    peak_sigma: pixel significance of a usable peak. search_radius_pix: largest residual shift of
    the reference against its WCS. max_residual: largest fractional misfit of a star (galaxies and
    blends exceed it). n_stars_min, n_stars_max: stars needed, stars used.
    n_stars_by_order: stars needed before shift or flux ratio may be constant, linear, quadratic.
    shift_error_max_pix, log_ratio_error_max: no variation is taken that is less certain anywhere.
    """

    peak_sigma: float = 8.0
    search_radius_pix: float = 10.0
    max_residual: float = 0.12
    n_stars_min: int = 3
    n_stars_max: int = 200
    n_stars_by_order: tuple[int, ...] = (1, 10, 30)
    shift_error_max_pix: float = 0.05
    log_ratio_error_max: float = 0.02


@dataclass(frozen=True)
class StarMatch:
    """How the reference lies on the science image, with the stars that say so.

    shift: along x and y, to be added to the reference pixel position that the two WCS give; of the
        position on the science image.
    log_flux_ratio: ln F_r / F_n, reference counts over science counts of a star.
    level: sky left between the two, as a PSF flux of the difference; None: still to be measured.
    kernel: the matching kernel where one is known already.
    astrometric_noise_*_pix: rms registration error per axis: robust intrinsic scatter beyond the
        stars' own position errors, and the error of the shift itself.
    psf_error: typical fractional misfit of the two PSF models at the stars, beyond noise.
    x, y, flux: the stars on the science image (pixels, science counts).
    """

    shift: tuple[Surface, Surface]
    log_flux_ratio: Surface
    flux_ratio_error: float
    astrometric_noise_x_pix: float
    astrometric_noise_y_pix: float
    psf_error: float
    x: FloatColumn = field(repr=False)
    y: FloatColumn = field(repr=False)
    flux: FloatColumn = field(repr=False)
    level: Surface | None = None
    kernel: KernelSolution | None = None

    @property
    def flux_ratio(self) -> float:
        """F_r / F_n at the centre of the field."""
        return float(np.exp(self.log_flux_ratio.middle))

    @property
    def n_stars(self) -> int:
        """Number of common stars used."""
        return len(self.x)


def star_peaks(image: Image, settings: MatchSettings | None = None) -> NDArray[np.float64]:
    """Return positions (n, 2) as x, y of the stars that may align an image, brightest first."""
    settings = settings or MatchSettings()
    if image.psf is None:
        raise ValueError("stars are found on images that have a PSF")
    return find_peaks(
        image,
        threshold_sigma=settings.peak_sigma,
        separation_pix=2 * image.psf.fwhm_pix,
        max_number=settings.n_stars_max,
    )


def match_stars(
    science: Image,
    reference: Image,
    *,
    peaks: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    settings: MatchSettings | None = None,
) -> StarMatch:
    """Return shift, flux ratio and registration noise from the stars common to both images.

    Both images need a PSF. peaks: `star_peaks` of both, where they are known already.
    Raises TooFewMatchesError.
    """
    settings = settings or MatchSettings()
    if peaks is None:
        peaks = star_peaks(science, settings), star_peaks(reference, settings)
    peaks_science, peaks_reference = peaks
    expected = on_reference(science, reference, peaks_science[:, 0], peaks_science[:, 1])
    first, second = _paired(expected, peaks_reference, settings)
    with ThreadPoolExecutor(2) as pool:
        fits, fits_reference = pool.map(
            lambda image, at: fit_stars(image, at[:, 0], at[:, 1]),
            (science, reference),
            (peaks_science[first], peaks_reference[second]),
        )
    use = fits.is_good & fits_reference.is_good
    worst = np.hypot(fits.residual, fits_reference.residual)
    use &= worst < settings.max_residual
    if use.sum() < settings.n_stars_min:
        raise _too_few(int(use.sum()), settings)
    return _summary(science, reference, fits, fits_reference, use, settings)


def known_match(metrics: SubtractionMetrics, shape: tuple[int, int]) -> StarMatch:
    """Return the alignment that a subtraction on a grid of `shape` recorded, without its stars."""
    none = np.zeros(0)
    return StarMatch(
        shift=(Surface(metrics.shift_x_terms, shape), Surface(metrics.shift_y_terms, shape)),
        log_flux_ratio=Surface(metrics.log_flux_ratio_terms, shape),
        flux_ratio_error=metrics.flux_ratio_error,
        astrometric_noise_x_pix=metrics.astrometric_noise_x_pix,
        astrometric_noise_y_pix=metrics.astrometric_noise_y_pix,
        psf_error=metrics.psf_error,
        x=none,
        y=none,
        flux=none,
        level=Surface(metrics.level_terms, shape),
        kernel=metrics.kernel,
    )


def on_reference(
    science: Image, reference: Image, x: FloatColumn, y: FloatColumn
) -> NDArray[np.float64]:
    """Return (n, 2) reference pixel positions of science positions (x, y), by the two WCS."""
    if len(x) == 0:
        return np.zeros((0, 2))
    ra, dec = science.wcs.all_pix2world(x, y, 0)
    return np.stack(world_to_pixel(reference.wcs, ra, dec), axis=1)


def _too_few(n_found: int, settings: MatchSettings) -> TooFewMatchesError:
    return TooFewMatchesError(
        f"the pair shares {n_found} usable stars, {settings.n_stars_min} are needed to align it: "
        "look at both WCS, at saturation and at the depth of the two images",
        n_found=n_found,
        n_required=settings.n_stars_min,
    )


def _paired(
    expected: NDArray[np.float64], found: NDArray[np.float64], settings: MatchSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return indices of peaks that agree on one shift: the mode of all pair differences."""
    usable = np.flatnonzero(np.isfinite(expected).all(axis=1))
    if usable.size == 0 or len(found) == 0:
        raise _too_few(0, settings)
    tree = cKDTree(found)
    near = tree.query_ball_point(expected[usable], settings.search_radius_pix)
    pairs = np.array([(i, j) for i, js in zip(usable, near, strict=True) for j in js], int)
    if len(pairs) == 0:
        raise _too_few(0, settings)
    difference = found[pairs[:, 1]] - expected[pairs[:, 0]]
    votes = cKDTree(difference).query_ball_point(difference, 1.5)
    size = np.hypot(*difference.T)
    best = min(range(len(votes)), key=lambda i: (-len(votes[i]), size[i]))
    mode = np.median(difference[votes[best]], axis=0)
    close = np.hypot(*(difference - mode).T)
    first, second = {}, {}
    for k in np.argsort(close, kind="stable"):
        i, j = pairs[k]
        if close[k] < 2 and i not in first and j not in second:
            first[i], second[j] = j, i
    chosen = np.array(sorted(first), int)
    return chosen, np.array([first[i] for i in chosen], int)


def _summary(
    science: Image,
    reference: Image,
    fits: StarFits,
    fits_reference: StarFits,
    use: NDArray[np.bool_],
    settings: MatchSettings,
) -> StarMatch:
    expected = on_reference(science, reference, fits.x, fits.y)
    delta = np.stack([fits_reference.x, fits_reference.y], axis=1) - expected
    error = np.stack(
        [np.hypot(fits.x_error, fits_reference.x_error),
         np.hypot(fits.y_error, fits_reference.y_error)], axis=1,
    )  # fmt: skip
    log_ratio = np.log(fits_reference.flux[use] / fits.flux[use])
    kept = _unclipped(log_ratio, floor=_FLUX_FLOOR)
    for axis in (0, 1):
        kept &= _unclipped(delta[use, axis], floor=_POSITION_FLOOR_PIX)
    use = use.copy()
    if kept.sum() >= max(settings.n_stars_min, kept.size / 2):
        use[np.flatnonzero(use)[~kept]] = False
    x, y = fits.x[use], fits.y[use]
    moved = fit_surfaces(
        x,
        y,
        delta[use],
        error[use],
        shape=science.shape,
        n_needed=settings.n_stars_by_order,
        error_floor=_POSITION_ERROR_FLOOR_PIX,
        error_max=settings.shift_error_max_pix,
    )
    relative = np.hypot(
        fits.flux_error[use] / fits.flux[use],
        fits_reference.flux_error[use] / fits_reference.flux[use],
    )
    log_ratio = np.log(fits_reference.flux[use] / fits.flux[use])
    scaled = fit_surfaces(
        x,
        y,
        log_ratio[:, None],
        relative[:, None],
        shape=science.shape,
        n_needed=settings.n_stars_by_order,
        error_floor=_FLUX_ERROR_FLOOR,
        error_max=settings.log_ratio_error_max,
    )
    misfit = np.hypot(fits.residual[use], fits_reference.residual[use])
    bright = np.argsort(-fits.flux[use])[: max(3, int(use.sum()) // 2)]
    return StarMatch(
        shift=(moved.surfaces[0], moved.surfaces[1]),
        log_flux_ratio=scaled.surfaces[0],
        flux_ratio_error=float(np.exp(scaled.surfaces[0].middle) * scaled.errors[0]),
        astrometric_noise_x_pix=moved.noise[0],
        astrometric_noise_y_pix=moved.noise[1],
        psf_error=float(np.median(misfit[bright])),
        x=x,
        y=y,
        flux=fits.flux[use],
    )


def _unclipped(values: FloatColumn, *, floor: float) -> NDArray[np.bool_]:
    """Return which values lie within four robust sigmas (more for few values) of the median."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return np.abs(values - middle) <= 4 * spread * (1 + 4 / values.size) + floor
