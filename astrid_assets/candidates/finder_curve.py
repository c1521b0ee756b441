"""What the finder itself finds in Gaussian noise: the curve that real completeness is held to.

A finder of peaks may choose the maximum and so finds a little more than the unit theory
Phi(s - 5), and loses on the pixel grid where the PSF is sharp: neither is a fault of the images.
The finder here is `extract_peaks` as it is; injecting into images stands in `detections/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr

from astrid_assets.candidates.peaks import extract_peaks
from astrid_assets.difference.forced import interpolated
from astrid_assets.difference.kernels import spectrum
from astrid_resources.images import PSFModel

Floats = NDArray[np.float64]
_PHASES = 64
_FIELD_PIX = 1536


@dataclass(frozen=True)
class FinderCurveSettings:
    """What the curve depends on beside the PSF.

    snr: true S/N at which the finder is tried, increasing; n_per_snr: sources at each.
    threshold_sigma: of the finder. match_fwhm, match_pix_min: a peak this close to a source (the
    larger of the two radii) is that source. spacing_fwhm: half of a source's own cell.
    """

    snr: tuple[float, ...] = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 9.0)
    n_per_snr: int = 600
    threshold_sigma: float = 5.0
    match_fwhm: float = 0.6
    match_pix_min: float = 1.5
    spacing_fwhm: float = 2.0

    def match_radius_pix(self, fwhm_pix: float) -> float:
        """Return how close to a source a peak must lie to be it."""
        return max(self.match_pix_min, self.match_fwhm * fwhm_pix)


@dataclass(frozen=True)
class FinderCurve:
    """The share of point sources of true S/N `snr` that the finder finds in Gaussian noise.

    found, error: arrays like `snr`, the share and its standard error from the simulation.
    n_per_snr: sources behind each number.
    """

    snr: Floats = field(repr=False)
    found: Floats = field(repr=False)
    error: Floats = field(repr=False)
    n_per_snr: int
    threshold_sigma: float

    def at(self, snr: ArrayLike) -> Floats:
        """Return the share found at any S/N: linear in its distance from the unit theory.

        Beyond the tried S/N that distance is the last one, and the share stays within 0 and 1.
        """
        s = np.asarray(snr, float)
        gain = np.interp(s, self.snr, self.found - unit_theory(self.snr, self.threshold_sigma))
        return np.asarray(np.clip(unit_theory(s, self.threshold_sigma) + gain, 0.0, 1.0))

    def error_at(self, snr: ArrayLike) -> Floats:
        """Return the standard error of `at`, interpolated: an upper bound between two tried S/N."""
        return np.asarray(np.interp(np.asarray(snr, float), self.snr, self.error))

    def expected_number(self, snr: Floats) -> tuple[float, float]:
        """Return how many of these sources are found on average, and its error from the curve.

        The errors of the tried S/N are independent; each counts with the weight it has in the sum.
        """
        tried = np.eye(len(self.snr))
        weights = np.array([np.interp(snr, self.snr, one).sum() for one in tried])
        return float(self.at(snr).sum()), float(np.hypot.reduce(weights * self.error))


def unit_theory(snr: ArrayLike, threshold_sigma: float) -> Floats:
    """Return Phi(s - threshold): how often the score at a true position exceeds the threshold."""
    return np.asarray(ndtr(np.asarray(snr, float) - threshold_sigma))


def finder_curve(
    psf: PSFModel | NDArray[np.floating],
    *,
    rng: np.random.Generator,
    settings: FinderCurveSettings | None = None,
) -> FinderCurve:
    """Return what `extract_peaks` finds of point sources in Gaussian noise, by true S/N.

    psf: P_D, the PSF of the difference (its centre where it varies), or its stamp (n, n), n odd.
    Its normalised autocorrelation is that of the score's noise and the profile of a source there.
    The share is Phi(s - t) + mean(found - [score at the true position > t]): the bracket has the
    known mean Phi(s - t) and follows `found` closely, which leaves a third of the variance.
    Raises ValueError where the S/N do not increase or a stamp is not odd and square.
    """
    settings = settings or FinderCurveSettings()
    model = psf if isinstance(psf, PSFModel) else _model(psf)
    snr = np.asarray(settings.snr, float)
    if len(snr) < 2 or (np.diff(snr) <= 0).any():
        raise ValueError(f"the S/N of a finder curve must increase, got {settings.snr}")
    stamp, fwhm = model.centre.astype(float), model.fwhm_pix
    profiles, phases = _profiles(stamp, int(np.ceil(settings.spacing_fwhm * fwhm)), rng)
    edge = profiles.shape[-1]
    per_side = max(1, _FIELD_PIX // edge)
    wanted = np.repeat(np.arange(len(snr)), settings.n_per_snr)
    rng.shuffle(wanted)
    excess = [np.empty(0)]
    for start in range(0, len(wanted), per_side**2):
        part = snr[wanted[start : start + per_side**2]]
        rows = -(-len(part) // per_side)
        score = _noise(stamp, (rows * edge, per_side * edge), rng)
        x, y = _plant(score, part, profiles, phases, rng.integers(0, _PHASES, len(part)))
        above = interpolated(score, x, y) > settings.threshold_sigma
        excess.append(_is_found(score, x, y, fwhm, settings).astype(float) - above)
    gained = np.concatenate(excess)
    each = [gained[wanted == k] for k in range(len(snr))]
    mean = np.array([np.mean(values) for values in each])
    scatter = np.array([np.std(values) for values in each])
    least = 1 / settings.n_per_snr
    return FinderCurve(
        snr=snr,
        found=np.clip(unit_theory(snr, settings.threshold_sigma) + mean, 0.0, 1.0),
        error=np.maximum(scatter / np.sqrt(settings.n_per_snr), least),
        n_per_snr=settings.n_per_snr,
        threshold_sigma=settings.threshold_sigma,
    )


def _model(stamp: NDArray[np.floating]) -> PSFModel:
    if stamp.ndim != 2 or stamp.shape[0] != stamp.shape[1] or stamp.shape[0] % 2 == 0:
        raise ValueError(f"a PSF stamp must be square with an odd edge, got {stamp.shape}")
    return PSFModel.constant(stamp, shape=(stamp.shape[0], stamp.shape[1]))


def _profiles(
    stamp: Floats, half: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.float64]]:
    """Return the score profile of a source, 1 at its true place, at random sub-pixel phases.

    Two arrays: (n, 2 half + 1, 2 half + 1), and the phases (n, 2) as (dx, dy) in pixels.
    """
    size = scipy.fft.next_fast_len(2 * max(stamp.shape[0], 2 * half + 1), real=True)
    size += size % 2
    power = np.abs(spectrum(stamp, shape=(size, size))) ** 2
    power /= scipy.fft.irfft2(power, s=(size, size))[0, 0]
    phases = rng.uniform(-0.5, 0.5, (_PHASES, 2))
    angle = (
        scipy.fft.rfftfreq(size)[None, None, :] * phases[:, 0, None, None]
        + scipy.fft.fftfreq(size)[None, :, None] * phases[:, 1, None, None]
    )
    moved = scipy.fft.irfft2(power * np.exp(-2j * np.pi * angle), s=(size, size))
    window = np.arange(-half, half + 1) % size
    return moved[:, window[:, None], window[None, :]], phases


def _noise(stamp: Floats, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return Gaussian noise of unit variance with the score's autocorrelation."""
    ny, nx = (scipy.fft.next_fast_len(n, real=True) for n in shape)
    white = scipy.fft.rfft2(rng.standard_normal((ny, nx), dtype=np.float32))
    kernel = np.conj(spectrum(stamp, shape=(ny, nx))) / np.sqrt(np.sum(stamp**2))
    noise = scipy.fft.irfft2(white * kernel.astype(np.complex64), s=(ny, nx))
    return np.ascontiguousarray(noise[: shape[0], : shape[1]], np.float32)


def _plant(
    score: NDArray[np.float32],
    snr: Floats,
    profiles: Floats,
    phases: Floats,
    chosen: NDArray[np.integer],
) -> tuple[Floats, Floats]:
    """Add one source to the middle of each cell of `score`; return their positions (x, y)."""
    edge = profiles.shape[-1]
    row, column = np.divmod(np.arange(len(snr)), score.shape[1] // edge)
    for k, phase in enumerate(chosen):
        top, left = row[k] * edge, column[k] * edge
        score[top : top + edge, left : left + edge] += (snr[k] * profiles[phase]).astype(np.float32)
    middle = edge // 2
    return column * edge + middle + phases[chosen, 0], row * edge + middle + phases[chosen, 1]


def _is_found(
    score: NDArray[np.float32], x: Floats, y: Floats, fwhm: float, settings: FinderCurveSettings
) -> NDArray[np.bool_]:
    """Return whether a positive peak of the finder lies at each position."""
    peaks = extract_peaks(score, score, threshold_sigma=settings.threshold_sigma)
    positive = ~peaks.is_negative
    if not positive.any():
        return np.zeros(len(x), bool)
    tree = cKDTree(np.column_stack([peaks.x[positive], peaks.y[positive]]))
    distance, _ = tree.query(np.column_stack([x, y]))
    return np.asarray(distance <= settings.match_radius_pix(fwhm))
