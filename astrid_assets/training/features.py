"""What the pipeline measured of a candidate, as numbers for the baselines the network must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from astrid_assets.candidates.candidate import Candidate

FEATURES = (
    "significance",
    "snr",
    "fwhm_over_psf",
    "ellipticity",
    "chi2",
    "dipole_ratio",
    "masked_fraction",
    "positive_pixel_fraction",
    "aperture_over_psf_flux",
    "log_reference_distance_fwhm",
    "log_flux_over_reference",
    "reference_is_star",
    "log_flux_over_star",
    "is_blended",
    "is_edge",
    "is_saturated",
    "is_trailed",
    "is_dipole",
    "fwhm_difference_pix",
)


def _number(value: float | bool | None) -> float:
    return np.nan if value is None else float(value)


def _log(value: float | None) -> float:
    return np.nan if value is None or not value > 0 else float(np.log10(value))


def _over(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def features_of(
    candidates: Sequence[Candidate], *, fwhm_pix: float, pixel_scale_arcsec: float
) -> NDArray[np.float32]:
    """Return (n, k) float32 features named by FEATURES, NaN where unmeasured; signs removed.

    fwhm_pix: of the difference's PSF. Distances are in units of it.
    """
    rows = []
    for c in candidates:
        distance = _over(c.nearest_reference_distance_arcsec, pixel_scale_arcsec * fwhm_pix)
        rows.append((
            abs(c.significance), abs(c.snr), _number(_over(c.fwhm, fwhm_pix)),
            _number(c.ellipticity), _number(c.chi2), c.dipole_ratio, c.masked_fraction,
            _number(c.positive_pixel_fraction), _number(_over(c.aperture_flux, c.flux)),
            _log(distance), _log(_over(abs(c.flux), c.nearest_reference_flux)),
            _number(c.nearest_reference_is_star), _log(c.reference_star_flux_ratio),
            c.is_blended, c.is_edge, c.is_saturated, c.is_trailed, c.is_dipole, fwhm_pix,
        ))  # fmt: skip
    return np.array(rows, np.float32).reshape(len(rows), len(FEATURES))
