"""The linear stack: one weight per input, the same for pixels, variance and PSF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astrid_resources.images import ImageMeta, MaskPlane, PSFModel
from astrid_resources.images.masks import UNUSABLE


@dataclass(frozen=True)
class StackedPlanes:
    """data, variance, mask [y, x] of a stack, and how many inputs each pixel has."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.uint32]
    n_used: NDArray[np.uint16]


class Stacker:
    """Adds inputs one after another: sum(w d) / sum(w) over the inputs usable at each pixel.

    Only which inputs are usable changes from pixel to pixel, never the weights among them; so the
    PSF of the stack does not depend on flux.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._data = np.zeros(shape)
        self._variance = np.zeros(shape)
        self._weight = np.zeros(shape)
        self._n_used = np.zeros(shape, np.uint16)
        self._seen = np.zeros(shape, np.uint32)

    def add(
        self,
        data: NDArray[np.float32],
        variance: NDArray[np.float32],
        mask: NDArray[np.uint32],
        *,
        usable: NDArray[np.bool_],
        weight: float,
    ) -> None:
        """Add one input, in the stack's flux unit, where it is `usable`."""
        w = np.where(usable, weight, 0.0)
        self._data += w * data
        self._variance += w * w * variance
        self._weight += w
        self._n_used += usable
        self._seen |= mask

    def result(self) -> StackedPlanes:
        """Return the stack.

        A pixel without any usable input holds 0, the median variance, NO_DATA and the planes that
        its inputs had. SATURATED and DETECTED stay where any input had them: there the remaining
        inputs alone would make a PSF of their own.
        """
        covered = self._weight > 0
        safe = np.where(covered, self._weight, 1.0)
        variance = self._variance / safe**2
        sky = float(np.median(variance[covered])) if covered.any() else 1.0
        stays = np.uint32(MaskPlane.SATURATED.flag | MaskPlane.DETECTED.flag)
        causes = np.uint32(sum(plane.flag for plane in UNUSABLE))
        mask = self._seen & stays
        mask[~covered] |= (self._seen[~covered] & causes) | np.uint32(MaskPlane.NO_DATA.flag)
        return StackedPlanes(
            np.where(covered, self._data / safe, 0).astype(np.float32),
            np.where(covered, variance, sky).astype(np.float32),
            mask,
            self._n_used,
        )


def stacked_psf(psfs: Sequence[PSFModel], weights: Sequence[float]) -> PSFModel:
    """Return the PSF of a stack whose inputs, on one grid, have `psfs` and relative `weights`."""
    order = max(psf.order for psf in psfs)
    size = max(psf.size for psf in psfs)
    total = np.zeros(((order + 1) * (order + 2) // 2, size, size))
    for psf, weight in zip(psfs, weights, strict=True):
        pad = (size - psf.size) // 2
        inner = slice(pad, size - pad)
        for k, term in enumerate(_term_indices(psf.order, order)):
            total[term, inner, inner] += weight * psf.stamps[k]
    return PSFModel((total / sum(weights)).astype(np.float32), order, psfs[0].shape)


def stacked_meta(
    metas: Sequence[ImageMeta],
    flux_ratios: Sequence[float],
    weights: Sequence[float],
    *,
    anchor: ImageMeta,
) -> ImageMeta:
    """Return what is known of the stack, whose flux unit is the anchor's ADU.

    Gain and read noise are those that give the stack's Poisson and read noise, saturation the
    lowest of the inputs, the time their weighted mean.
    """
    share = np.asarray(weights) / sum(weights)
    ratio = np.asarray(flux_ratios)
    gain = 1 / np.sum(share**2 / ratio / [m.gain_e_per_adu for m in metas])
    noise = [m.read_noise_e / m.gain_e_per_adu for m in metas] / ratio
    times = [m.mjd_mid_tai for m in metas]
    known = [t for t in times if t is not None]
    return replace(
        anchor,
        gain_e_per_adu=float(gain),
        read_noise_e=float(gain * np.sqrt(np.sum((share * noise) ** 2))),
        saturation_adu=float(min(m.saturation_adu / f for m, f in zip(metas, ratio, strict=True))),
        mjd_mid_tai=float(np.dot(share, known)) if len(known) == len(times) else None,
        sky_level_adu=None,
        observation_id=None,
        product_id=None,
        is_resampled=any(m.is_resampled for m in metas),
        is_synthetic=any(m.is_synthetic for m in metas),
    )


def _term_indices(order: int, within: int) -> list[int]:
    """Return where the polynomial terms of `order` stand among those of order `within`."""
    all_terms = [(i, j) for i in range(within + 1) for j in range(within + 1 - i)]
    return [all_terms.index((i, j)) for i in range(order + 1) for j in range(order + 1 - i)]
