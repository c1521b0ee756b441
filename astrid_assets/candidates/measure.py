"""Every column of the candidates, measured on stamps around their peaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from photutils.aperture import CircularAperture
from scipy.spatial import cKDTree

from astrid_assets.candidates.neighbours import reference_neighbours
from astrid_assets.candidates.peaks import Peaks
from astrid_assets.candidates.rules import CandidateSettings
from astrid_assets.candidates.stamps import SIGMA_PER_FWHM, moments, psf_stamps
from astrid_assets.difference.forced import interpolated
from astrid_assets.imaging.stamps import cut, offsets
from astrid_resources.images import DifferenceImage, Image, MaskPlane, PSFModel, plane_bits
from astrid_resources.images.masks import UNUSABLE

Floats = NDArray[np.float64]

_SHARES = {
    "saturated_share": (MaskPlane.SATURATED,),
    "no_data_share": (MaskPlane.NO_DATA, MaskPlane.EDGE),
    "cosmic_ray_share": (MaskPlane.COSMIC_RAY,),
    "bad_share": (MaskPlane.BAD, MaskPlane.STREAK, MaskPlane.SPIKE),
    "masked_fraction": UNUSABLE,
}
_BLEND_FWHM = 1.5
_DIPOLE_FWHM = 2.0
_BESIDE_FWHM = 1.5


def measure(
    difference: DifferenceImage,
    reference: Image,
    peaks: Peaks,
    flux_ratio: float,
    settings: CandidateSettings,
) -> dict[str, NDArray[Any]]:
    """Return every column of the peaks as arrays of length n, NaN where not measured."""
    image = difference.image
    if image.psf is None:
        raise ValueError("measure needs a difference with a PSF")
    x, y = peaks.x, peaks.y
    sign = np.where(peaks.is_negative, -1.0, 1.0)
    nearest = np.rint(y).astype(int), np.rint(x).astype(int)
    flux = interpolated(difference.psf_flux, x, y)
    error = difference.psf_flux_error[nearest].astype(float)
    out: dict[str, NDArray[Any]] = {
        "pixel_x": x,
        "pixel_y": y,
        "significance": sign * peaks.significance,
        "is_negative": peaks.is_negative,
        "flux": flux,
        "flux_error": error,
        "snr": flux / error,
    }
    out |= _sky(image, x, y, position_error_pix(image.psf) / peaks.significance)
    out |= _on_stamps(difference, image.psf, peaks, sign, flux, settings)
    fwhm = image.psf.fwhm_pix
    out["is_blended"] = _has_neighbour(x, y, _BLEND_FWHM * fwhm)
    long = np.sqrt(np.maximum((peaks.length / SIGMA_PER_FWHM) ** 2 - 2 * fwhm**2, 0))
    out["is_trailed"] = (long > fwhm) & (peaks.length > 2 * peaks.width)
    around = reference_neighbours(reference, x, y)
    scale = _pixel_scale_arcsec(image)
    out["nearest_reference_distance_arcsec"] = around.distance_pix * scale
    out["nearest_reference_flux"] = around.flux / flux_ratio
    out["nearest_reference_is_star"] = np.array(
        [None if np.isnan(value) else bool(value) for value in around.is_star], object
    )
    out["reference_star_flux_ratio"] = np.abs(flux) * flux_ratio / around.star_flux
    return out


def position_error_pix(psf: PSFModel) -> float:
    """Return the bound on a position's rms per axis times its significance: 1 / sqrt(-rho''(0)).

    rho: normalised autocorrelation of P_D; -rho''(0) = sum (k |P|)^2 / sum |P|^2 over its
    spectrum, both axes' mean (differences of neighbouring pixels would find too little of it).
    """
    stamp = psf.centre.astype(float)
    power = np.abs(scipy.fft.fft2(stamp)) ** 2
    k = 2 * np.pi * scipy.fft.fftfreq(psf.size)
    curvature = 0.5 * np.sum(power * (k[:, None] ** 2 + k**2)) / np.sum(power)
    return float(1 / np.sqrt(curvature))


def _sky(image: Image, x: Floats, y: Floats, error_pix: Floats) -> dict[str, NDArray[Any]]:
    ra, dec = image.wcs.all_pix2world(x, y, 0)
    error = error_pix * _pixel_scale_arcsec(image)
    return {"ra": ra % 360, "dec": dec, "ra_error": error, "dec_error": error}


def _pixel_scale_arcsec(image: Image) -> float:
    return float(np.mean(proj_plane_pixel_scales(image.wcs))) * 3600


def _on_stamps(
    difference: DifferenceImage,
    psf: PSFModel,
    peaks: Peaks,
    sign: Floats,
    flux: Floats,
    settings: CandidateSettings,
) -> dict[str, NDArray[Any]]:
    """Return what is measured on stamps of the difference, its mask and the score."""
    image, x, y = difference.image, peaks.x, peaks.y
    fwhm, sigma = psf.fwhm_pix, psf.fwhm_pix * SIGMA_PER_FWHM
    half = int(np.ceil(_DIPOLE_FWHM * fwhm)) + 1
    dx, dy = offsets(x, y, half=half)
    radius = np.hypot(dx, dy)
    model = psf_stamps(psf, x, y, half=half)
    outside = MaskPlane.NO_DATA.flag
    mask = cut(image.mask, x, y, half=half, outside=outside)
    data = cut(image.data, x, y, half=half, outside=0).astype(float)
    variance = cut(image.variance, x, y, half=half, outside=1).astype(float)
    score = cut(difference.score_corrected, x, y, half=half, outside=0) * sign[:, None, None]
    good = (mask & np.uint32(plane_bits(*UNUSABLE))) == 0
    near = radius <= max(fwhm, 1.5)

    weight = np.maximum(model, 0) ** 2
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    out: dict[str, NDArray[Any]] = {
        name: np.sum(weight * ((mask & np.uint32(plane_bits(*planes))) != 0), axis=(1, 2))
        for name, planes in _SHARES.items()
    }
    bits = np.bitwise_or.reduce(np.where(near, mask, np.uint32(0)), axis=(1, 2))
    out["mask_bits"] = bits.astype(np.int64)
    rays = (mask & np.uint32(plane_bits(MaskPlane.COSMIC_RAY))) != 0
    out["is_beside_cosmic_ray"] = (rays & (radius <= _BESIDE_FWHM * fwhm)).any(axis=(1, 2))
    out["is_saturated"] = (bits & plane_bits(MaskPlane.SATURATED)) != 0
    out["is_edge"] = (bits & plane_bits(MaskPlane.NO_DATA, MaskPlane.EDGE)) != 0
    out["is_flux_masked"] = (bits & plane_bits(*UNUSABLE, reference=False)) != 0

    scale2 = difference.noise_scale_factor**2
    used = good & (radius <= max(fwhm, 1.5))
    rest = (data - flux[:, None, None] * model) ** 2 / (variance * scale2)
    freedom = used.sum(axis=(1, 2)) - 3
    chi2 = np.sum(rest * used, axis=(1, 2)) / np.maximum(freedom, 1)
    out["chi2"] = np.where(freedom >= 3, chi2, np.nan)

    own = sign[:, None, None] * data * good * np.maximum(model, 0)
    total = np.abs(own).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        out["positive_pixel_fraction"] = np.maximum(own, 0).sum(axis=(1, 2)) / total
    width, ellipticity, theta = moments(
        sign[:, None, None] * data * good, dx, dy, sigma_pix=1.5 * sigma
    )
    out["ellipticity"] = ellipticity
    point = moments(model[:1], dx[:1], dy[:1], sigma_pix=1.5 * sigma)[0][0]
    out["fwhm_ratio"] = width / point
    out["fwhm"] = out["fwhm_ratio"] * fwhm
    out["position_angle"] = _position_angle(image, x, y, theta)
    opposite = -np.where(radius <= _DIPOLE_FWHM * fwhm, score, 0).min(axis=(1, 2))
    out["dipole_ratio"] = opposite / peaks.significance
    out["is_dipole"] = (out["dipole_ratio"] > settings.max_dipole_ratio) & (
        opposite > settings.dipole_sigma
    )
    # On the stamps: of the whole image photutils would need the error as one more image.
    middle = half + np.column_stack([x - np.rint(x), y - np.rint(y)])
    sums = np.array(
        [
            circle.do_photometry(pixels, error=noise, mask=~usable)
            for circle, pixels, noise, usable in zip(
                CircularAperture(middle, max(fwhm, 1.5)), data, np.sqrt(variance), good, strict=True
            )
        ]
    )[:, :, 0]
    out["aperture_flux"], out["aperture_flux_error"] = sums[:, 0], sums[:, 1] * np.sqrt(scale2)
    return out


def _position_angle(image: Image, x: Floats, y: Floats, theta: Floats) -> Floats:
    """Return degrees east of north, in [0, 180), of directions theta (radians, x towards y)."""
    angle = np.nan_to_num(theta)
    ra, dec = image.wcs.all_pix2world(x, y, 0)
    ra2, dec2 = image.wcs.all_pix2world(x + np.cos(angle), y + np.sin(angle), 0)
    east = ((ra2 - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    turned = np.degrees(np.arctan2(east, dec2 - dec)) % 180
    return np.where(np.isfinite(theta), turned, np.nan)


def _has_neighbour(x: Floats, y: Floats, radius: float) -> NDArray[np.bool_]:
    out = np.zeros(len(x), bool)
    pairs = cKDTree(np.column_stack([x, y])).query_pairs(radius, output_type="ndarray")
    out[pairs.ravel()] = True
    return out
