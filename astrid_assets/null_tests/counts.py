"""Peaks where there should be only noise, counted against what Gaussian noise alone has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import gammainc

ON_MASKS = frozenset(
    {"saturated", "no_data", "cosmic_ray", "cosmic_ray_track", "bad_pixel", "masked"}
)
"""Rules that reject for what the mask already says: such peaks are no news of the subtraction."""
SIGN_RULE = "negative"
"""The rule that rejects a peak for its sign alone: it is the last one, so all others passed it."""

CANNOT_SEE = (
    "Neither null test sees what only ever adds light to one image (cosmic rays, satellites, "
    "ghosts), nor what both images of a subtraction share (flat-field errors, a PSF model or flux "
    "scale that is wrong in both), nor real sources that are lost: for those there are the "
    "accepted candidates, the flux scale and the injected completeness."
)


@dataclass(frozen=True)
class PeakCount:
    """Peaks of one sign, or of both, on usable pixels of `area_mpix`.

    n_peaks: beyond the threshold, masked ones left out; n_passed: that no rule but the sign's
    rejects. n_expected: peaks of Gaussian noise alone. n_known: left out as known variables.
    """

    n_peaks: int
    n_passed: int
    n_expected: float
    area_mpix: float
    n_known: int = 0

    @property
    def metrics(self) -> dict[str, Any]:
        """The counts, their excess per Mpix over Gaussian noise, its error there, Poisson's chance.

        noise_error_per_mpix: the error of a count in Gaussian noise, of one peak at least.
        poisson_chance: of at least n_passed in noise. None where nothing was searched.
        """
        area = self.area_mpix
        out: dict[str, Any] = {
            "n_peaks": self.n_peaks,
            "n_passed": self.n_passed,
            "n_known_variables": self.n_known,
            "n_expected": self.n_expected,
            "area_mpix": area,
            "poisson_chance": poisson_chance(self.n_passed, self.n_expected),
        }
        for name, n in (("peaks", self.n_peaks), ("passed", self.n_passed)):
            out[f"{name}_excess_per_mpix"] = (n - self.n_expected) / area if area > 0 else None
        out["noise_error_per_mpix"] = max(self.n_expected, 1.0) ** 0.5 / area if area > 0 else None
        return out


def poisson_chance(n: int, mean: float) -> float:
    """Return the probability of n or more events where `mean` are expected."""
    return 1.0 if n <= 0 else float(gammainc(n, mean))


def count_peaks(
    candidates: Iterable[Mapping[str, Any]],
    *,
    is_negative: bool,
    noise_peaks_per_mpix: float,
    area_mpix: float,
    n_known: int = 0,
) -> PeakCount:
    """Return the peaks of one sign among measured candidates (of both, accepted or not).

    noise_peaks_per_mpix: one-sided, of Gaussian noise. n_known: how many were left out before.
    """
    rules = [row["rejection_rule"] for row in candidates if bool(row["is_negative"]) is is_negative]
    kept = [rule for rule in rules if rule not in ON_MASKS]
    return PeakCount(
        n_peaks=len(kept),
        n_passed=sum(rule is None or rule == SIGN_RULE for rule in kept),
        n_expected=noise_peaks_per_mpix * area_mpix,
        area_mpix=area_mpix,
        n_known=n_known,
    )


def both(a: PeakCount, b: PeakCount) -> PeakCount:
    """Return the two signs of one image counted together."""
    return PeakCount(
        a.n_peaks + b.n_peaks,
        a.n_passed + b.n_passed,
        a.n_expected + b.n_expected,
        a.area_mpix,
        a.n_known + b.n_known,
    )
