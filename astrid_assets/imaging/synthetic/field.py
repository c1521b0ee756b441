"""The true sky: stars, galaxies and transients with their magnitudes at any time."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Kind(IntEnum):
    """What a source of the synthetic sky is."""

    STAR = 0
    GALAXY = 1
    TRANSIENT = 2


@dataclass(frozen=True)
class SkyField:
    """A piece of true sky; one row per source, all arrays of one length.

    ra, dec: ICRS degrees. magnitude_ab: mean magnitude (transients: at their start).
    sersic_index, effective_radius_arcsec, axis_ratio, position_angle_deg (east of north):
        shapes of galaxies, 0 radius for points.
    amplitude_mag, period_days, phase: sinusoidal variation, 0 amplitude where constant.
    mjd_start_tai, decline_mag_per_day: transients are absent before their start and fade after.
    """

    ra: Floats = field(repr=False)
    dec: Floats = field(repr=False)
    magnitude_ab: Floats = field(repr=False)
    kind: NDArray[np.uint8] = field(repr=False)
    sersic_index: Floats = field(repr=False)
    effective_radius_arcsec: Floats = field(repr=False)
    axis_ratio: Floats = field(repr=False)
    position_angle_deg: Floats = field(repr=False)
    amplitude_mag: Floats = field(repr=False)
    period_days: Floats = field(repr=False)
    phase: Floats = field(repr=False)
    mjd_start_tai: Floats = field(repr=False)
    decline_mag_per_day: Floats = field(repr=False)

    def __len__(self) -> int:
        return len(self.ra)

    @classmethod
    def points(
        cls,
        ra: Floats,
        dec: Floats,
        magnitude_ab: Floats,
        *,
        kind: Kind = Kind.STAR,
        mjd_start_tai: float = -np.inf,
        decline_mag_per_day: float = 0.0,
    ) -> SkyField:
        """Return point sources of one kind at the given positions."""
        ra, dec, magnitude = (np.atleast_1d(np.asarray(a, float)) for a in (ra, dec, magnitude_ab))
        zero, one = np.zeros(len(ra)), np.ones(len(ra))
        return cls(
            ra, dec, magnitude, np.full(len(ra), kind, np.uint8), zero, zero, one, zero, zero,
            one, zero, np.full(len(ra), mjd_start_tai), np.full(len(ra), decline_mag_per_day),
        )  # fmt: skip

    def plus(self, other: SkyField) -> SkyField:
        """Return both fields' sources, this one's first."""
        return SkyField(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )

    def magnitudes_at(self, mjd_tai: float) -> Floats:
        """Return AB magnitudes at `mjd_tai`; +inf where a transient has not started."""
        turn = 2 * np.pi * (mjd_tai / self.period_days + self.phase)
        out = self.magnitude_ab + self.amplitude_mag * np.sin(turn)
        age = mjd_tai - self.mjd_start_tai
        fading = np.where(self.decline_mag_per_day != 0, np.where(np.isfinite(age), age, 0), 0)
        return np.where(age >= 0, out + self.decline_mag_per_day * fading, np.inf)


def power_law_magnitudes(
    rng: np.random.Generator, n: int, *, bright: float, faint: float, slope: float
) -> Floats:
    """Return `n` magnitudes with counts dN/dm ~ 10^(slope m) between `bright` and `faint`."""
    u = rng.random(n)
    low, high = 10.0 ** (slope * bright), 10.0 ** (slope * faint)
    return np.log10(low + u * (high - low)) / slope


def uniform_positions(
    rng: np.random.Generator, n: int, *, ra_deg: float, dec_deg: float, size_deg: float
) -> tuple[Floats, Floats]:
    """Return `n` positions (ra, dec) uniform in a square of edge `size_deg`, degrees.

    The square lies in the tangent plane, so that poles and RA 0 are as good as any place.
    """
    half = np.tan(np.radians(size_deg / 2))
    xi, eta = rng.uniform(-half, half, n), rng.uniform(-half, half, n)
    return from_tangent_plane(xi, eta, ra_deg=ra_deg, dec_deg=dec_deg)


def from_tangent_plane(
    xi: Floats, eta: Floats, *, ra_deg: float, dec_deg: float
) -> tuple[Floats, Floats]:
    """Return (ra, dec) in degrees of standard coordinates (east, north), radians."""
    ra0, dec0 = np.radians(ra_deg), np.radians(dec_deg)
    denominator = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, denominator)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, denominator))
    return np.degrees(ra) % 360, np.degrees(dec)


def make_field(
    rng: np.random.Generator,
    *,
    ra_deg: float = 150.0,
    dec_deg: float = 2.2,
    size_deg: float = 0.1,
    n_stars: int = 200,
    n_galaxies: int = 40,
    n_transients: int = 0,
    magnitude_bright: float = 15.0,
    magnitude_faint: float = 24.0,
    star_slope: float = 0.25,
    galaxy_slope: float = 0.4,
    variable_fraction: float = 0.0,
    transient_magnitudes: tuple[float, float] = (20.0, 23.0),
    transient_host_fraction: float = 0.5,
    transient_mjd_tai: float = -np.inf,
    transient_decline_mag_per_day: float = 0.0,
) -> SkyField:
    """Return a random sky in a square of `size_deg` around (`ra_deg`, `dec_deg`).

    Star and galaxy counts rise as 10^(slope m); galaxies are discs (n = 1) and bulges (n = 4),
    smaller where fainter; `transient_host_fraction` of the transients stand in galaxies.
    """
    place = {"ra_deg": ra_deg, "dec_deg": dec_deg, "size_deg": size_deg}
    magnitude = power_law_magnitudes(
        rng, n_stars, bright=magnitude_bright, faint=magnitude_faint, slope=star_slope
    )
    varies = rng.random(n_stars) < variable_fraction
    stars = replace(
        SkyField.points(*uniform_positions(rng, n_stars, **place), magnitude),
        amplitude_mag=np.where(varies, rng.uniform(0.1, 1, n_stars), 0),
        period_days=10 ** rng.uniform(-0.5, 2, n_stars),
        phase=rng.random(n_stars),
    )
    galaxies = _galaxies(
        rng, n_galaxies, magnitude_bright + 2, magnitude_faint, galaxy_slope, place
    )
    ra, dec = uniform_positions(rng, n_transients, **place)
    hosted = rng.random(n_transients) < transient_host_fraction
    if n_galaxies and hosted.any():
        host = rng.integers(n_galaxies, size=n_transients)
        radius = galaxies.effective_radius_arcsec[host] * rng.rayleigh(0.8, n_transients) / 3600
        angle = rng.uniform(0, 2 * np.pi, n_transients)
        east = radius * np.sin(angle) / np.cos(np.radians(galaxies.dec[host]))
        ra = np.where(hosted, (galaxies.ra[host] + east) % 360, ra)
        dec = np.where(hosted, galaxies.dec[host] + radius * np.cos(angle), dec)
    transients = SkyField.points(
        ra, dec, rng.uniform(*transient_magnitudes, n_transients), kind=Kind.TRANSIENT,
        mjd_start_tai=transient_mjd_tai, decline_mag_per_day=transient_decline_mag_per_day,
    )  # fmt: skip
    return stars.plus(galaxies).plus(transients)


def _galaxies(
    rng: np.random.Generator,
    n: int,
    bright: float,
    faint: float,
    slope: float,
    place: dict[str, float],
) -> SkyField:
    """Discs and bulges with log-normal sizes that shrink with magnitude."""
    magnitude = power_law_magnitudes(rng, n, bright=bright, faint=faint, slope=slope)
    points = SkyField.points(*uniform_positions(rng, n, **place), magnitude, kind=Kind.GALAXY)
    radius = 0.6 * 10 ** (-0.1 * (magnitude - 22) + 0.15 * rng.standard_normal(n))
    return replace(
        points,
        sersic_index=np.where(rng.random(n) < 0.3, 4.0, 1.0),
        effective_radius_arcsec=np.clip(radius, 0.15, 6.0),
        axis_ratio=rng.uniform(0.3, 1.0, n),
        position_angle_deg=rng.uniform(0, 180, n),
    )
