"""A scheme over a whole image: at once where it is constant, else in overlapping sub-images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.kernels import Kernels, Scheme
from astrid_assets.difference.tiles import Filters, Span, cut_axis, filters, halo_pix
from astrid_assets.difference.zogy import MAPS, Pair, subtract_tiles
from astrid_resources.images import Image, PSFModel
from astrid_resources.images.psf import polynomial_terms

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
_MAX_SAMPLES = 200_000
_MAPS = MAPS[:6]
_CHANGE_GRID = 5
_SHORTEST_PIX = 128


@dataclass(frozen=True)
class Maps:
    """The maps of `Zogy` over the whole science grid.

    psf: P_D as a model over the image. psf_score: source profile on the score map, at the centre.
    reference_significance: S_r over the noise of the reference's own part of the score, sigmas.
    """

    difference: FloatArray = field(repr=False)
    difference_variance: FloatArray = field(repr=False)
    score_corrected: FloatArray = field(repr=False)
    psf_flux: FloatArray = field(repr=False)
    psf_flux_error: FloatArray = field(repr=False)
    reference_significance: FloatArray = field(repr=False)
    psf: PSFModel
    psf_score: FloatArray = field(repr=False)
    sky_sigma_science: float
    sky_sigma_reference: float
    n_sub_images: int


def sky_sigma(image: Image, unusable: BoolArray) -> float:
    """Return the noise per pixel in blank sky from the variance plane, counts.

    The first quartile: source noise only ever raises the variance.
    """
    stride = max(1, int(np.sqrt(image.variance.size / _MAX_SAMPLES)))
    values = image.variance[::stride, ::stride][~unusable[::stride, ::stride]]
    if values.size == 0:
        values = image.variance[~unusable] if (~unusable).any() else image.variance.ravel()
    return float(np.sqrt(max(float(np.percentile(values, 25)), 1e-12)))


def subtract_maps(
    science: Image,
    aligned: Image,
    *,
    scheme_at: Callable[[float, float], Scheme],
    order: int,
    astrometric_noise_pix: tuple[float, float],
    psf_error: float,
    sub_image_pix: int,
    sub_image_change: float,
    unusable_science: BoolArray,
    unusable_reference: BoolArray,
    saturated_reference: BoolArray,
) -> Maps:
    """Subtract `aligned` from `science` (same grid) and return every map.

    scheme_at: the scheme at pixel (x, y). order: of its variation over the field, 0 for none.
    sub_image_pix, sub_image_change: greatest edge of a sub-image, and greatest change of a kernel
    between its centre and its corner.
    """
    sigma = sky_sigma(science, unusable_science), sky_sigma(aligned, unusable_reference)
    varies = order > 0
    ny, nx = science.shape
    middle = (nx - 1) / 2, (ny - 1) / 2
    halo = halo_pix(scheme_at(*middle))
    longest = None
    if varies:
        longest = _longest(scheme_at, science.shape, sub_image_pix, sub_image_change)
    rows, columns = (cut_axis(length, halo, longest=longest) for length in science.shape)
    kernels_at: dict[tuple[float, float], Kernels] = {}

    def made(x: float, y: float) -> Filters:
        return filters(
            scheme_at(x, y),
            sky_sigma_science=sigma[0],
            sky_sigma_reference=sigma[1],
            shape=(rows.length, columns.length),
            image_shape=science.shape,
        )

    def own(over: Span, across: Span) -> Filters:
        place = ((across.first + across.stop - 1) / 2, (over.first + over.stop - 1) / 2)
        used = made(*place)
        kernels_at[place] = used.kernel
        return used

    central = made(*middle)
    maps = {name: np.empty(science.shape, np.float32) for name in _MAPS}
    pair = Pair(
        science.data,
        aligned.data,
        science.variance,
        aligned.variance,
        unusable_science,
        unusable_reference,
        saturated_reference,
    )
    subtract_tiles(
        pair,
        (rows, columns),
        own if varies else lambda *_: central,
        maps,
        extra_noise=(*astrometric_noise_pix, psf_error),
    )
    if varies:
        places = sorted(kernels_at)
        psf = _psf_model([kernels_at[p].psf for p in places], places, order, science.shape)
    else:
        psf = PSFModel.constant(central.kernel.psf, shape=science.shape)
    return Maps(
        **maps,
        psf=psf,
        psf_score=central.kernel.psf_score,
        sky_sigma_science=sigma[0],
        sky_sigma_reference=sigma[1],
        n_sub_images=len(kernels_at) if varies else 1,
    )


def _longest(
    scheme_at: Callable[[float, float], Scheme],
    shape: tuple[int, int],
    sub_image_pix: int,
    sub_image_change: float,
) -> int:
    """Return the edge of a sub-image, within which no kernel changes by more than it may.

    The change per pixel is the fastest between the nodes of a grid over the field.
    """
    axes = [np.linspace(0, n - 1, _CHANGE_GRID) for n in reversed(shape)]
    schemes = [[scheme_at(float(x), float(y)) for x in axes[0]] for y in axes[1]]
    fastest = 0.0
    for name in ("psf", "science", "reference"):
        stamps = np.array([[getattr(one, name) for one in row] for row in schemes], float)
        norm = np.sqrt(np.sum(stamps**2, axis=(2, 3)).min())
        fastest_of = 0.0
        for axis, places in zip((1, 0), axes, strict=True):
            change = np.sqrt(np.sum(np.diff(stamps, axis=axis) ** 2, axis=(2, 3)))
            fastest_of += float(change.max() / norm / max(places[1] - places[0], 1e-9))
        fastest = max(fastest, fastest_of)
    wanted = 2 * sub_image_change / max(fastest, 1e-12)
    return int(np.clip(wanted, min(_SHORTEST_PIX, sub_image_pix), sub_image_pix))


def _psf_model(
    stamps: list[FloatArray],
    positions: list[tuple[float, float]],
    order: int,
    shape: tuple[int, int],
) -> PSFModel:
    """Return P_D as polynomials of position, fitted to its stamps at the sub-images' centres."""
    while (order + 1) * (order + 2) // 2 > len(stamps):
        order -= 1
    if order == 0 and len(stamps) == 1:
        return PSFModel.constant(stamps[0], shape=shape)
    ny, nx = shape
    x, y = np.array(positions).T
    terms = polynomial_terms(2 * x / max(nx - 1, 1) - 1, 2 * y / max(ny - 1, 1) - 1, order=order)
    cube = np.stack(stamps).astype(float)
    flat = cube.reshape(len(stamps), -1)
    solution, *_ = np.linalg.lstsq(terms.T, flat, rcond=None)
    return PSFModel(
        np.ascontiguousarray(solution.reshape(-1, *cube.shape[1:]), np.float32), order, shape
    )
