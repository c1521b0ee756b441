"""The sources put into a field's exposures: where, how bright, of what kind. Nothing is measured.

How they become pixels is the synthetic sky's business; which candidates they are, `labels.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.synthetic import Epoch, Kind, SkyField

Floats = NDArray[np.float64]
_TRAIL_STEP_FWHM = 0.25
_GALAXY, _NEAR_STAR, _VARIABLE = range(3)


@dataclass(frozen=True)
class SourceSettings:
    """What is put in. Shares are probabilities per source.

    snr: sky-limited S/N in the science exposure, log-uniform. per_mpix: how many, log-uniform per
    field, but no more than covered_share of its area where each takes (3 FWHM)^2.
    separation_fwhm: between any two. on_galaxy_share: in a galaxy's light, nuclear_share
    of them in its very centre; near_star_share: 1.2 to 4 FWHM beside a bright star.
    variable_share: a star that changes by variable_ratio of its own flux, log-uniform; at most
    variable_star_share_max of the stars vary, or they would set the flux scale.
    trail_share, trail_length_fwhm: short trails. negative_share: in the reference only.
    """

    snr: tuple[float, float] = (4.5, 60.0)
    per_mpix: tuple[float, float] = (200.0, 600.0)
    covered_share: float = 0.05
    separation_fwhm: float = 6.0
    on_galaxy_share: float = 0.38
    nuclear_share: float = 0.12
    near_star_share: float = 0.06
    variable_share: float = 0.12
    variable_ratio: tuple[float, float] = (0.15, 1.5)
    variable_star_share_max: float = 0.04
    trail_share: float = 0.12
    trail_length_fwhm: tuple[float, float] = (1.5, 5.0)
    negative_share: float = 0.12


@dataclass(frozen=True)
class InjectedTruth:
    """The sources put into one pair of exposures, before anything was measured; length n.

    x, y: true pixels on the *science* grid (middle of a trail); flux_adu: total, science counts;
    length_pix, angle_rad: of a trail (0 for a point), on the science grid;
    is_negative: it is in the reference only; on_host: it was put on a galaxy; on_star: exactly on
    a star, which so has changed its flux.
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux_adu: Floats = field(repr=False)
    length_pix: Floats = field(repr=False)
    angle_rad: Floats = field(repr=False)
    is_negative: NDArray[np.bool_] = field(repr=False)
    on_host: NDArray[np.bool_] = field(repr=False)
    on_star: NDArray[np.bool_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> InjectedTruth:
        """Return the sources of a boolean mask or of indices."""
        return InjectedTruth(**{name: getattr(self, name)[rows] for name in vars(self)})

    def plus(self, other: InjectedTruth) -> InjectedTruth:
        """Return these sources followed by the other ones."""
        return InjectedTruth(**{
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in vars(self)
        })  # fmt: skip


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], n: int) -> Floats:
    low, high = (float(np.log(limit)) for limit in limits)
    return np.asarray(np.exp(rng.uniform(low, high, n)))


def draw_truth(
    sky: SkyField,
    epoch: Epoch,
    settings: SourceSettings,
    rng: np.random.Generator,
    *,
    gone: InjectedTruth | None = None,
) -> InjectedTruth:
    """Draw the sources of a field: anywhere, on galaxies, near stars, on stars.

    gone: those in the reference only, as drawn before; they come first in the result, which then
    holds no other negative ones. All keep their distance from each other, so that fewer than wanted
    may come back.
    """
    ny, nx = epoch.shape
    room = settings.covered_share * ny * nx / (3 * epoch.fwhm_pix) ** 2
    n = round(min(float(_log_uniform(rng, settings.per_mpix, 1)[0]) * ny * nx / 1e6, room))
    unit = float(epoch.flux_adu(np.asarray(epoch.magnitude_of_snr(1.0))))
    flux = unit * _log_uniform(rng, settings.snr, n)
    x, y = rng.uniform(0, nx - 1, n), rng.uniform(0, ny - 1, n)
    steps = np.cumsum([settings.on_galaxy_share, settings.near_star_share, settings.variable_share])
    kind = np.searchsorted(steps, rng.random(n), side="right")
    wcs = epoch.wcs(is_true=True)
    own = epoch.flux_adu(sky.magnitude_ab)
    bright = np.argsort(np.argsort(-own)) < 0.6 * len(sky)
    stars = sky.kind == Kind.STAR
    hosts = (
        np.flatnonzero((sky.kind == Kind.GALAXY) & bright),
        np.flatnonzero(stars & bright),
        np.flatnonzero(stars & (own > 8 * unit) & (own < 400 * unit)),
    )
    placed = np.zeros((3, n), bool)
    for which in range(3):
        rows = kind == which
        if which == _VARIABLE:
            rows &= np.cumsum(rows) <= settings.variable_star_share_max * len(hosts[which])
        m = int(rows.sum())
        if not m or not len(hosts[which]):
            continue
        host = rng.choice(hosts[which], m)
        off_centre = rng.rayleigh(0.7, m) * (rng.random(m) >= settings.nuclear_share)
        radius = (
            sky.effective_radius_arcsec[host] / epoch.pixel_scale_arcsec * off_centre,
            epoch.fwhm_pix * rng.uniform(1.2, 4.0, m),
            np.zeros(m),
        )[which]
        angle = rng.uniform(0, 2 * np.pi, m)
        hx, hy = wcs.all_world2pix(sky.ra[host], sky.dec[host], 0)
        x[rows], y[rows] = hx + radius * np.cos(angle), hy + radius * np.sin(angle)
        if which == _VARIABLE:
            flux[rows] = own[host] * _log_uniform(rng, settings.variable_ratio, m)
        placed[which] = rows
    is_trail = ~placed[_VARIABLE] & (rng.random(n) < settings.trail_share)
    length = np.where(is_trail, epoch.fwhm_pix * rng.uniform(*settings.trail_length_fwhm, n), 0.0)
    truth = InjectedTruth(
        x=x,
        y=y,
        flux_adu=flux * np.sqrt(1 + length / epoch.fwhm_pix),
        length_pix=length,
        angle_rad=rng.uniform(0, np.pi, n),
        is_negative=rng.random(n) < settings.negative_share,
        on_host=placed[_GALAXY],
        on_star=placed[_VARIABLE],
    )
    if gone is not None:
        truth = gone.plus(truth.select(~truth.is_negative))
    apart = settings.separation_fwhm * epoch.fwhm_pix
    return truth.select(_apart(truth.x, truth.y, epoch, apart))


def _apart(x: Floats, y: Floats, epoch: Epoch, separation_pix: float) -> NDArray[np.int64]:
    """Return the rows of positions on the detector, each so far from those before it."""
    ny, nx = epoch.shape
    keep: list[int] = []
    for i in range(len(x)):
        inside = 0 <= x[i] <= nx - 1 and 0 <= y[i] <= ny - 1
        if inside and (np.hypot(x[keep] - x[i], y[keep] - y[i]) > separation_pix).all():
            keep.append(i)
    return np.array(keep, int)


def truth_sources(truth: InjectedTruth, epoch: Epoch, *, is_negative: bool) -> SkyField:
    """Return the sky sources of one sign: a point, or the points that make up a trail."""
    xs, ys, fluxes = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for i in np.flatnonzero(truth.is_negative == is_negative):
        steps = 1 + int(np.ceil(truth.length_pix[i] / (_TRAIL_STEP_FWHM * epoch.fwhm_pix)))
        along = np.linspace(-0.5, 0.5, steps) * truth.length_pix[i] if steps > 1 else np.zeros(1)
        xs.append(truth.x[i] + along * np.cos(truth.angle_rad[i]))
        ys.append(truth.y[i] + along * np.sin(truth.angle_rad[i]))
        fluxes.append(np.full(steps, truth.flux_adu[i] / steps))
    x, y, flux = np.concatenate(xs), np.concatenate(ys), np.concatenate(fluxes)
    ra, dec = epoch.wcs(is_true=True).all_pix2world(x, y, 0)
    return SkyField.points(ra, dec, epoch.magnitude_ab(flux), kind=Kind.TRANSIENT)
