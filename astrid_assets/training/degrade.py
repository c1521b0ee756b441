"""What goes wrong between calibration and subtraction, put in on purpose: sources of bogus.

Wrong PSF models, wrong registration, cosmic rays that were not recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, label

from astrid_resources.images import Image, MaskPlane, PSFModel, RawExposure, has_any

_FWHM_TO_SIGMA = 2.3548
_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True)
class DegradationSettings:
    """Shares of degraded views that suffer, and how much at most.

    psf_broadening_max: relative growth of the variance of the PSF model that is handed on, along
    one direction in half of the cases. registration_max_pix: displacement at the corner by a
    rotation of the WCS that stars' mean shift cannot remove. cosmic_rays_left: share of the
    recognised hits that are put back.
    """

    psf_share: float = 0.6
    psf_broadening_max: float = 0.3
    registration_share: float = 0.5
    registration_max_pix: float = 1.0
    cosmic_rays_share: float = 0.7
    cosmic_rays_left: float = 0.5


def broadened(
    psf: PSFModel, *, relative: float, axes: tuple[float, float] = (1.0, 1.0)
) -> PSFModel:
    """Return `psf` convolved so that its Gaussian-equivalent variance grows by `relative`.

    axes: factors on that growth along y and x.
    """
    sigma = psf.fwhm_pix / _FWHM_TO_SIGMA * np.sqrt(relative * np.asarray(axes))
    stamps = np.stack([gaussian_filter(stamp, sigma) for stamp in psf.stamps])
    return PSFModel((stamps / psf.stamps[0].sum()).astype(np.float32), psf.order, psf.shape)


def misregistered(image: Image, *, corner_pix: float) -> Image:
    """Return `image` with its WCS turned about the centre so that a corner moves by so much."""
    ny, nx = image.shape
    angle = corner_pix / np.hypot(nx / 2, ny / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs = image.wcs.deepcopy()
    wcs.wcs.cd = wcs.wcs.cd @ turn
    wcs.wcs.set()
    return image.with_(wcs=wcs)


def with_cosmic_rays(
    image: Image, raw: RawExposure, *, share: float, rng: np.random.Generator
) -> Image:
    """Return `image` with a share of its recognised hits as they were delivered, unmasked."""
    hit = has_any(image.mask, MaskPlane.COSMIC_RAY, reference=False)
    labels, n = label(hit, structure=_EIGHT)
    if n == 0:
        return image
    back = np.concatenate([[False], rng.random(n) < share])[labels]
    level = 0.0 if raw.is_sky_subtracted else float(image.meta.sky_level_adu or 0.0)
    back &= np.isfinite(raw.data)
    data = np.where(back, raw.data - np.float32(level), image.data)
    planes = np.uint32(MaskPlane.COSMIC_RAY.flag | MaskPlane.INTERPOLATED.flag)
    return image.with_(data=data, mask=np.where(back, image.mask & ~planes, image.mask))


def degrade(
    science: Image,
    reference: Image,
    raw_science: RawExposure,
    *,
    rng: np.random.Generator,
    settings: DegradationSettings,
) -> tuple[Image, Image]:
    """Return science and reference with what the draw of `rng` puts wrong."""
    if rng.random() < settings.cosmic_rays_share:
        science = with_cosmic_rays(science, raw_science, share=settings.cosmic_rays_left, rng=rng)
    if rng.random() < settings.psf_share:
        relative = float(rng.uniform(0.02, settings.psf_broadening_max))
        axes = ((1.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))[int(rng.integers(4))]
        if rng.random() < 0.5:
            science = _with_psf(science, relative, axes)
        else:
            reference = _with_psf(reference, relative, axes)
    if rng.random() < settings.registration_share:
        corner = float(rng.uniform(-1, 1) * settings.registration_max_pix)
        reference = misregistered(reference, corner_pix=corner)
    return science, reference


def _with_psf(image: Image, relative: float, axes: tuple[float, float]) -> Image:
    if image.psf is None:
        raise ValueError("an image without a PSF cannot have a wrong one")
    return replace(image, psf=broadened(image.psf, relative=relative, axes=axes))
