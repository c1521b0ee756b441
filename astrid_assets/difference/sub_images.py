"""ZOGY over a whole image: at once where both PSFs are constant, else in overlapping sub-images."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from astrid_assets.difference.zogy import zogy
from astrid_resources.images import Image, PSFModel
from astrid_resources.images.psf import polynomial_terms

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
_MAX_SAMPLES = 200_000
_MAPS = (
    "difference",
    "difference_variance",
    "score_corrected",
    "psf_flux",
    "psf_flux_error",
    "reference_significance",
)


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
    flux_ratio: float,
    astrometric_noise_pix: tuple[float, float],
    psf_error: float,
    sub_image_pix: int,
    unusable_science: BoolArray,
    unusable_reference: BoolArray,
) -> Maps:
    """Subtract `aligned` from `science` (same grid, both with a PSF) and return every map."""
    if science.psf is None or aligned.psf is None:
        raise ValueError("subtract_maps needs a PSF on both images")
    sigma = sky_sigma(science, unusable_science), sky_sigma(aligned, unusable_reference)
    varies = max(science.psf.order, aligned.psf.order) > 0
    ny, nx = science.shape
    rows = _spans(ny, sub_image_pix if varies else ny)
    columns = _spans(nx, sub_image_pix if varies else nx)
    halo = max(science.psf.size, aligned.psf.size)
    out: dict[str, FloatArray] = {}
    positions, stamps = [], []
    psf_score = np.ones((1, 1), np.float32)
    for y0, y1 in rows:
        for x0, x1 in columns:
            wide = (
                slice(max(y0 - halo, 0), min(y1 + halo, ny)),
                slice(max(x0 - halo, 0), min(x1 + halo, nx)),
            )
            x, y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
            part = zogy(
                science.data[wide],
                aligned.data[wide],
                science.variance[wide],
                aligned.variance[wide],
                science.psf.at(x, y),
                aligned.psf.at(x, y),
                sky_sigma_science=sigma[0],
                sky_sigma_reference=sigma[1],
                flux_ratio=flux_ratio,
                astrometric_noise_x_pix=astrometric_noise_pix[0],
                astrometric_noise_y_pix=astrometric_noise_pix[1],
                psf_error=psf_error,
                unusable_science=unusable_science[wide],
                unusable_reference=unusable_reference[wide],
                keep_score=False,
            )
            if len(rows) == len(columns) == 1:
                out = {name: getattr(part, name) for name in _MAPS}
            else:
                out = out or {name: np.empty(science.shape, np.float32) for name in _MAPS}
                inner = (
                    slice(y0 - wide[0].start, y1 - wide[0].start),
                    slice(x0 - wide[1].start, x1 - wide[1].start),
                )
                for name in _MAPS:
                    out[name][y0:y1, x0:x1] = getattr(part, name)[inner]
            positions.append((x, y))
            stamps.append(part.psf)
            if y0 <= ny // 2 < y1 and x0 <= nx // 2 < x1:
                psf_score = part.psf_score
    return Maps(
        **out,
        psf=_psf_model(stamps, positions, max(science.psf.order, aligned.psf.order), science.shape),
        psf_score=psf_score,
        sky_sigma_science=sigma[0],
        sky_sigma_reference=sigma[1],
        n_sub_images=len(stamps),
    )


def _spans(length: int, edge: int) -> list[tuple[int, int]]:
    """Return nearly equal spans of at most `edge` that cover range(length)."""
    count = max(1, -(-length // edge))
    bounds = [length * i // count for i in range(count + 1)]
    return list(pairwise(bounds))


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
