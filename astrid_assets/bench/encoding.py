"""What encoding a product costs: plain float32 FITS, as stored, against RICE tiles, as archived."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

from astrid_resources.images import DifferenceImage, Image, write_difference, write_image

_DITHER_SEED = 1
_QUANTIZE_LEVEL = 16.0


def encoding_calls(image: Image, difference: DifferenceImage) -> dict[str, Callable[[], Any]]:
    """Return the calls to measure, by the name of their row; each returns the bytes written."""
    maps = (difference.score_corrected, difference.psf_flux, difference.psf_flux_error)
    return {
        "store a calibrated image, plain": lambda: _size(write_image, image),
        "store a difference, plain": lambda: _size(write_difference, difference),
        "encode a calibrated image, RICE": lambda: _compressed(image),
        "encode a difference, RICE": lambda: _compressed(difference.image, *maps),
    }


def _size(write: Callable[[Any, io.BytesIO], None], product: Any) -> int:
    target = io.BytesIO()
    write(product, target)
    return target.tell()


def _compressed(image: Image, *others: NDArray[Any]) -> int:
    """Write floats by RICE with subtractive dithering, variance and mask without loss."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    hdus += [
        fits.CompImageHDU(
            data,
            compression_type="RICE_1",
            quantize_level=_QUANTIZE_LEVEL,
            quantize_method=1,
            dither_seed=_DITHER_SEED,
        )
        for data in (image.data, *others)
    ]
    hdus.append(fits.CompImageHDU(image.variance, compression_type="GZIP_2", quantize_level=0))
    hdus.append(fits.CompImageHDU(image.mask, compression_type="RICE_1"))
    for hdu in hdus:
        hdu.add_checksum(when="AstrID")
    target = io.BytesIO()
    fits.HDUList(hdus).writeto(target)
    return target.tell()
