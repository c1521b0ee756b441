"""The inputs of a coadd: what is measured on each, which is the anchor, who is tied to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astrid_assets.calibration.wcs_sanity import check_wcs
from astrid_assets.reference.output_grid import Footprint
from astrid_assets.reference.relative import (
    IDENTITY,
    Relative,
    RelativeSettings,
    StarList,
    TooFewCommonStarsError,
    relate,
)
from astrid_assets.reference.stars import StarSettings, measure_stars
from astrid_resources.images import Image, ImageMeta, KnownFailure, MaskPlane, PSFModel, has_any
from astrid_resources.images.masks import UNUSABLE


class TooFewInputsError(KnownFailure):
    """Too few inputs could be tied to the others."""


@dataclass(frozen=True)
class Summary:
    """What is kept of an input between the passes over the pixels.

    index: its place in the sequence given; key: hash of its content.
    """

    index: int
    key: str
    footprint: Footprint
    meta: ImageMeta
    psf: PSFModel
    sky_sigma: float
    pixel_scale_arcsec: float
    stars: StarList

    @property
    def quality(self) -> float:
        """Variance of a PSF flux in blank sky: small is deep."""
        return self.sky_sigma**2 * self.psf.noise_equivalent_area_pix


@dataclass(frozen=True)
class Tie:
    """An input with its relation to the anchor; a reason where it cannot take part."""

    summary: Summary
    relative: Relative
    reason: str = ""


def summarise(image: Image, *, index: int, settings: StarSettings) -> Summary:
    """Return what a coadd needs to know of `image`; ValueError where it has no PSF."""
    if image.psf is None:
        raise ValueError(f"input {index} has no PSF: only calibrated images can be coadded")
    usable = ~has_any(image.mask, *UNUSABLE)
    blank = usable & ~has_any(image.mask, MaskPlane.DETECTED)
    sample = image.variance[blank if blank.any() else usable]
    if sample.size == 0:
        raise TooFewInputsError(f"input {index} has no usable pixel", index=index)
    digest = hashlib.sha256(image.data.tobytes())
    digest.update(image.variance.tobytes())
    digest.update(image.mask.tobytes())
    digest.update(repr(image.meta).encode())
    return Summary(
        index=index,
        key=digest.hexdigest(),
        footprint=Footprint(image.wcs, image.shape),
        meta=image.meta,
        psf=image.psf,
        sky_sigma=float(np.sqrt(np.median(sample))),
        pixel_scale_arcsec=check_wcs(image.wcs, shape=image.shape).pixel_scale_arcsec,
        stars=measure_stars(image, settings=settings),
    )


def choose_anchor(
    summaries: Sequence[Summary], *, settings: RelativeSettings
) -> tuple[Summary, list[Tie]]:
    """Return the deepest input that most others can be tied to, and all ties to it."""
    best: tuple[Summary, list[Tie]] | None = None
    most = 0
    for candidate in sorted(summaries, key=lambda s: (s.quality, s.key)):
        ties = [_tie(summary, candidate, settings) for summary in summaries]
        n_tied = sum(not tie.reason for tie in ties)
        if n_tied > most:
            best, most = (candidate, ties), n_tied
        if most * 2 > len(summaries):
            break
    if best is None:
        raise TooFewInputsError("no images to coadd", n_found=0, n_required=1)
    return best


def _tie(summary: Summary, anchor: Summary, settings: RelativeSettings) -> Tie:
    if summary is anchor:
        return Tie(summary, IDENTITY)
    try:
        relative = relate(
            summary.stars,
            anchor.stars,
            pixel_scale_arcsec=summary.pixel_scale_arcsec,
            settings=settings,
        )
    except TooFewCommonStarsError as failure:
        return Tie(summary, IDENTITY, failure.message)
    low, high = settings.flux_ratio_min, settings.flux_ratio_max
    if not low <= relative.flux_ratio <= high:
        reason = f"flux ratio {relative.flux_ratio:.3g} is outside {low:g} to {high:g}"
        return Tie(summary, relative, reason)
    return Tie(summary, relative)
