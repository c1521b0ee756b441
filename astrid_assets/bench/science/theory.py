"""What is true of a synthetic pair: the S/N of its sources and the bound on their positions.

All from the true PSFs and the expected noise, nothing from what the pipeline estimates.
Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27 (equation numbers are that paper's).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrid_assets.difference.kernels import spectrum
from astrid_assets.imaging.resample import world_to_pixel
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import SyntheticPair
from astrid_assets.imaging.synthetic.render import SourceTruth

Floats = NDArray[np.float64]
_STAMP_FWHM = 5.0


@dataclass(frozen=True)
class PairTheory:
    """ZOGY's optimum at one place of a pair, from two true PSFs; F_n = 1.

    k_n, k_r: spectra of the filters (eqs. 27, 30) on (size, size). f_s: F_S (eq. 42).
    psf: P_D (eq. 14) as a stamp of odd edge. own: variance of S that a source of one count adds.
    """

    size: int
    k_n: NDArray[np.complex128] = field(repr=False)
    k_r: NDArray[np.complex128] = field(repr=False)
    psf: Floats = field(repr=False)
    f_s: float
    blank_variance: float
    own: float

    @property
    def flux_error(self) -> float:
        """Noise of a PSF flux in blank sky, without the source's own photons."""
        return float(np.sqrt(self.blank_variance)) / self.f_s

    def flux_for_snr(self, snr: Floats) -> Floats:
        """Return science counts of true S/N `snr` in blank sky, own photons included."""
        own = self.own / self.f_s**2
        return (snr**2 * own + np.sqrt(snr**4 * own**2 + 4 * snr**2 * self.flux_error**2)) / 2

    @property
    def position_bound_pix(self) -> float:
        """1 / sqrt(-rho''(0)), mean of both axes: the rms per axis times the S/N, at best."""
        power = np.abs(scipy.fft.fft2(self.psf)) ** 2
        k = 2 * np.pi * np.fft.fftfreq(len(self.psf))
        curvature = 0.5 * np.sum(power * (k[:, None] ** 2 + k**2)) / np.sum(power)
        return float(1 / np.sqrt(curvature))


def pair_theory(
    psf_science: Floats,
    psf_reference: Floats,
    *,
    sigma_science: float,
    sigma_reference: float,
    flux_ratio: float,
    gain_science: float,
) -> PairTheory:
    """Return the optimum for two true PSFs (odd stamps) and blank-sky noise levels per pixel."""
    size = scipy.fft.next_fast_len(2 * max(len(psf_science), len(psf_reference)), real=True)
    size += size % 2
    p_n, p_r = (spectrum(psf, shape=(size, size)) for psf in (psf_science, psf_reference))
    var_n, var_r, f_r = sigma_science**2, sigma_reference**2, flux_ratio
    power = var_n * f_r**2 * np.abs(p_r) ** 2 + var_r * np.abs(p_n) ** 2
    power = np.maximum(power, 1e-12 * power.max())
    k_n = f_r**2 * np.conj(p_n) * np.abs(p_r) ** 2 / power
    k_r = f_r * np.conj(p_r) * np.abs(p_n) ** 2 / power
    psf_d = np.roll(_inverse(p_n * p_r / np.sqrt(power), size), (size // 2,) * 2, (0, 1))[1:, 1:]
    science, reference = _inverse(k_n, size), _inverse(k_r, size)
    own = np.sum(science[np.ix_(-np.arange(size), -np.arange(size))] ** 2 * _inverse(p_n, size))
    return PairTheory(
        size, k_n, k_r, psf_d / psf_d.sum(), float(_inverse(k_n * p_n, size)[0, 0]),
        float(var_n * np.sum(science**2) + var_r * np.sum(reference**2)),
        float(own) / gain_science,
    )  # fmt: skip


def _inverse(values: NDArray[np.complex128], size: int) -> Floats:
    return np.asarray(scipy.fft.irfft2(values, s=(size, size)))


def theory_at(science: Epoch, reference: Epoch, x: float, y: float) -> PairTheory:
    """Return the optimum at pixel (x, y), the same place of both detectors."""
    radius = int(np.ceil(_STAMP_FWHM * max(e.fwhm_pix * 1.2 for e in (science, reference))))
    return pair_theory(
        science.psf_stamp(x, y, radius=radius),
        reference.psf_stamp(x, y, radius=radius),
        sigma_science=science.sky_sigma_adu,
        sigma_reference=reference.sky_sigma_adu,
        flux_ratio=true_flux_ratio(science, reference),
        gain_science=science.gain_e_per_adu,
    )


def true_flux_ratio(science: Epoch, reference: Epoch) -> float:
    """Return reference counts over science counts of any source."""
    return float(10 ** (0.4 * (reference.zero_point_ab_mag - science.zero_point_ab_mag)))


def true_snr(pair: SyntheticPair, truth: SourceTruth) -> tuple[Floats, Floats]:
    """Return (S/N, position bound times S/N in pixels) of the transients `truth` of `pair`.

    s = flux F_S / sqrt(V_SN + V_SR): the filters, shifted to the true sub-pixel position, squared,
    on the expected variance of each image (sky, hosts and the source's own photons).
    """
    science, reference = pair.science.epoch, pair.reference.epoch
    there = world_to_pixel(reference.wcs(is_true=True), truth.ra, truth.dec)
    is_fixed = not any(e.fwhm_variation or e.ellipticity_variation for e in (science, reference))
    ny, nx = science.shape
    snr, bound = np.zeros(len(truth)), np.zeros(len(truth))
    at = theory_at(science, reference, (nx - 1) / 2, (ny - 1) / 2)
    middle = at.position_bound_pix
    for k in range(len(truth)):
        x, y = float(truth.x[k]), float(truth.y[k])
        if not is_fixed:
            at = theory_at(science, reference, x, y)
            middle = at.position_bound_pix
        variance = _filtered(at.k_n, pair.science.clean_variance, x, y, at.size)
        variance += _filtered(
            at.k_r, pair.reference.clean_variance, float(there[0][k]), float(there[1][k]), at.size
        )
        snr[k], bound[k] = truth.flux_adu[k] * at.f_s / np.sqrt(variance), middle
    return snr, bound


def _filtered(
    kernel: NDArray[np.complex128], variance: NDArray[np.float32], x: float, y: float, size: int
) -> float:
    """Sum of the squared filter, centred on (x, y), times `variance` [y, x]."""
    column, row = round(x), round(y)
    fx, fy = scipy.fft.rfftfreq(size), scipy.fft.fftfreq(size)[:, None]
    # The filter is a correlation: its value at x' stands at (position - x').
    weights = _inverse(kernel * np.exp(2j * np.pi * (fx * (x - column) + fy * (y - row))), size)
    step = np.fft.fftfreq(size, 1 / size).astype(int)
    rows = np.clip(row - step, 0, variance.shape[0] - 1)
    columns = np.clip(column - step, 0, variance.shape[1] - 1)
    return float(np.sum(weights**2 * variance[np.ix_(rows, columns)]))
