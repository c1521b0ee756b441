"""The synthetic fields that candidates for training come from: circumstances, truth, raw exposures.

A night sets the circumstances that its fields share; a field sets the sky. Each is a function of
(seed, index), so that any field can be made again alone. What the pipeline makes of the exposures
stands in `dataset.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from astropy.wcs import Sip
from numpy.typing import NDArray

from astrid_assets.imaging.resample import resample
from astrid_assets.imaging.synthetic import Epoch, Kind, SkyField, make_field, render
from astrid_resources.images import Image, MaskPlane, RawExposure

Floats = NDArray[np.float64]
_WIDER = 1.15
_TRAIL_STEP_FWHM = 0.25
_VARIABLE = 2


@dataclass(frozen=True)
class FieldSettings:
    """What the synthetic fields depend on. Shares are probabilities per field or per source.

    fwhm_pix, reference_fwhm_factor, reference_depth: ranges, log-uniform; the reference is one
        exposure as deep as `reference_depth` science exposures.
    sides_pix: edges of the square fields, drawn among; small ones have few stars for PSF and shift.
    variable_ratio: change of a variable star over its own flux, log-uniform; at most
        variable_star_share_max of the stars vary, or they would set the flux scale.
    snr: sky-limited S/N of the sources put in, log-uniform. sources_per_mpix: how many.
    """

    seed: int = 20260101
    n_nights: int = 40
    fields_per_night: int = 4
    sides_pix: tuple[int, ...] = (384, 768, 768, 768)
    fwhm_pix: tuple[float, float] = (2.0, 6.0)
    reference_fwhm_factor: tuple[float, float] = (0.75, 1.25)
    reference_depth: tuple[float, float] = (1.0, 8.0)
    stars_per_mpix: tuple[float, float] = (300.0, 7000.0)
    galaxies_per_mpix: tuple[float, float] = (80.0, 800.0)
    cosmic_rays_per_mpix: tuple[float, float] = (10.0, 250.0)
    bad_columns_max: int = 3
    resampled_share: float = 0.4
    snr: tuple[float, float] = (4.5, 60.0)
    sources_per_mpix: float = 130.0
    on_galaxy_share: float = 0.4
    near_star_share: float = 0.08
    variable_share: float = 0.12
    variable_ratio: tuple[float, float] = (0.15, 1.5)
    variable_star_share_max: float = 0.04
    trail_share: float = 0.12
    trail_length_fwhm: tuple[float, float] = (1.5, 5.0)
    negative_share: float = 0.12


@dataclass(frozen=True)
class Night:
    """The circumstances that all fields of one night share."""

    index: int
    fwhm_pix: float
    moffat_beta: float
    sky_adu: float
    gain_e_per_adu: float
    read_noise_e: float
    cosmic_rays_per_mpix: float


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


@dataclass(frozen=True)
class RawPair:
    """Two raw exposures of one field with the truth of what differs.

    index: of the field; reference and science stand each on its own grid.
    """

    index: int
    night: Night
    science: RawExposure
    reference: RawExposure
    truth: InjectedTruth


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def make_night(index: int, settings: FieldSettings) -> Night:
    """Return the circumstances of night `index`."""
    rng = np.random.default_rng([settings.seed, 1, index])
    gain = _log_uniform(rng, (0.8, 4.0))
    return Night(
        index=index,
        fwhm_pix=_log_uniform(rng, settings.fwhm_pix),
        moffat_beta=float(rng.uniform(2.6, 4.8)),
        sky_adu=_log_uniform(rng, (60.0, 3000.0)),
        gain_e_per_adu=gain,
        read_noise_e=float(rng.uniform(3, 10)),
        cosmic_rays_per_mpix=_log_uniform(rng, settings.cosmic_rays_per_mpix),
    )


def make_epochs(
    night: Night, settings: FieldSettings, rng: np.random.Generator
) -> tuple[Epoch, Epoch]:
    """Return a field's science and reference epoch under the circumstances of `night`."""
    fwhm = night.fwhm_pix * float(np.exp(rng.normal(0, 0.05)))
    gain = night.gain_e_per_adu
    angle = float(rng.uniform(0, 180))
    side = int(rng.choice(settings.sides_pix))
    science = Epoch(
        shape=(side, side),
        ra_deg=float(rng.uniform(0, 360)),
        dec_deg=float(np.degrees(np.arcsin(rng.uniform(-0.95, 0.95)))),
        rotation_deg=float(rng.normal(0, 0.15)),
        offset_pix=(float(rng.uniform(-5, 5)), float(rng.uniform(-5, 5))),
        distortion_pix=float(rng.choice([0.0, 0.5, 1.5])),
        wcs_error_pix=(float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3))),
        fwhm_pix=fwhm,
        moffat_beta=night.moffat_beta,
        fwhm_variation=float(rng.choice([0.0, 0.02, 0.06])),
        ellipticity=float(abs(rng.normal(0, 0.06))),
        ellipticity_angle_deg=angle,
        gain_e_per_adu=gain,
        read_noise_e=night.read_noise_e,
        sky_adu=night.sky_adu,
        sky_gradient=float(rng.uniform(0, 0.02)),
        saturation_adu=float(rng.uniform(25_000, 60_000)),
        mjd_mid_tai=58334.2 + night.index,
        cosmic_rays_per_mpix=night.cosmic_rays_per_mpix,
        bad_columns=int(rng.integers(settings.bad_columns_max + 1)),
    )
    depth = _log_uniform(rng, settings.reference_depth)
    reference = replace(
        science,
        offset_pix=(float(rng.uniform(-5, 5)), float(rng.uniform(-5, 5))),
        rotation_deg=0.0,
        wcs_error_pix=(0.0, 0.0),
        fwhm_pix=float(np.clip(fwhm * _log_uniform(rng, settings.reference_fwhm_factor), 1.9, 7)),
        moffat_beta=float(np.clip(night.moffat_beta + rng.normal(0, 0.4), 2.5, 5)),
        ellipticity=float(abs(rng.normal(0, 0.03))),
        ellipticity_angle_deg=float(rng.uniform(0, 180)),
        gain_e_per_adu=gain * depth,
        read_noise_e=night.read_noise_e * float(np.sqrt(depth)),
        zero_point_ab_mag=science.zero_point_ab_mag + float(rng.uniform(-0.5, 0.5)),
        mjd_mid_tai=science.mjd_mid_tai - 400,
        cosmic_rays_per_mpix=float(rng.choice([0.0, 20.0])),
        bad_columns=0,
    )
    return science, reference


def _sky(epoch: Epoch, settings: FieldSettings, rng: np.random.Generator) -> SkyField:
    ny, nx = epoch.shape
    area = (_WIDER * max(ny, nx)) ** 2 / 1e6
    faint = epoch.magnitude_of_snr(5.0) + 1.5
    return make_field(
        rng,
        ra_deg=epoch.ra_deg,
        dec_deg=epoch.dec_deg,
        size_deg=_WIDER * max(ny, nx) * epoch.pixel_scale_arcsec / 3600,
        n_stars=round(_log_uniform(rng, settings.stars_per_mpix) * area),
        n_galaxies=round(_log_uniform(rng, settings.galaxies_per_mpix) * area),
        magnitude_bright=faint - float(rng.uniform(8.5, 12.5)),
        magnitude_faint=faint,
        star_slope=float(rng.uniform(0.15, 0.35)),
    )


def _truth(
    sky: SkyField, epoch: Epoch, settings: FieldSettings, rng: np.random.Generator
) -> InjectedTruth:
    """Draw the sources of a field: anywhere, on galaxies, near stars, on stars.

    No two are closer than 8 FWHM, so that fewer than wanted may come back.
    """
    ny, nx = epoch.shape
    n = round(settings.sources_per_mpix * ny * nx / 1e6)
    low, high = np.log(settings.snr)
    unit = float(epoch.flux_adu(np.asarray(epoch.magnitude_of_snr(1.0))))
    flux = unit * np.exp(rng.uniform(low, high, n))
    x, y = rng.uniform(0, nx - 1, n), rng.uniform(0, ny - 1, n)
    steps = np.cumsum([settings.on_galaxy_share, settings.near_star_share, settings.variable_share])
    kind = np.searchsorted(steps, rng.random(n), side="right")
    wcs = epoch.wcs(is_true=True)
    own = epoch.flux_adu(sky.magnitude_ab)
    bright = np.argsort(np.argsort(-own)) < 0.6 * len(sky)
    hosts = (
        np.flatnonzero((sky.kind == Kind.GALAXY) & bright),
        np.flatnonzero((sky.kind == Kind.STAR) & bright),
        np.flatnonzero((sky.kind == Kind.STAR) & (own > 8 * unit) & (own < 400 * unit)),
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
        radius = (
            sky.effective_radius_arcsec[host] / epoch.pixel_scale_arcsec * rng.rayleigh(0.7, m),
            epoch.fwhm_pix * rng.uniform(1.2, 4.0, m),
            np.zeros(m),
        )[which]
        angle = rng.uniform(0, 2 * np.pi, m)
        hx, hy = wcs.all_world2pix(sky.ra[host], sky.dec[host], 0)
        x[rows], y[rows] = hx + radius * np.cos(angle), hy + radius * np.sin(angle)
        if which == _VARIABLE:
            low, high = np.log(settings.variable_ratio)
            flux[rows] = own[host] * np.exp(rng.uniform(low, high, m))
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
        on_host=placed[0],
        on_star=placed[_VARIABLE],
    )
    return truth.select(_apart(x, y, epoch))


def _apart(x: Floats, y: Floats, epoch: Epoch) -> NDArray[np.int64]:
    """Return the rows of positions on the detector, each 8 FWHM from those before it."""
    ny, nx = epoch.shape
    keep: list[int] = []
    for i in range(len(x)):
        inside = 0 <= x[i] <= nx - 1 and 0 <= y[i] <= ny - 1
        if inside and (np.hypot(x[keep] - x[i], y[keep] - y[i]) > 8 * epoch.fwhm_pix).all():
            keep.append(i)
    return np.array(keep, int)


def _sources(truth: InjectedTruth, epoch: Epoch, *, is_negative: bool) -> SkyField:
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


def resampled(raw: RawExposure, *, rng: np.random.Generator) -> RawExposure:
    """Return `raw` read on a grid shifted by part of a pixel, its noise correlated, sky removed.

    As surveys deliver warped frames: cosmic rays smeared in, resampling declared.
    """
    level = float(np.median(raw.data))
    bad = raw.bad if raw.bad is not None else np.zeros(raw.shape, bool)
    image = Image(
        raw.data - np.float32(level),
        np.ones(raw.shape, np.float32),
        np.where(bad, np.uint32(MaskPlane.BAD.flag), np.uint32(0)),
        raw.wcs,
        raw.meta,
    )
    wcs = raw.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + rng.uniform(-1, 1, size=2)
    if wcs.sip is not None:
        wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    moved = resample(image, wcs=wcs, shape=raw.shape)
    lost = (moved.mask & np.uint32(MaskPlane.NO_DATA.flag | MaskPlane.BAD.flag)) != 0
    data = np.where(lost, np.float32(np.nan), moved.data)
    meta = replace(raw.meta, is_resampled=True, sky_level_adu=None)
    return replace(raw, data=data, bad=None, wcs=wcs, meta=meta, is_sky_subtracted=True)


def make_raw_pair(index: int, settings: FieldSettings) -> RawPair:
    """Return field `index` of the set: its raw science and reference exposure with the truth."""
    night = make_night(index // settings.fields_per_night, settings)
    rng = np.random.default_rng([settings.seed, 2, index])
    science_epoch, reference_epoch = make_epochs(night, settings, rng)
    sky = _sky(science_epoch, settings, rng)
    truth = _truth(sky, science_epoch, settings, rng)
    new = _sources(truth, science_epoch, is_negative=False)
    gone = _sources(truth, science_epoch, is_negative=True)
    science = render(sky.plus(new), science_epoch, rng)
    reference = render(sky.plus(gone), reference_epoch, rng)
    raw_science, raw_reference = science.raw, reference.raw
    if rng.random() < settings.resampled_share:
        before = raw_science.wcs
        raw_science = resampled(raw_science, rng=rng)
        raw_reference = resampled(raw_reference, rng=rng)
        shift = raw_science.wcs.wcs.crpix - before.wcs.crpix
        truth = replace(truth, x=truth.x + shift[0], y=truth.y + shift[1])
    return RawPair(index, night, raw_science, raw_reference, truth)
