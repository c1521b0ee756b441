"""What is known of one candidate: the columns of the table `candidates` that science fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def _column(description: str, unit: str | None = None) -> Any:
    return field(metadata={"description": description, "unit": unit})


@dataclass(frozen=True)
class Candidate:
    """A peak of score_corrected beyond the threshold, of either sign; None where unmeasured."""

    rank: int = _column("place in (y, x) order in its difference, from 0")
    pixel_x: float = _column("fitted position, 0-based, integer = pixel centre", "pix")
    pixel_y: float = _column("fitted position, 0-based, integer = pixel centre", "pix")
    ra: float = _column("right ascension, ICRS", "deg")
    dec: float = _column("declination, ICRS", "deg")
    ra_error: float = _column("standard error along right ascension", "arcsec")
    dec_error: float = _column("standard error along declination", "arcsec")
    flux: float = _column("PSF flux, science counts, signed", "adu")
    flux_error: float = _column("standard error of the PSF flux", "adu")
    significance: float = _column("score_corrected at the fitted position, signed")
    snr: float = _column("PSF flux over its error, signed")
    is_negative: bool = _column("fainter than in the reference")
    aperture_flux: float | None = _column("flux within one FWHM radius", "adu")
    aperture_flux_error: float | None = _column("standard error of the aperture flux", "adu")
    fwhm: float | None = _column("FWHM on the difference", "pix")
    ellipticity: float | None = _column("1 - b/a on the difference")
    position_angle: float | None = _column("major axis, degrees east of north", "deg")
    chi2: float | None = _column("reduced chi squared of the PSF fit on the difference")
    is_saturated: bool = _column("a saturated pixel in the footprint")
    is_blended: bool = _column("another candidate within 1.5 FWHM")
    is_edge: bool = _column("the footprint leaves the measured area")
    is_dipole: bool = _column("an opposite peak of comparable strength within 2 FWHM")
    is_trailed: bool = _column("longer than the PSF by more than one FWHM")
    is_flux_masked: bool = _column("masked pixels in the footprint make its flux uncertain")
    dipole_ratio: float = _column("strongest opposite score within 2 FWHM over its own")
    mask_bits: int = _column("planes set in the footprint")
    masked_fraction: float = _column("share of the flux weight on unusable pixels")
    positive_pixel_fraction: float | None = _column("weighted share of its own sign")
    nearest_reference_distance_arcsec: float | None = _column(
        "distance of the nearest reference source", "arcsec"
    )
    nearest_reference_flux: float | None = _column("its PSF flux, science counts", "adu")
    nearest_reference_is_star: bool | None = _column("whether it looks like a point source")
    reference_star_flux_ratio: float | None = _column(
        "absolute flux over that of the brightest reference star it may be a residual of"
    )
    other_score: float | None = _column(
        "score_corrected of a second algorithm there, signed, where one ran"
    )
    status: str = _column("new or rejected")
    rejection_rule: str | None = _column("first rule that failed")
    rejection_value: float | None = _column("value that failed it")

    @property
    def is_accepted(self) -> bool:
        """Whether no rule rejected it."""
        return self.rejection_rule is None


def unconfirmed_fraction(
    candidates: Sequence[Candidate], *, threshold_sigma: float
) -> float | None:
    """Return the share of accepted candidates that a second algorithm sees below the threshold.

    None where none ran, or none is accepted. An opposite sign is no confirmation.
    """
    scores = [
        (-c.other_score if c.is_negative else c.other_score)
        for c in candidates
        if c.is_accepted and c.other_score is not None
    ]
    return sum(s < threshold_sigma for s in scores) / len(scores) if scores else None
