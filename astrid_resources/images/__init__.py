"""The image type with its masks, PSF container and FITS form.

Only numpy and astropy are imported here, so that every science module may use it.
"""

from astrid_resources.images.difference import (
    Algorithm,
    DifferenceImage,
    read_difference,
    write_difference,
)
from astrid_resources.images.failures import KnownFailure, NoWork
from astrid_resources.images.fits_form import read_image, write_image
from astrid_resources.images.image import Image, ImageMeta, RawExposure
from astrid_resources.images.masks import MaskPlane, as_reference, has_any, plane_bits
from astrid_resources.images.psf import PSFModel

__all__ = [
    "Algorithm",
    "DifferenceImage",
    "Image",
    "ImageMeta",
    "KnownFailure",
    "MaskPlane",
    "NoWork",
    "PSFModel",
    "RawExposure",
    "as_reference",
    "has_any",
    "plane_bits",
    "read_difference",
    "read_image",
    "write_difference",
    "write_image",
]
