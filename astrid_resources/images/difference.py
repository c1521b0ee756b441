"""The result of a subtraction and its FITS form: what candidates and light curves stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from astropy.io import fits

from astrid_resources.images.fits_form import (
    FitsTarget,
    array_hdu,
    image_from_hdus,
    image_hdus,
    open_verified,
    wcs_cards,
    write_hdus,
)
from astrid_resources.images.image import FloatArray, Image, settle

Algorithm = Literal["zogy", "alard_lupton"]
"""What can subtract one image from another."""


@dataclass(frozen=True)
class DifferenceImage:
    """A difference on the science grid with the maps that are searched and measured.

    image: the difference D (science counts) with its variance, mask (science planes and
        `*_REFERENCE` planes), WCS and PSF P_D; `meta` is the science exposure's.
    score_corrected: S_corr in sigmas, 0 where nothing was measured.
    psf_flux: PSF flux of a point source centred on each pixel, science counts.
    psf_flux_error: its standard error, science counts; +inf nowhere, large where masked.
    noise_scale_factor: the measured factor already applied to score and flux error (1: none).
    algorithm: what really ran.
    """

    image: Image
    score_corrected: FloatArray = field(repr=False)
    psf_flux: FloatArray = field(repr=False)
    psf_flux_error: FloatArray = field(repr=False)
    noise_scale_factor: float
    algorithm: Algorithm

    def __post_init__(self) -> None:
        for name in ("score_corrected", "psf_flux", "psf_flux_error"):
            array = settle(getattr(self, name), np.float32, name, self.image.shape)
            object.__setattr__(self, name, array)


def write_difference(difference: DifferenceImage, target: FitsTarget) -> None:
    """Write DIFFERENCE, VAR, MASK, PSF, SCORE, PSF_FLUX, PSF_FLUX_ERR; byte-reproducible."""
    cards = wcs_cards(difference.image.wcs)
    hdus = image_hdus(difference.image, name="DIFFERENCE")
    hdus[0].header["ALGORITH"] = (difference.algorithm, "subtraction algorithm")
    hdus[0].header["NSCALE"] = (difference.noise_scale_factor, "noise scale factor applied")
    hdus += [
        array_hdu(difference.score_corrected, "SCORE", header=cards.copy()),
        array_hdu(difference.psf_flux, "PSF_FLUX", unit="adu", header=cards.copy()),
        array_hdu(difference.psf_flux_error, "PSF_FLUX_ERR", unit="adu", header=cards.copy()),
    ]
    write_hdus(hdus, target, primary=fits.Header())


def read_difference(source: FitsTarget) -> DifferenceImage:
    """Return the difference written by `write_difference`; ValueError where it is damaged."""
    with open_verified(source) as hdus:
        header = hdus["DIFFERENCE"].header
        return DifferenceImage(
            image_from_hdus(hdus, name="DIFFERENCE"),
            hdus["SCORE"].data,
            hdus["PSF_FLUX"].data,
            hdus["PSF_FLUX_ERR"].data,
            float(header["NSCALE"]),
            _algorithm(str(header["ALGORITH"])),
        )


def _algorithm(name: str) -> Algorithm:
    for known in get_args(Algorithm):
        if name == known:
            return known
    raise ValueError(
        f"a difference is made by one of {get_args(Algorithm)}, its file says {name!r}"
    )
