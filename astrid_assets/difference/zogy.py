"""ZOGY on one pair of aligned images: D, P_D, S, S_corr and the PSF flux.

Source: Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27; equation numbers are that paper's. Science counts
are the unit: F_n = 1, F_r = flux ratio. Registration, matching and quality stand elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrid_assets.difference import passes
from astrid_assets.difference.kernels import Scheme
from astrid_assets.difference.tiles import Axis, Filters, Span, cut_axis, filters, halo_pix
from astrid_assets.imaging.threads import n_cores

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
MIN_FOOTPRINT_FRACTION = 0.5
MAPS = (
    "difference",
    "difference_variance",
    "reference_significance",
    "score_corrected",
    "psf_flux",
    "psf_flux_error",
    "footprint_fraction",
    "score",
    "score_variance",
)


@dataclass(frozen=True)
class Zogy:
    """What ZOGY makes of one pair; maps are float32 [y, x] on the science grid.

    difference: D / F_D (eq. 13), science counts, its noise white where that of the inputs is.
    difference_variance: V_n + V_r / F_r^2, science counts squared (local noise, unconvolved).
    psf: P_D (eq. 14). psf_score: the profile of a point source on the score map, 1 at the centre.
    score: S = S_n - S_r (eqs. 12, 17). score_variance: V(S_n) + V(S_r) + V_ast + V_psf
        (eqs. 25-33 and the PSF-model error).
    reference_significance: S_r over its noise in blank sky, sigmas: what the reference shows.
    score_corrected: S / sqrt(score_variance), sigmas; 0 where too little was measured.
    psf_flux, psf_flux_error: alpha and its error (eqs. 41-43), science counts; the error holds
        every term of the score's variance, so that flux over error is score_corrected.
    footprint_fraction: share of a source's flux weight that fell on usable science pixels.
    f_s: F_S (eq. 42). f_d: F_D (eq. 15).
    score, score_variance and footprint_fraction are None where they were not asked for.
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
    footprint_fraction: FloatArray | None = field(repr=False)
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
    saturated_reference: BoolArray | None = None,
    keep_score: bool = True,
    into: Zogy | None = None,
) -> Zogy:
    """Subtract an aligned `reference` from `science` and return every map of `Zogy`.

    science, reference: float32 [y, x], counts of each image, sky removed, of equal shape.
    *_variance: float32 [y, x], counts squared, with source noise.
    psf_*: stamps (n, n), n odd, sum 1, centred on pixel (n // 2, n // 2).
    sky_sigma_*: noise per pixel in blank sky. flux_ratio: F_r / F_n.
    astrometric_noise_*_pix: rms of the registration per axis; shared half and half by both images.
    psf_error: fractional error of the PSF models: V_psf = (psf_error * flux common to both)^2.
    unusable_*: True where a pixel carries no measurement; such pixels never spread.
    saturated_reference: which of the reference's are full of a star's light.
    keep_score: also return score, its variance and the footprint fraction: only theory needs them.
    into: an earlier result for images of this shape, whose maps are overwritten: of many pairs in
        turn only the first asks for memory (a tenth of the time).

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
    scheme = Scheme.zogy(psf_science, psf_reference, flux_ratio)
    halo = halo_pix(scheme)
    rows, columns = (cut_axis(length, halo) for length in shape)
    made = filters(
        scheme,
        sky_sigma_science=sky_sigma_science,
        sky_sigma_reference=sky_sigma_reference,
        shape=(rows.length, columns.length),
        image_shape=shape,
    )
    names = MAPS if keep_score else MAPS[:-3]
    maps = {name: _reused(getattr(into, name, None), shape) for name in names}
    noise = (astrometric_noise_x_pix, astrometric_noise_y_pix, psf_error)
    pair = Pair(
        science,
        reference,
        science_variance,
        reference_variance,
        _flags(unusable_science, shape),
        _flags(unusable_reference, shape),
        _flags(saturated_reference, shape),
    )
    subtract_tiles(pair, (rows, columns), lambda *_: made, maps, extra_noise=noise)
    kernel = made.kernel
    return Zogy(
        **{name: maps.get(name) for name in MAPS},  # type: ignore[arg-type]
        psf=kernel.psf,
        psf_score=kernel.psf_score,
        f_s=kernel.f_s,
        f_d=kernel.f_d,
    )


@dataclass(frozen=True)
class Pair:
    """Two aligned images, their variances (all float32 [y, x]) and their unusable pixels (bool).

    saturated_reference: those of the reference that are saturated.
    """

    science: FloatArray = field(repr=False)
    reference: FloatArray = field(repr=False)
    science_variance: FloatArray = field(repr=False)
    reference_variance: FloatArray = field(repr=False)
    unusable_science: BoolArray = field(repr=False)
    unusable_reference: BoolArray = field(repr=False)
    saturated_reference: BoolArray = field(repr=False)


def subtract_tiles(
    pair: Pair,
    axes: tuple[Axis, Axis],
    filters_of: Callable[[Span, Span], Filters],
    maps: Mapping[str, FloatArray],
    *,
    extra_noise: tuple[float, float, float],
) -> None:
    """Fill `maps` (of `MAPS`; the last three may be absent), tile by tile on all cores.

    axes: the cut of rows and columns. filters_of: the filters of a tile's rows and columns.
    extra_noise: registration rms along x and y, pixels, and the PSF models' fractional error.
    """
    ast_x, ast_y, psf_error = extra_noise
    numbers = _float32(ast_x**2 / 8, ast_y**2 / 8, psf_error**2, MIN_FOOTPRINT_FRACTION)
    nothing = np.empty((0, 0), np.float32)
    out = tuple(maps.get(name, nothing) for name in MAPS)
    rows, columns = axes
    tiles = [(y, x) for y in rows.spans for x in columns.spans]
    waiting = iter(tiles)  # shared: each thread takes the next tile into its own buffers

    def work(_: int) -> None:
        both = np.empty((2, rows.length, columns.length), np.complex64)
        buffers = (both[0], both[1])
        for tile in waiting:
            halo = (rows.halo, columns.halo)
            _one_tile(pair, tile, halo, filters_of(*tile), buffers, numbers, out)

    n_threads = min(n_cores(), len(tiles))
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads)))


def _one_tile(
    pair: Pair,
    tile: tuple[Span, Span],
    halo: tuple[int, int],
    made: Filters,
    buffers: tuple[NDArray[np.complex64], ...],
    numbers: tuple[np.float32, ...],
    out: tuple[FloatArray, ...],
) -> None:
    kernel, (rows, columns) = made.kernel, tile
    variances = (pair.science_variance, pair.reference_variance)
    top, left = rows.first, columns.first
    f_r, f_s, f_d = _float32(made.flux_ratio, kernel.f_s, kernel.f_d)
    scales = _float32(1 / made.sky_sigma_science, 1 / made.sky_sigma_reference)
    origin = (top - halo[0], left - halo[1])
    images = (pair.science, pair.reference, *variances)
    unusable = (pair.unusable_science, pair.unusable_reference, pair.saturated_reference)
    inputs = (*images, *unusable, *origin, *scales, f_r, *buffers)
    passes.load(*inputs)
    counts, noise = (scipy.fft.fft2(part, overwrite_x=True) for part in buffers)
    passes.combine(counts, noise, made.weights)
    # Of the rows, those that are stored, and one more on either side for the slopes.
    first = max(halo[0] - 1, 0)
    rows_used = slice(first, halo[0] + rows.stop - top + 1)
    counts, noise = (
        scipy.fft.ifft(scipy.fft.ifft(part, axis=0, overwrite_x=True)[rows_used], overwrite_x=True)
        for part in (counts, noise)
    )
    lost = np.empty((rows.stop - top, columns.stop - left), np.float32)
    passes.lost_share(lost, pair.unusable_science, top, left, *made.kept, kernel.footprint)
    filled = np.empty_like(lost)
    wrong = np.float32(kernel.mismatch**2)
    squared = (wrong * kernel.science_squared, wrong * kernel.reference_squared)
    passes.filled_error(filled, *images, *unusable, top, left, f_r, *squared)
    constants = (f_s, f_d, f_r, np.float32(1 / kernel.reference_noise), *numbers)
    skipped = (halo[0] - first, halo[1])
    everything = (counts, noise, lost, filled, *variances, top, left, *skipped, *constants, *out)
    passes.store(*everything)


def _reused(earlier: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    return np.empty(shape, np.float32) if earlier is None or earlier.shape != shape else earlier


def _flags(unusable: BoolArray | None, shape: tuple[int, int]) -> BoolArray:
    return np.zeros(shape, np.bool_) if unusable is None else unusable


def _float32(*values: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(value) for value in values)
