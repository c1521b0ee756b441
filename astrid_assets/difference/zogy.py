"""ZOGY on one pair of aligned images: D, P_D, S, S_corr and the PSF flux.

Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27; equation numbers are that paper's. Science counts
are the unit: F_n = 1, F_r = flux ratio. Registration, matching and quality stand elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from astrid_assets.difference.filling import filled, lost_share
from astrid_assets.difference.kernels import Kernels, kernels, spectrum
from astrid_assets.imaging.threads import over_rows

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
MIN_FOOTPRINT_FRACTION = 0.5
_MAPS = (
    "difference",
    "difference_variance",
    "reference_significance",
    "score_corrected",
    "psf_flux",
    "psf_flux_error",
    "footprint_fraction",
)


@dataclass(frozen=True)
class Zogy:
    """What ZOGY makes of one pair; maps are float32 [y, x] on the science grid.

    difference: D / F_D (eq. 13), science counts, its noise white where that of the inputs is.
    difference_variance: V_n + V_r / F_r^2, science counts squared (local noise, unconvolved).
    psf: P_D (eq. 14). psf_score: the profile of a point source on the score map, 1 at the centre.
    score: S = S_n - S_r (eqs. 12, 17). score_variance: V(S_n) + V(S_r) + V_ast + V_psf
        (eqs. 25-33 and the PSF-model error). Both None where they were not asked for.
    reference_significance: S_r over its noise in blank sky, sigmas: what the reference shows.
    score_corrected: S / sqrt(score_variance), sigmas; 0 where too little was measured.
    psf_flux, psf_flux_error: alpha and its error (eqs. 41-43), science counts.
    footprint_fraction: share of a source's flux weight that fell on usable science pixels.
    f_s: F_S (eq. 42). f_d: F_D (eq. 15).
    """

    difference: FloatArray = field(repr=False)
    difference_variance: FloatArray = field(repr=False)
    psf: FloatArray = field(repr=False)
    psf_score: FloatArray = field(repr=False)
    score: FloatArray | None = field(repr=False)
    score_variance: FloatArray | None = field(repr=False)
    reference_significance: FloatArray = field(repr=False)
    score_corrected: FloatArray = field(repr=False)
    psf_flux: FloatArray = field(repr=False)
    psf_flux_error: FloatArray = field(repr=False)
    footprint_fraction: FloatArray = field(repr=False)
    f_s: float
    f_d: float


def zogy(
    science: FloatArray,
    reference: FloatArray,
    science_variance: FloatArray,
    reference_variance: FloatArray,
    psf_science: NDArray[np.floating],
    psf_reference: NDArray[np.floating],
    *,
    sky_sigma_science: float,
    sky_sigma_reference: float,
    flux_ratio: float = 1.0,
    astrometric_noise_x_pix: float = 0.0,
    astrometric_noise_y_pix: float = 0.0,
    psf_error: float = 0.0,
    unusable_science: BoolArray | None = None,
    unusable_reference: BoolArray | None = None,
    keep_score: bool = True,
) -> Zogy:
    """Subtract an aligned `reference` from `science` and return every map of `Zogy`.

    science, reference: float32 [y, x], counts of each image, sky removed, of equal shape.
    *_variance: float32 [y, x], counts squared, with source noise.
    psf_*: stamps (n, n), n odd, sum 1, centred on pixel (n // 2, n // 2).
    sky_sigma_*: noise per pixel in blank sky. flux_ratio: F_r / F_n.
    astrometric_noise_*_pix: rms of the registration per axis; shared half and half by both images.
    psf_error: fractional error of the PSF models: V_psf = (psf_error * flux common to both)^2.
    unusable_*: True where a pixel carries no measurement; such pixels never spread.
    keep_score: also return `score` and `score_variance`, which only theory needs.

    Raises ValueError where shapes disagree or a noise level or the flux ratio is not positive.
    """
    shape = science.shape
    for name, array in (("reference", reference), ("science_variance", science_variance),
                        ("reference_variance", reference_variance)):  # fmt: skip
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, the science image {shape}")
    if not (sky_sigma_science > 0 and sky_sigma_reference > 0 and flux_ratio > 0):
        raise ValueError(
            "noise levels and flux ratio must be > 0, got "
            f"{sky_sigma_science}, {sky_sigma_reference}, {flux_ratio}"
        )
    kernel = kernels(
        psf_science,
        psf_reference,
        sky_sigma_science=sky_sigma_science,
        sky_sigma_reference=sky_sigma_reference,
        flux_ratio=flux_ratio,
    )
    pad = max(psf_science.shape[0], psf_reference.shape[0]) // 2 + 1
    padded = (_fast(shape[0] + pad), _fast(shape[1] + pad))
    n, r, v_n, v_r = filled(
        science,
        reference,
        science_variance,
        reference_variance,
        unusable_science,
        unusable_reference,
        flux_ratio=flux_ratio,
        padded=padded,
    )
    lost = lost_share(unusable_science, kernel.footprint, shape=shape)
    n_hat = scipy.fft.rfft2(n, workers=-1)
    r_hat = scipy.fft.rfft2(r, workers=-1)
    d_hat = spectrum(psf_science, shape=padded)
    p_r = spectrum(psf_reference, shape=padded)
    constants = _float32(sky_sigma_science**2, sky_sigma_reference**2, flux_ratio, kernel.f_d)

    def combine(first: int, stop: int) -> None:
        _combine(first, stop, n_hat, r_hat, d_hat, p_r, *constants)

    over_rows(combine, padded[0])
    s_n, s_r, d = (_inverse(transform, padded) for transform in (n_hat, r_hat, d_hat))
    variance = _score_variance(v_n, v_r, kernel, padded)
    maps = {name: np.empty(shape, np.float32) for name in _MAPS}
    score, score_variance = (np.empty(shape if keep_score else (0, 0), np.float32) for _ in "ab")
    parts = (s_n, s_r, variance, d, science_variance, reference_variance, lost)
    noise = (0.5 * astrometric_noise_x_pix**2, 0.5 * astrometric_noise_y_pix**2, psf_error**2)
    numbers = _float32(
        kernel.f_s, flux_ratio, 1 / kernel.reference_noise, *noise, MIN_FOOTPRINT_FRACTION
    )

    everything = (*parts, *numbers, *maps.values(), score, score_variance)

    def fill_maps(first: int, stop: int) -> None:
        _maps(first, stop, *everything)

    over_rows(fill_maps, shape[0])
    return Zogy(
        **maps,
        score=score if keep_score else None,
        score_variance=score_variance if keep_score else None,
        psf=kernel.psf,
        psf_score=kernel.psf_score,
        f_s=kernel.f_s,
        f_d=kernel.f_d,
    )


def _fast(length: int) -> int:
    return int(scipy.fft.next_fast_len(length, real=True))


def _float32(*values: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(value) for value in values)


def _inverse(transform: NDArray[np.complex64], shape: tuple[int, int]) -> FloatArray:
    """Return the real image of `transform`, which is overwritten: half of `irfft2`'s time."""
    columns = scipy.fft.ifft(transform, axis=0, workers=-1, overwrite_x=True)
    return scipy.fft.irfft(columns, n=shape[1], axis=1, workers=-1)


def _score_variance(
    v_n: FloatArray, v_r: FloatArray, kernel: Kernels, padded: tuple[int, int]
) -> FloatArray:
    """Return V(S_n) + V(S_r) (eqs. 25-30): each variance convolved with its squared kernel."""
    total = scipy.fft.rfft2(v_n, workers=-1)
    other = scipy.fft.rfft2(v_r, workers=-1)
    weight = spectrum(kernel.science_squared, shape=padded)
    weight_other = spectrum(kernel.reference_squared, shape=padded)

    def add(first: int, stop: int) -> None:
        _weighted_sum(total, weight, other, weight_other, first, stop)

    over_rows(add, padded[0])
    return _inverse(total, padded)


@njit(cache=True, nogil=True, fastmath=True)
def _combine(first, stop, n_hat, r_hat, p_n, p_r, var_n, var_r, f_r, f_d):  # type: ignore[no-untyped-def]
    """Turn, in place, N into S_n (eq. 12), R into S_r (eq. 12) and P_n into D / F_D (eq. 13)."""
    tiny = np.float32(1e-30)
    for y in range(first, stop):
        for x in range(n_hat.shape[1]):
            a, b = p_n[y, x], p_r[y, x]
            power_n = a.real * a.real + a.imag * a.imag
            power_r = b.real * b.real + b.imag * b.imag
            den = var_n * f_r * f_r * power_r + var_r * power_n + tiny
            science, reference = n_hat[y, x], r_hat[y, x]
            p_n[y, x] = (f_r * b * science - a * reference) * (np.float32(1) / (f_d * np.sqrt(den)))
            n_hat[y, x] = a.conjugate() * science * (f_r * f_r * power_r / den)
            r_hat[y, x] = b.conjugate() * reference * (f_r * power_n / den)


@njit(cache=True, nogil=True, fastmath=True)
def _weighted_sum(a, weight_a, b, weight_b, first, stop):  # type: ignore[no-untyped-def]
    for y in range(first, stop):
        for x in range(a.shape[1]):
            a[y, x] = a[y, x] * weight_a[y, x] + b[y, x] * weight_b[y, x]


@njit(cache=True, nogil=True, error_model="numpy")
def _maps(  # type: ignore[no-untyped-def]
    first, stop, s_n, s_r, v_s, d, v_n, v_r, lost,
    f_s, f_r, inverse_noise, ast_x, ast_y, psf2, least,
    difference, difference_variance, significance, corrected, flux, flux_error, fraction,
    score, score_variance,
):  # fmt: skip
    """Fill the maps of `Zogy`, in its order, from the padded parts (eqs. 17, 25-33, 41-43)."""
    ny, nx = lost.shape
    floor = np.float32(0.05)
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    inverse_ratio2 = one / (f_r * f_r)
    least_noise = floor * f_s
    for y in range(first, stop):
        below, above = max(y - 1, 0), min(y + 1, ny - 1)
        for x in range(nx):
            left, right = max(x - 1, 0), min(x + 1, nx - 1)
            noise = max(v_s[y, x], zero)
            gx = half * (s_n[y, right] - s_n[y, left])
            gy = half * (s_n[above, x] - s_n[below, x])
            hx = half * (s_r[y, right] - s_r[y, left])
            hy = half * (s_r[above, x] - s_r[below, x])
            common = max(min(s_n[y, x], s_r[y, x]), zero)
            total = (
                noise
                + ast_x * (gx * gx + hx * hx)
                + ast_y * (gy * gy + hy * hy)
                + psf2 * common * common
            )
            s = s_n[y, x] - s_r[y, x]
            share = max(one - lost[y, x], zero)
            if score.size:
                score[y, x] = s
                score_variance[y, x] = total
            significance[y, x] = s_r[y, x] * inverse_noise
            corrected[y, x] = s / np.sqrt(total) if share >= least and total > zero else zero
            used = max(share, floor)
            flux[y, x] = s / (f_s * used)
            flux_error[y, x] = np.sqrt(max(noise, least_noise)) / (f_s * used)
            fraction[y, x] = share
            difference[y, x] = d[y, x]
            difference_variance[y, x] = v_n[y, x] + v_r[y, x] * inverse_ratio2
