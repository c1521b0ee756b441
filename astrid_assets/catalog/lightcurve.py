"""Forced light curves: one frozen position, every difference that covers it, limits as points.

Pure functions; which differences exist and what was written before is the business of `update`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS

from astrid_assets.catalog.association import (
    DetectionArrays,
    separation_arcsec,
)
from astrid_assets.difference.forced import forced_flux
from astrid_assets.imaging.photometry import njy_per_adu, psf_photometry
from astrid_assets.imaging.sphere import unit_vectors
from astrid_resources.images import DifferenceImage, Image, MaskPlane, plane_bits

_NO_DATA = plane_bits(MaskPlane.NO_DATA)


@dataclass(frozen=True)
class LightCurveSettings:
    """detection_threshold_sigma: least |forced flux| / error of a point that is a detection."""

    detection_threshold_sigma: float = 5.0


@dataclass(frozen=True)
class FrozenPosition:
    """Where a transient's fluxes are forced: ICRS degrees, standard error per axis in arcsec."""

    ra: float
    dec: float
    error_arcsec: float


@dataclass(frozen=True)
class ForcedPoint:
    """One forced measurement on one difference.

    flux_adu: science counts; flux_njy and limiting_mag_5sigma: None without a zero point.
    score: score_corrected at the position. x, y: 0-based pixel position.
    flags: "masked" where the footprint holds unusable pixels, "uncalibrated" without zero point.
    """

    x: float
    y: float
    flux_adu: float
    flux_adu_error: float
    score: float
    flux_njy: float | None
    flux_njy_error: float | None
    zero_point_ab_mag: float | None
    zero_point_err: float | None
    limiting_mag_5sigma: float | None
    flags: tuple[str, ...]
    is_detection: bool


@dataclass(frozen=True)
class ReferenceFlux:
    """The flux of the reference itself at a position: PSF photometry, counts."""

    flux_adu: float
    flux_adu_error: float


@dataclass(frozen=True)
class LightCurvePoint:
    """A stored point of a light curve; a measurement below threshold is one too."""

    observation_id: str
    difference_run_id: str
    reference_image_id: str | None
    mjd_mid_tai: float
    band: str
    flux_adu: float
    flux_adu_error: float
    flux_njy: float | None
    flux_njy_error: float | None
    reference_flux_adu: float | None
    reference_flux_adu_error: float | None
    limiting_mag_5sigma: float | None
    significance: float | None
    flags: tuple[str, ...]
    is_detection: bool

    @property
    def snr(self) -> float:
        """Forced flux over its error; 0 where the error is 0."""
        return self.flux_adu / self.flux_adu_error if self.flux_adu_error > 0 else 0.0


@dataclass(frozen=True)
class Baseline:
    """How fluxes against one reference version join those of the band's anchor version.

    offset_njy: to be added to fluxes against this version (0 for the anchor); None where the
    reference's own flux is not calibrated: such points are never mixed with the anchor's.
    """

    band: str
    reference_image_id: str | None
    n_points: int
    offset_njy: float | None
    offset_njy_error: float | None


def frozen_position(members: DetectionArrays) -> FrozenPosition:
    """Return the mean position weighted by 1/sigma^2, bitwise the same in any order of members."""
    weight = 1 / np.maximum(members.position_error_arcsec, 1e-3) ** 2
    vectors = unit_vectors(members.ra, members.dec)
    x, y, z = (math.fsum((weight * axis).tolist()) for axis in vectors.T)
    return FrozenPosition(
        math.degrees(math.atan2(y, x)) % 360.0,
        math.degrees(math.atan2(z, math.hypot(x, y))),
        1 / math.sqrt(math.fsum(weight.tolist())),
    )


def pixel_position(
    wcs: WCS, shape: tuple[int, int], ra: float, dec: float
) -> tuple[float, float] | None:
    """Return the 0-based pixel (x, y) of a position, or None outside the image of `shape`."""
    ny, nx = shape
    corners = wcs.pixel_to_world_values(
        [(nx - 1) / 2, 0, nx - 1, 0, nx - 1], [(ny - 1) / 2, 0, 0, ny - 1, ny - 1]
    )
    from_centre = separation_arcsec(corners[0][0], corners[1][0], corners[0][1:], corners[1][1:])
    if separation_arcsec(corners[0][0], corners[1][0], ra, dec) > 1.1 * float(from_centre.max()):
        return None
    x, y = (float(value) for value in wcs.world_to_pixel_values(ra, dec))
    is_inside = -0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5
    return (x, y) if is_inside else None


def forced_point(
    difference: DifferenceImage,
    *,
    ra: float,
    dec: float,
    settings: LightCurveSettings = LightCurveSettings(),
) -> ForcedPoint | None:
    """Return the flux forced at (ra, dec) in degrees, or None where the difference has no data."""
    image = difference.image
    place = pixel_position(image.wcs, image.shape, ra, dec)
    if place is None:
        return None
    x, y = place
    if int(image.mask[round(y), round(x)]) & _NO_DATA:
        return None
    forced = forced_flux(difference, x, y)
    flux, error = float(forced.flux), float(forced.flux_error)
    zero_point = image.meta.zero_point_ab_mag
    scale = None if zero_point is None else njy_per_adu(zero_point)
    flags = [
        name
        for name, is_set in (("masked", forced.is_masked), ("uncalibrated", scale is None))
        if is_set
    ]
    snr = flux / error if error > 0 else 0.0
    return ForcedPoint(
        x=x,
        y=y,
        flux_adu=flux,
        flux_adu_error=error,
        score=float(forced.score),
        flux_njy=None if scale is None else flux * scale,
        flux_njy_error=None if scale is None else error * scale,
        zero_point_ab_mag=zero_point,
        zero_point_err=image.meta.zero_point_err,
        limiting_mag_5sigma=(
            None if zero_point is None or error <= 0 else zero_point - 2.5 * math.log10(5 * error)
        ),
        flags=tuple(flags),
        is_detection=abs(snr) >= settings.detection_threshold_sigma and not forced.is_masked,
    )


def reference_flux(reference: Image, *, ra: float, dec: float) -> ReferenceFlux | None:
    """Return the PSF flux of `reference` at (ra, dec) in its own counts, None where it has no data.

    It includes whatever stands there, a host galaxy under the PSF too.
    """
    place = pixel_position(reference.wcs, reference.shape, ra, dec)
    if place is None or reference.psf is None:
        return None
    x, y = place
    if int(reference.mask[round(y), round(x)]) & _NO_DATA:
        return None
    measured = psf_photometry(
        reference.data,
        reference.variance,
        reference.psf,
        np.array([x]),
        np.array([y]),
        mask=reference.mask,
    )
    flux, error = float(measured.flux[0]), float(measured.flux_error[0])
    return ReferenceFlux(flux, error) if math.isfinite(flux) and math.isfinite(error) else None


def baselines(points: Sequence[LightCurvePoint]) -> tuple[Baseline, ...]:
    """Return for each band and reference version how its fluxes join the anchor version's.

    What is measured against a reference is total flux minus that reference's flux, so versions
    differ by the difference of their own fluxes at the position. The anchor is the version with
    most points, ties by id.
    """
    versions: dict[str, dict[str, list[LightCurvePoint]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        versions[point.band][point.reference_image_id or ""].append(point)
    result = []
    for band in sorted(versions):
        of_band = versions[band]
        order = sorted(of_band, key=lambda version: (-len(of_band[version]), version))
        anchor = _reference_flux_njy(of_band[order[0]])
        for version in order:
            offset: float | None = None
            error: float | None = None
            own = _reference_flux_njy(of_band[version])
            if version == order[0]:
                offset, error = 0.0, 0.0
            elif own is not None and anchor is not None:
                offset, error = own[0] - anchor[0], math.hypot(own[1], anchor[1])
            result.append(Baseline(band, version or None, len(of_band[version]), offset, error))
    return tuple(result)


def summarise(points: Sequence[LightCurvePoint]) -> dict[str, Any]:
    """Return the JSON-able summary of a light curve by band: counts, brightest and last point."""
    joined = {(item.band, item.reference_image_id): item for item in baselines(points)}
    summary: dict[str, Any] = {}
    for band in sorted({point.band for point in points}):
        of_band = sorted(
            (point for point in points if point.band == band),
            key=lambda point: (point.mjd_mid_tai, point.observation_id),
        )
        detected = [point for point in of_band if point.is_detection]
        summary[band] = {
            "n_points": len(of_band),
            "n_detections": len(detected),
            "brightest": _brief(max(detected, key=lambda p: (abs(p.snr), p.observation_id)))
            if detected
            else None,
            "last": _brief(of_band[-1]),
            "reference_versions": [
                {
                    "reference_image_id": item.reference_image_id,
                    "n_points": item.n_points,
                    "offset_njy": item.offset_njy,
                }
                for key, item in joined.items()
                if key[0] == band
            ],
        }
    return summary


def _brief(point: LightCurvePoint) -> dict[str, Any]:
    return {
        "mjd_mid_tai": point.mjd_mid_tai,
        "flux_adu": point.flux_adu,
        "flux_adu_error": point.flux_adu_error,
        "flux_njy": point.flux_njy,
        "flux_njy_error": point.flux_njy_error,
        "snr": point.snr,
    }


def _reference_flux_njy(points: Sequence[LightCurvePoint]) -> tuple[float, float] | None:
    """Return the median of the reference's flux and error over calibrated points, nJy."""
    pairs = [
        (point.reference_flux_adu * scale, point.reference_flux_adu_error * scale)
        for point in points
        if point.reference_flux_adu is not None
        and point.reference_flux_adu_error is not None
        and point.flux_njy_error is not None
        and point.flux_adu_error > 0
        for scale in (point.flux_njy_error / point.flux_adu_error,)
    ]
    if not pairs:
        return None
    flux, error = np.median(np.array(pairs), axis=0)
    return float(flux), float(error)
