"""Whether PSF fluxes are on the scale of the light itself: forced PSF against aperture fluxes.

Injection draws sources with the image's own PSF and so cannot see that it is wrong; the growth
curve of real stars can. What it cannot see is light beyond its largest radius.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrid_assets.imaging.photometry import GrowthCurve, growth_curve, psf_photometry
from astrid_resources.images import Image, PSFModel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FluxScaleSettings:
    """Which stars are used and how far out.

    min_snr: of the PSF flux. n_stars_min: below it there is no number. n_stars_max: the brightest.
    radii_fwhm: rings of the growth curve; the last one is where the fluxes are compared.
    """

    min_snr: float = 50.0
    n_stars_min: int = 4
    n_stars_max: int = 80
    radii_fwhm: tuple[float, ...] = (0.75, 1.0, 1.5, 2.0, 2.5)


@dataclass(frozen=True)
class FluxScale:
    """PSF flux over aperture flux of n_stars stars, 1 where the PSF is right.

    ratio, error: None where too few stars can be used. measured: their growth curve in units of
    the PSF flux; model: what the PSF says it is.
    """

    ratio: float | None
    error: float | None
    n_stars: int
    measured: GrowthCurve | None = field(default=None, repr=False)
    model: Floats | None = field(default=None, repr=False)


def flux_scale(
    image: Image, *, x: ArrayLike, y: ArrayLike, settings: FluxScaleSettings | None = None
) -> FluxScale:
    """Return the PSF flux of stars at (x, y) over their flux in a large aperture.

    image: sky-subtracted, with its PSF. x, y: isolated, unsaturated stars, 0-based pixels.
    The aperture is corrected by the PSF's own share beyond it, a few per cent. Raises ValueError
    without a PSF.
    """
    settings = settings or FluxScaleSettings()
    if image.psf is None:
        raise ValueError("the flux scale is that of an image's PSF, and it has none")
    u, v = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    forced = psf_photometry(image.data, image.variance, image.psf, u, v, mask=image.mask)
    snr = np.nan_to_num(forced.flux / forced.flux_error)
    bright = np.flatnonzero(snr >= settings.min_snr)
    bright = bright[np.argsort(-snr[bright], kind="stable")][: settings.n_stars_max]
    radii = np.array(settings.radii_fwhm) * image.psf.fwhm_pix
    measured = growth_curve(
        image.data,
        image.variance,
        image.mask,
        u[bright],
        v[bright],
        radii_pix=radii,
        flux=forced.flux[bright],
    )
    if measured.n_stars < settings.n_stars_min or not measured.share[-1] > 0:
        return FluxScale(None, None, measured.n_stars)
    model = _model_curve(image.psf, u[bright], v[bright], radii)
    ratio = float(model[-1] / measured.share[-1])
    error = ratio * float(measured.error[-1] / measured.share[-1])
    return FluxScale(ratio, error, measured.n_stars, measured, model)


def _model_curve(psf: PSFModel, x: Floats, y: Floats, radii: Floats) -> Floats:
    """Return the growth curve of the PSF, the mean of its stamps at (x, y)."""
    stamp = np.mean([psf.at(a, b) for a, b in zip(x, y, strict=True)], axis=0)
    middle, free = np.array([psf.size / 2 - 0.5]), np.zeros(stamp.shape, np.uint32)
    unit = np.ones(stamp.shape, np.float32)
    made = growth_curve(stamp, unit, free, middle, middle, radii_pix=radii, flux=np.ones(1))
    return made.share
