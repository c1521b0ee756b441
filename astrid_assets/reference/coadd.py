"""The coadd of calibrated images: a linear stack in the anchor's flux unit.

Inputs are loaded one at a time (any lazy `Sequence` will do) and are taken in an order that
depends on their content alone, so that the result does not depend on theirs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.calibration import blank_sky
from astrid_assets.calibration.wcs_sanity import check_wcs
from astrid_assets.imaging.resample import resample
from astrid_assets.imaging.sources import source_mask, source_significance
from astrid_assets.reference import artefacts, relative, stars
from astrid_assets.reference.output_grid import Footprint, output_grid
from astrid_assets.reference.stacking import Stacker, stacked_meta, stacked_psf
from astrid_assets.reference.ties import Tie, TooFewInputsError, choose_anchor, summarise
from astrid_resources.images import Image, MaskPlane, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE

N_SIGMA_DEPTH = 5.0


@dataclass(frozen=True)
class CoaddSettings:
    """The parameters of a coadd that change its product.

    n_inputs_min: least number of inputs that must take part. mpix_max: largest coadd.
    source_sigma, source_grow_pix: as in calibration, for the DETECTED plane of the coadd.
    memory_max_mb: resampled inputs beyond this are kept on disk while the stack is made; it does
        not change the product.
    """

    relative: relative.RelativeSettings = relative.DEFAULTS
    stars: stars.StarSettings = stars.DEFAULTS
    artefacts: artefacts.ArtefactSettings = artefacts.DEFAULTS
    blank_sky: blank_sky.BlankSkySettings = blank_sky.DEFAULTS
    source_sigma: float = 3.5
    source_grow_pix: int = 2
    n_inputs_min: int = 1
    mpix_max: float = 400.0
    memory_max_mb: float = 1500.0


DEFAULTS = CoaddSettings()


@dataclass(frozen=True)
class CoaddInput:
    """What became of one input.

    index: its place in the sequence given; key: hash of its content. weight: its share in the
    stack (all shares sum to 1); n_artefact_pixels: pixels masked by comparison with the others.
    reason: why it was left out, empty where it takes part.
    """

    index: int
    key: str
    observation_id: str | None
    relative: relative.Relative
    weight: float
    psf_fwhm_pix: float
    sky_sigma_adu: float
    n_artefact_pixels: int
    reason: str = ""


@dataclass(frozen=True)
class Coadd:
    """A reference image.

    image: data in ADU of the anchor's exposure, variance, mask, PSF by the same weights.
    coverage: uint16 [y, x], inputs used at each pixel. coverage_fraction: pixels with any.
    flux_limit_5sigma_adu, limiting_mag_5sigma: depth, measured in blank sky.
    inputs: those that take part, excluded: the others with their reasons; both by content.
    """

    image: Image
    coverage: NDArray[np.uint16]
    coverage_fraction: float
    flux_limit_5sigma_adu: float
    limiting_mag_5sigma: float | None
    psf_fwhm_pix: float
    seeing_arcsec: float
    blank: blank_sky.BlankSky
    anchor_index: int
    inputs: tuple[CoaddInput, ...]
    excluded: tuple[CoaddInput, ...]

    @property
    def n_inputs(self) -> int:
        """Number of inputs that take part."""
        return len(self.inputs)

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of each input, in the order of `inputs`."""
        return tuple(entry.weight for entry in self.inputs)


def coadd(images: Sequence[Image], *, settings: CoaddSettings = DEFAULTS) -> Coadd:
    """Return the coadd of `images`, bitwise the same for any order of them.

    images: calibrated, with PSFs, of one survey and filter; loaded by index, one at a time.
    Raises TooFewInputsError, CoaddTooLargeError; ValueError where an image has no PSF.
    """
    summaries = [summarise(images[k], index=k, settings=settings.stars) for k in range(len(images))]
    summaries.sort(key=lambda s: (s.key, s.index))
    anchor, ties = choose_anchor(summaries, settings=settings.relative)
    used = [tie for tie in ties if not tie.reason]
    if len(used) < settings.n_inputs_min:
        reasons = "; ".join(sorted({tie.reason for tie in ties if tie.reason}))
        raise TooFewInputsError(
            f"{len(used)} of {len(ties)} inputs can be tied together, {settings.n_inputs_min} are "
            f"needed: {reasons}",
            n_found=len(used),
            n_required=settings.n_inputs_min,
        )
    grid = output_grid(
        anchor.footprint, [tie.summary.footprint for tie in used], mpix_max=settings.mpix_max
    )
    ratios = [tie.relative.flux_ratio for tie in used]
    weights = [
        (ratio / tie.summary.sky_sigma) ** 2 for ratio, tie in zip(ratios, used, strict=True)
    ]
    with tempfile.TemporaryDirectory(prefix="astrid-coadd-") as folder:
        warps = _Warps(len(used), grid.shape, Path(folder), settings.memory_max_mb)
        psfs = [warps.fill(k, images, tie, grid) for k, tie in enumerate(used)]
        found = artefacts.find_artefacts(
            warps.data,
            warps.variance,
            warps.usable,
            psfs=[psf.centre for psf in psfs],
            settings=settings.artefacts,
        )
        stacker = Stacker(grid.shape)
        for k, weight in enumerate(weights):
            stacker.add(
                warps.data[k],
                warps.variance[k],
                warps.mask[k],
                usable=warps.usable[k] & ~found[k],
                weight=weight,
            )
    planes = stacker.result()
    meta = stacked_meta([tie.summary.meta for tie in used], ratios, weights, anchor=anchor.meta)
    image = Image(
        planes.data, planes.variance, planes.mask, grid.wcs, meta,
        psf=stacked_psf(psfs, weights),
    )  # fmt: skip
    shares = [weight / sum(weights) for weight in weights]
    n_artefacts = [int((f & u).sum()) for f, u in zip(found, warps.usable, strict=True)]
    return _described(
        image,
        planes.n_used,
        settings,
        anchor_index=anchor.index,
        inputs=tuple(map(_entry, used, shares, n_artefacts)),
        excluded=tuple(_entry(tie, 0.0, 0) for tie in ties if tie.reason),
    )


class _Warps:
    """The inputs on the output grid, in the anchor's flux unit; on disk where they are many."""

    def __init__(self, n: int, shape: tuple[int, int], folder: Path, memory_max_mb: float) -> None:
        in_memory = 13 * n * shape[0] * shape[1] / 1e6 <= memory_max_mb

        def planes(name: str, dtype: type) -> list[NDArray[Any]]:
            if in_memory:
                return [np.empty(shape, dtype) for _ in range(n)]
            paths = [folder / f"{name}{k}" for k in range(n)]
            return [np.memmap(path, dtype, "w+", shape=shape) for path in paths]

        self.data = planes("data", np.float32)
        self.variance = planes("variance", np.float32)
        self.mask = planes("mask", np.uint32)
        self.usable = planes("usable", np.bool_)

    def fill(self, k: int, images: Sequence[Image], tie: Tie, grid: Footprint) -> PSFModel:
        """Resample input `k` and scale it; return its PSF on the grid."""
        ratio = np.float32(tie.relative.flux_ratio)
        warp = resample(
            images[tie.summary.index],
            wcs=grid.wcs,
            shape=grid.shape,
            shift_pix=tie.relative.applied_shift_pix,
        )
        if warp.psf is None:
            raise ValueError("resampling lost the PSF")
        self.data[k][:] = warp.data / ratio
        self.variance[k][:] = warp.variance / ratio**2
        self.mask[k][:] = warp.mask
        self.usable[k][:] = ~has_any(warp.mask, *UNUSABLE)
        return warp.psf


def _entry(tie: Tie, weight: float, n_artefacts: int) -> CoaddInput:
    summary = tie.summary
    return CoaddInput(
        index=summary.index,
        key=summary.key,
        observation_id=summary.meta.observation_id,
        relative=tie.relative,
        weight=weight,
        psf_fwhm_pix=summary.psf.fwhm_pix,
        sky_sigma_adu=summary.sky_sigma,
        n_artefact_pixels=n_artefacts,
        reason=tie.reason,
    )


def _described(
    image: Image,
    coverage: NDArray[np.uint16],
    settings: CoaddSettings,
    *,
    anchor_index: int,
    inputs: tuple[CoaddInput, ...],
    excluded: tuple[CoaddInput, ...],
) -> Coadd:
    """Return the coadd with what is measured on it."""
    psf = image.psf
    if psf is None:
        raise ValueError("a coadd needs its PSF to be described")
    unusable = has_any(image.mask, *UNUSABLE)

    significance = source_significance(
        image.data, np.sqrt(image.variance), unusable=unusable, fwhm_pix=psf.fwhm_pix
    )
    sources = source_mask(
        significance, threshold_sigma=settings.source_sigma, grow_pix=settings.source_grow_pix
    )
    mask = image.mask | np.where(sources, np.uint32(MaskPlane.DETECTED.flag), np.uint32(0))
    image = image.with_(mask=mask)
    blank = blank_sky.measure_blank_sky(image, sources=sources, settings=settings.blank_sky)
    limit = N_SIGMA_DEPTH * blank.flux_sigma_adu
    zero_point = image.meta.zero_point_ab_mag
    scale = check_wcs(image.wcs, shape=image.shape).pixel_scale_arcsec
    return Coadd(
        image=image,
        coverage=coverage,
        coverage_fraction=float((coverage > 0).mean()),
        flux_limit_5sigma_adu=limit,
        limiting_mag_5sigma=(
            None if zero_point is None else zero_point - 2.5 * float(np.log10(limit))
        ),
        psf_fwhm_pix=psf.fwhm_pix,
        seeing_arcsec=psf.fwhm_pix * scale,
        blank=blank,
        anchor_index=anchor_index,
        inputs=inputs,
        excluded=excluded,
    )
