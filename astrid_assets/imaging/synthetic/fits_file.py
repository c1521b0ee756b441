"""A synthetic exposure as the FITS file a small survey would deliver."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

from astrid_assets.imaging.synthetic.render import SyntheticExposure
from astrid_resources.images.fits_form import wcs_cards

SITE_LONGITUDE_DEG = -70.81
SITE_LATITUDE_DEG = -30.17


def to_fits(exposure: SyntheticExposure, path: Path, *, object_name: str = "synthetic") -> Path:
    """Write the raw exposure to `path`, checksummed and byte-reproducible; return the path.

    One image extension SCI (and MASK, non-zero is bad, where the detector has bad columns)
    behind an empty primary that carries the observation's cards. SYNTHET is T in both.
    """
    epoch = exposure.epoch
    start = Time(epoch.mjd_mid_tai - epoch.exposure_time_s / 2 / 86400, format="mjd", scale="tai")
    primary = fits.PrimaryHDU()
    cards = {
        "DATE-OBS": (start.utc.isot, "start of exposure, UTC"),
        "TIMESYS": ("UTC", "time scale"),
        "EXPTIME": (epoch.exposure_time_s, "[s] exposure time"),
        "FILTER": (epoch.filter_band, "filter band"),
        "TELESCOP": ("AstrID synthetic", "simulated telescope"),
        "INSTRUME": ("SyntheticCam", "simulated instrument"),
        "LONG": (SITE_LONGITUDE_DEG, "[deg] longitude, east positive"),
        "LAT": (SITE_LATITUDE_DEG, "[deg] latitude"),
        "AIRMASS": (1.2, "airmass"),
        "GAIN": (epoch.gain_e_per_adu, "[electron/adu] gain"),
        "RDNOISE": (epoch.read_noise_e, "[electron] read noise"),
        "SATURATE": (epoch.saturation_adu, "[adu] saturation level"),
        "OBJECT": (object_name, "simulated, not observed"),
        "SYNTHET": (True, "made by the synthetic sky, not observed"),
    }
    header = wcs_cards(exposure.raw.wcs)
    for key, card in cards.items():
        primary.header[key] = card
        header[key] = card
    header["BUNIT"] = "adu"
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [
        primary,
        fits.ImageHDU(exposure.raw.data, header=header, name="SCI"),
    ]
    if exposure.raw.bad is not None:
        hdus.append(fits.ImageHDU(exposure.raw.bad.astype(np.uint8), name="MASK"))
    for hdu in hdus:
        hdu.add_checksum(when="AstrID")
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
