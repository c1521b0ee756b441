"""What is measured: each case a kind of field, with the size and number of its fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from astrid_assets.imaging.synthetic.epoch import Epoch


@dataclass(frozen=True)
class Case:
    """One kind of synthetic field.

    science: its epoch but for dither and size. reference: what its epoch has other than the
    default reference of `reference_depth`. side_pix, n_fields: of the full benchmark; quick_*: of
    the quick form. excess_max, excess_aim: false positives per Mpix beyond the Gaussian
    expectation (95 % upper limit). faint_per_mpix, bright_per_mpix: injected sources of S/N
    FAINT_SNR and BRIGHT_SNR.
    """

    name: str
    meaning: str
    excess_max: float
    excess_aim: float | None = None
    science: Epoch = field(default_factory=Epoch)
    reference: dict[str, Any] = field(default_factory=dict)
    reference_depth: float = 4.0
    stars_per_mpix: float = 900.0
    side_pix: int = 3072
    n_fields: int = 10
    quick_side_pix: int = 1024
    quick_n_fields: int = 2
    faint_per_mpix: float = 55.0
    bright_per_mpix: float = 15.0
    is_stress: bool = True

    def quick(self) -> Case:
        """Return the case with its small fields."""
        return replace(self, side_pix=self.quick_side_pix, n_fields=self.quick_n_fields)


FAINT_SNR = (3.5, 6.5)
BRIGHT_SNR = (10.0, 50.0)
POSITION_SNR = (10.0, 30.0)
HOST_FRACTION = 0.15

_SEEING = Epoch().fwhm_pix
_STRESS_EXCESS = 0.6

CASES: tuple[Case, ...] = (
    Case(
        "constant",
        "constant PSF",
        0.2,
        0.05,
        n_fields=24,
        quick_n_fields=6,
        is_stress=False,
    ),
    Case(
        "psf5",
        "PSF ± 5 % over the field, the reference's the other way",
        0.3,
        0.1,
        science=Epoch(fwhm_variation=0.05),
        reference={"fwhm_variation": -0.05},
        n_fields=12,
        quick_n_fields=4,
        is_stress=False,
    ),
    Case(
        "psf15",
        "PSF ± 15 % over the field, ellipticity 0.05 and up to 0.1 more at the edges",
        1.0,
        0.3,
        science=Epoch(
            fwhm_variation=0.15,
            ellipticity=0.05,
            ellipticity_angle_deg=30.0,
            ellipticity_variation=0.1,
        ),
        reference={"fwhm_variation": -0.05, "ellipticity": 0.03, "ellipticity_angle_deg": 100.0},
        n_fields=12,
        quick_n_fields=4,
        is_stress=False,
    ),
    Case(
        "few_stars",
        "1024² fields with 15 PSF stars",
        1.5,
        0.5,
        stars_per_mpix=115.0,
        bright_per_mpix=0.0,
        side_pix=1024,
        n_fields=60,
        quick_n_fields=8,
        is_stress=False,
    ),
    Case("rotated", "rotation of 0.3°", _STRESS_EXCESS, science=Epoch(rotation_deg=0.3)),
    Case("shifted", "WCS wrong by 5 px", _STRESS_EXCESS, science=Epoch(wcs_error_pix=(3.6, -3.5))),
    Case("half_flux", "flux ratio 0.5", _STRESS_EXCESS, reference={"zero_point_ab_mag": 29.2474}),
    Case("twice_flux", "flux ratio 2", _STRESS_EXCESS, reference={"zero_point_ab_mag": 30.7526}),
    Case(
        "worse_science",
        "seeing of the science image 2× the reference's",
        _STRESS_EXCESS,
        science=Epoch(fwhm_pix=1.6 * _SEEING),
        reference={"fwhm_pix": 0.8 * _SEEING},
    ),
    Case(
        "worse_reference",
        "seeing of the reference 2× the science image's",
        _STRESS_EXCESS,
        science=Epoch(fwhm_pix=0.8 * _SEEING),
        reference={"fwhm_pix": 1.6 * _SEEING},
    ),
    Case("shallow", "reference 3× shallower", _STRESS_EXCESS, reference_depth=1 / 3),
    Case("deep", "reference 20× deeper", _STRESS_EXCESS, reference_depth=20.0),
    Case(
        "bad_amplifier",
        "twice the noise in one quarter",
        _STRESS_EXCESS,
        science=Epoch(noisy_quarter_factor=2.0),
    ),
    Case("trail", "a satellite trail", _STRESS_EXCESS, science=Epoch(satellite_trails=1)),
    Case("crowded", "30,000 stars", _STRESS_EXCESS, stars_per_mpix=30_000 / 3.072**2),
)
