"""The FITS form of an image: SCI, VAR, MASK, PSF behind an empty primary, byte-reproducible.

Plain float32 and uint32 (working products are not tile-compressed); no date cards and constant
checksum comments, so that equal images give equal bytes.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from astrid_resources.images.image import Image, ImageMeta
from astrid_resources.images.masks import MaskPlane
from astrid_resources.images.psf import PSFModel

FitsTarget = str | Path | BinaryIO

META_CARDS: dict[str, tuple[str, str]] = {
    "gain_e_per_adu": ("GAIN", "[electron/adu] gain"),
    "read_noise_e": ("RDNOISE", "[electron] read noise"),
    "saturation_adu": ("SATURATE", "[adu] saturation level"),
    "exposure_time_s": ("EXPTIME", "[s] exposure time"),
    "mjd_mid_tai": ("MJD-AVG", "[d] mid-exposure, TAI"),
    "filter_band": ("FILTER", "filter band"),
    "survey": ("SURVEY", "survey"),
    "observation_id": ("OBSID", "observation row id"),
    "product_id": ("PROVID", "product id"),
    "zero_point_ab_mag": ("MAGZERO", "[mag] AB zero point for counts of the exposure"),
    "zero_point_err": ("MAGZERR", "[mag] error of MAGZERO"),
    "sky_level_adu": ("SKYLEVEL", "[adu] sky level that was removed"),
    "is_resampled": ("RESAMPLD", "was resampled before it came to us"),
    "is_synthetic": ("SYNTHET", "made by the synthetic sky, not observed"),
}
_DROPPED = frozenset(
    "SIMPLE XTENSION BITPIX EXTEND PCOUNT GCOUNT GROUPS EXTNAME CHECKSUM DATASUM BSCALE BZERO "
    "BLANK BUNIT INHERIT TIMESYS ZIMAGE ZBITPIX WCSDIM WCSAXES WCSNAME RADESYS LONPOLE LATPOLE "
    "EQUINOX MAGSYS ALGORITH NSCALE".split()
)
_DROPPED_PREFIXES = tuple(
    "NAXIS FZ ZQUANT CTYPE CRVAL CRPIX CUNIT CDELT CROTA PV1_ PV2_ CD1_ CD2_ PC1_ PC2_ A_ B_ AP_ "
    "BP_ WAT0_ WAT1_ WAT2_ LTM LTV".split()
)
_TIME_CARDS = (
    "DATE-OBS DATE-BEG DATE-AVG DATE-END MJD-OBS MJD-BEG MJD-AVG MJD-END MJDREF MJDREFI MJDREFF "
    "TIMESYS TIMEUNIT DATEREF TSTART TSTOP TELAPSE XPOSURE JEPOCH BEPOCH TREFPOS TREFDIR".split()
)
_CHECKSUM_COMMENT = "AstrID"


def wcs_from_header(header: fits.Header) -> WCS:
    """Return the celestial WCS of `header`, without astropy's notes on harmless repairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def wcs_cards(wcs: WCS) -> fits.Header:
    """Return the cards of `wcs` with its SIP or TPV distortion, without time cards."""
    header = wcs.to_header(relax=True)
    for key in _TIME_CARDS:
        header.remove(key, ignore_missing=True)
    return header


def carried_header(header: fits.Header) -> fits.Header:
    """Return the cards of `header` that survive into a product.

    Not structure, not its WCS, and no time card: those of the product are in TAI (`meta_cards`),
    and a card that was written in UTC would be read wrong beside them.
    """
    out = header.copy(strip=True)
    ours = {key for key, _ in META_CARDS.values()}
    gone = _DROPPED | ours | set(_TIME_CARDS)
    dropped = [key for key in out if key in gone or key.startswith(_DROPPED_PREFIXES)]
    for key in dropped:
        out.remove(key, ignore_missing=True, remove_all=True)
    return out


def meta_cards(meta: ImageMeta) -> fits.Header:
    """Return the cards that state `meta`; what is unknown has no card."""
    header = fits.Header()
    for name, (key, comment) in META_CARDS.items():
        value = getattr(meta, name)
        if value is not None:
            header[key] = (value, comment)
    if meta.mjd_mid_tai is not None:
        header["TIMESYS"] = ("TAI", "time scale of every time card")
        header["DATE-AVG"] = (_iso_tai(meta.mjd_mid_tai), "mid-exposure, TAI")
        if meta.exposure_time_s is not None:
            start = meta.mjd_mid_tai - meta.exposure_time_s / 2 / 86400
            header["DATE-OBS"] = (_iso_tai(start), "start of the exposure, TAI")
            header["MJD-OBS"] = (start, "[d] start of the exposure, TAI")
    if meta.zero_point_ab_mag is not None:
        header["MAGSYS"] = ("AB", "magnitude system")
    return header


def _iso_tai(mjd_tai: float) -> str:
    return str(Time(mjd_tai, format="mjd", scale="tai").isot)


def meta_from_header(header: fits.Header) -> ImageMeta:
    """Return the meta data stated by a product's header."""
    known: dict[str, Any] = {
        field.name: header[META_CARDS[field.name][0]]
        for field in fields(ImageMeta)
        if META_CARDS[field.name][0] in header
    }
    return ImageMeta(**known)


def array_hdu(
    array: NDArray[Any], name: str, *, unit: str | None = None, header: fits.Header | None = None
) -> fits.ImageHDU:
    """Return an image extension, with its unit and the given cards."""
    hdu = fits.ImageHDU(np.asarray(array), header=header, name=name)
    if unit is not None:
        hdu.header["BUNIT"] = unit
    return hdu


def mask_hdu(mask: NDArray[np.uint32], *, header: fits.Header | None = None) -> fits.ImageHDU:
    """Return the MASK extension with a card for each plane."""
    hdu = array_hdu(mask, "MASK", header=header)
    for plane in MaskPlane:
        hdu.header[f"MP_{plane.bit:02d}"] = (plane.name, plane.meaning[:45])
    return hdu


def psf_hdu(psf: PSFModel) -> fits.ImageHDU:
    """Return the PSF extension: (n_terms, n, n) stamps and how to evaluate them."""
    hdu = array_hdu(psf.stamps, "PSF")
    hdu.header["PSFORDER"] = (psf.order, "order of the polynomial in x, y on [-1, 1]")
    hdu.header["PSFNX"] = (psf.shape[1], "[pixel] width of the image it belongs to")
    hdu.header["PSFNY"] = (psf.shape[0], "[pixel] height of the image it belongs to")
    hdu.header["PSFFWHM"] = (psf.fwhm_pix, "[pixel] FWHM at the centre")
    return hdu


def psf_from_hdu(hdu: fits.ImageHDU) -> PSFModel:
    """Return the PSF stored in a PSF extension."""
    shape = (int(hdu.header["PSFNY"]), int(hdu.header["PSFNX"]))
    return PSFModel(np.ascontiguousarray(hdu.data, np.float32), int(hdu.header["PSFORDER"]), shape)


def image_hdus(image: Image, *, name: str = "SCI") -> list[fits.ImageHDU]:
    """Return the extensions of `image`: its data under `name`, VAR, MASK and PSF."""
    header = carried_header(image.header)
    header.update(meta_cards(image.meta))
    cards = wcs_cards(image.wcs)
    header.update(cards)
    hdus = [
        array_hdu(image.data, name, unit="adu", header=header),
        array_hdu(image.variance, "VAR", unit="adu2", header=cards.copy()),
        mask_hdu(image.mask, header=cards.copy()),
    ]
    if image.psf is not None:
        hdus.append(psf_hdu(image.psf))
    return hdus


def image_from_hdus(hdus: fits.HDUList, *, name: str = "SCI") -> Image:
    """Return the image whose data stand in the extension `name`."""
    header = hdus[name].header
    return Image(
        hdus[name].data,
        hdus["VAR"].data,
        hdus["MASK"].data,
        wcs_from_header(header),
        meta_from_header(header),
        psf=psf_from_hdu(hdus["PSF"]) if "PSF" in hdus else None,
        header=carried_header(header),
    )


def write_hdus(hdus: list[fits.ImageHDU], target: FitsTarget, *, primary: fits.Header) -> None:
    """Write an empty primary with `primary`'s cards and `hdus`, checksummed, byte-reproducible."""
    first = fits.PrimaryHDU(header=primary)
    first.header["CREATOR"] = ("AstrID", "software that made this file")
    listed = fits.HDUList([first, *hdus])
    listed.update_extend()
    for hdu in listed:
        hdu.add_checksum(when=_CHECKSUM_COMMENT)
    listed.writeto(target, overwrite=True, output_verify="exception")


def write_image(image: Image, target: FitsTarget) -> None:
    """Write `image` as SCI, VAR, MASK and PSF; equal images give equal bytes."""
    write_hdus(image_hdus(image), target, primary=fits.Header())


def read_image(source: FitsTarget) -> Image:
    """Return the image written by `write_image`.

    Raises ValueError where a checksum is wrong: our own products are never read damaged.
    """
    with open_verified(source) as hdus:
        return image_from_hdus(hdus)


def open_verified(source: FitsTarget) -> fits.HDUList:
    """Return the open HDU list of one of our products, every checksum verified.

    Raises ValueError where the file is truncated or any byte of it was changed.
    """
    if isinstance(source, (str, Path)):
        source = io.BytesIO(Path(source).read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)
        try:
            hdus = fits.open(source, memmap=False, checksum=False, lazy_load_hdus=False)
            bad = [
                hdu.name for hdu in hdus if hdu.verify_checksum() != 1 or hdu.verify_datasum() != 1
            ]
        except (AstropyUserWarning, OSError, TypeError, IndexError) as error:
            raise ValueError(f"a product is damaged, it cannot be read: {error}") from error
    if bad:
        raise ValueError(f"a product is damaged: wrong checksum of {', '.join(bad)}")
    return hdus
