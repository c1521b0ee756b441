"""Why a candidate is rejected: one ordered table of rules, each with its limit declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Measured = Mapping[str, Any]


@dataclass(frozen=True)
class CandidateSettings:
    """Threshold of the finder and limits of the rules.

    threshold_sigma: of score_corrected, both signs.
    max_*_share: largest share of the flux weight that may lie on pixels of that plane.
    max_ellipticity_beside_cosmic_ray: with a cosmic-ray pixel within 1.5 FWHM.
    max_dipole_ratio: strongest opposite score nearby over the candidate's own (counts only where
        the opposite peak itself exceeds `dipole_sigma`).
    min_positive_pixel_fraction: weighted share of pixels of the candidate's sign.
    min_fwhm_ratio, max_fwhm_ratio: FWHM over that of the difference's PSF.
    max_chi2: for a faint candidate; the limit grows by (chi2_growth * significance)^2.
    min_star_flux_ratio: least flux over that of a reference star close by.
    """

    threshold_sigma: float = 5.0
    max_saturated_share: float = 0.005
    max_no_data_share: float = 0.2
    max_cosmic_ray_share: float = 0.1
    max_ellipticity_beside_cosmic_ray: float = 0.35
    max_bad_share: float = 0.1
    max_masked_fraction: float = 0.2
    max_dipole_ratio: float = 0.5
    dipole_sigma: float = 4.0
    min_positive_pixel_fraction: float = 0.6
    min_fwhm_ratio: float = 0.5
    max_fwhm_ratio: float = 2.0
    max_chi2: float = 2.0
    chi2_growth: float = 0.05
    min_star_flux_ratio: float = 0.04


@dataclass(frozen=True)
class Rule:
    """One reason to reject: `value` is recorded when `fails(value, settings, measured)`."""

    name: str
    meaning: str
    value: Callable[[Measured], float | None] = field(repr=False)
    fails: Callable[[float, CandidateSettings, Measured], bool] = field(repr=False)


def _of(name: str) -> Callable[[Measured], float | None]:
    def value(measured: Measured) -> float | None:
        return None if measured[name] is None else float(measured[name])

    return value


def _above(limit: str) -> Callable[[float, CandidateSettings, Measured], bool]:
    return lambda value, settings, _: value > getattr(settings, limit)


def _below(limit: str) -> Callable[[float, CandidateSettings, Measured], bool]:
    return lambda value, settings, _: value < getattr(settings, limit)


RULES: tuple[Rule, ...] = (
    Rule(
        "saturated",
        "saturated pixels in the footprint",
        _of("saturated_share"),
        _above("max_saturated_share"),
    ),
    Rule(
        "no_data",
        "the footprint leaves the measured area of either image",
        _of("no_data_share"),
        _above("max_no_data_share"),
    ),
    Rule(
        "cosmic_ray",
        "cosmic-ray pixels in the footprint",
        _of("cosmic_ray_share"),
        _above("max_cosmic_ray_share"),
    ),
    Rule(
        "cosmic_ray_track",
        "elongated beside cosmic-ray pixels: the rest of a track",
        lambda m: m["ellipticity"] if m["is_beside_cosmic_ray"] else None,
        _above("max_ellipticity_beside_cosmic_ray"),
    ),
    Rule(
        "bad_pixel",
        "bad, trailed or spiked pixels in the footprint",
        _of("bad_share"),
        _above("max_bad_share"),
    ),
    Rule(
        "masked",
        "too much of the footprint unusable for any reason",
        _of("masked_fraction"),
        _above("max_masked_fraction"),
    ),
    Rule(
        "dipole",
        "an opposite peak beside it: a badly aligned source",
        lambda m: m["dipole_ratio"] if m["is_dipole"] else None,
        _above("max_dipole_ratio"),
    ),
    Rule(
        "star_residual",
        "too faint against a reference star close by: a residual of the PSF",
        _of("reference_star_flux_ratio"),
        _below("min_star_flux_ratio"),
    ),
    Rule(
        "positive_pixel_fraction",
        "pixels of both signs mixed",
        _of("positive_pixel_fraction"),
        _below("min_positive_pixel_fraction"),
    ),
    Rule(
        "sharp",
        "narrower than any point source: a cosmic ray or a hot pixel",
        _of("fwhm_ratio"),
        _below("min_fwhm_ratio"),
    ),
    Rule(
        "broad",
        "wider than a point source",
        _of("fwhm_ratio"),
        _above("max_fwhm_ratio"),
    ),
    Rule(
        "chi2",
        "not the shape of a point source",
        _of("chi2"),
        lambda value, s, m: value > s.max_chi2 + (s.chi2_growth * m["significance"]) ** 2,
    ),
    Rule(
        "negative",
        "fainter than in the reference: measured and kept, never a new source",
        lambda m: m["significance"] if m["is_negative"] else None,
        lambda value, _, __: value < 0,
    ),
)
"""In the order in which they are asked; the first that fails is recorded."""


def first_failure(
    measured: Measured, settings: CandidateSettings
) -> tuple[str | None, float | None]:
    """Return name and value of the first rule that `measured` fails, or (None, None)."""
    for rule in RULES:
        value = rule.value(measured)
        if value is not None and rule.fails(value, settings, measured):
            return rule.name, float(value)
    return None, None


def rule_meanings() -> dict[str, str]:
    """Return the meaning of every rule by name, in the order in which they are asked."""
    return {rule.name: rule.meaning for rule in RULES}
