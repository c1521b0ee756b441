"""Where an image lies by its header, and whether that can be believed; numpy and astropy only."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning, NoConvergence, WcsError
from numpy.typing import NDArray

SCALE_RANGE_ARCSEC = (1e-3, 600.0)
ROUND_TRIP_MAX_PIX = 0.1
ASPECT_MAX = 4.0


class UnreadableError(Exception):
    """What is wrong with a file or an extension: a reason code and a text for a person."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason
        self.text = text


@dataclass(frozen=True)
class Geometry:
    """Where an image lies: degrees as its WCS states them, corners of the outermost pixels."""

    ra: float
    dec: float
    corners: tuple[tuple[float, float], ...]
    pixel_scale_arcsec: float


def _unit(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def geometry(header: fits.Header, shape: tuple[int, int], label: str) -> Geometry:
    """Return where an image of `shape` (ny, nx) lies by its header.

    Raises UnreadableError: no_wcs, unsupported_wcs, unsupported_frame or bad_wcs.
    """
    ctypes = [str(header.get(key, "")) for key in ("CTYPE1", "CTYPE2")]
    if not any(ctypes):
        text = f"{label} has no world coordinates (CTYPE1, CTYPE2 are missing): solve it first"
        raise UnreadableError("no_wcs", text)
    tables = [key for key in header if re.fullmatch(r"(CPDIS|CQDIS|D2IMDIS)\d", key)]
    if tables or any("TAB" in ctype for ctype in ctypes):
        raise UnreadableError(
            "unsupported_wcs", f"{label} uses look-up table distortions {tables or ctypes}"
        )
    _check_frame(header, ctypes, label)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header, naxis=2)
        if not wcs.has_celestial:
            raise UnreadableError(
                "no_wcs", f"{label} has no celestial coordinates, CTYPE is {ctypes}"
            )
        return _measured(wcs, shape)
    except (WcsError, NoConvergence, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        first = str(error).strip().splitlines()[-1] if str(error).strip() else "unknown"
        text = f"the world coordinates of {label} are not usable: {first}"
        raise UnreadableError("bad_wcs", text) from error


def _check_frame(header: fits.Header, ctypes: list[str], label: str) -> None:
    axes = {ctype.split("-")[0].strip() for ctype in ctypes}
    equinox = header.get("EQUINOX", 2000.0)
    system = str(header.get("RADESYS", header.get("RADECSYS", "ICRS"))).strip().upper()
    is_equatorial = axes == {"RA", "DEC"}
    is_j2000 = isinstance(equinox, (int, float)) and equinox == 2000.0
    if is_equatorial and system in ("ICRS", "FK5", "") and (is_j2000 or system == "ICRS"):
        return
    reason = "unsupported_frame" if is_equatorial or "GLON" in axes or "ELON" in axes else "no_wcs"
    text = (
        f"{label} has axes {sorted(axes)} in {system or 'no system'}, equinox {equinox}: RA and "
        "Dec in ICRS or FK5 J2000 are needed"
    )
    raise UnreadableError(reason, text)


def _measured(wcs: WCS, shape: tuple[int, int]) -> Geometry:
    ny, nx = shape
    cx, cy = (nx - 1) / 2, (ny - 1) / 2
    x = np.array([cx, cx + 0.5, cx - 0.5, cx, cx, -0.5, nx - 0.5, nx - 0.5, -0.5])
    y = np.array([cy, cy, cy, cy + 0.5, cy - 0.5, -0.5, -0.5, ny - 0.5, ny - 0.5])
    ra, dec = wcs.all_pix2world(x, y, 0)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all() and (np.abs(dec) <= 90).all()):
        raise ValueError("centre or corners are not on the sky")
    vectors = _unit(ra, dec)
    along_x, along_y = vectors[:, 1] - vectors[:, 2], vectors[:, 3] - vectors[:, 4]
    area = float(np.linalg.norm(np.cross(along_x, along_y)))
    scale = float(np.rad2deg(np.sqrt(area)) * 3600)
    sides = sorted((float(np.linalg.norm(along_x)), float(np.linalg.norm(along_y))))
    low, high = SCALE_RANGE_ARCSEC
    if not low <= scale <= high:
        raise ValueError(f"the pixel scale is {scale:.3g} arcsec, allowed are {low} to {high}")
    if sides[1] > ASPECT_MAX * sides[0]:
        raise ValueError(f"the pixels are {sides[1] / sides[0]:.3g} times longer than wide")
    back_x, back_y = wcs.all_world2pix(ra, dec, 0)
    error = float(np.max(np.hypot(back_x - x, back_y - y)))
    if not error <= ROUND_TRIP_MAX_PIX:
        raise ValueError(f"pixel to sky and back misses by {error:.3g} pixels")
    corners = tuple((float(a) % 360.0, float(d)) for a, d in zip(ra[5:], dec[5:], strict=True))
    return Geometry(float(ra[0]) % 360.0, float(dec[0]), corners, scale)
