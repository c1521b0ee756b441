"""From the true sky and an epoch to an exposure with its truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astrid_assets.imaging.resample import world_to_pixel
from astrid_assets.imaging.synthetic.defects import add_trails, bleed, cosmic_rays
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import Kind, SkyField
from astrid_assets.imaging.synthetic.profiles import (
    add_gaussians,
    add_moffats,
    moffat_gaussians,
    sersic_gaussians,
)
from astrid_resources.images import Image, MaskPlane, PSFModel, RawExposure

FloatMap = NDArray[np.float32]
Floats = NDArray[np.float64]
FLOOR_SIGMA = 0.003
_MARGIN_PIX = 60.0
_POISSON_BELOW_E = 100.0


@dataclass(frozen=True)
class SourceTruth:
    """The sources on (or just off) an exposure, as arrays of one length.

    x, y: true pixel positions; flux_adu: counts in this exposure; kind: see `Kind`; index: row in
    the `SkyField`; ra, dec: degrees.
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux_adu: Floats = field(repr=False)
    kind: NDArray[np.uint8] = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)
    ra: Floats = field(repr=False)
    dec: Floats = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def select(self, keep: NDArray[np.bool_]) -> SourceTruth:
        """Return the rows where `keep` is True."""
        return SourceTruth(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class SyntheticExposure:
    """An exposure of the synthetic sky and what is true of it. Maps are [y, x], ADU or ADU^2.

    raw: as a survey would deliver it. psf: the true PSF. clean: the noise-free sources, no sky.
    clean_variance: expected variance of sky, sources and read noise. sky: the sky's level.
    cosmic_rays, bad, saturated (or bled into), trails: bool, where the defects truly are.
    """

    raw: RawExposure
    truth: SourceTruth
    psf: PSFModel
    epoch: Epoch
    clean: FloatMap = field(repr=False)
    clean_variance: FloatMap = field(repr=False)
    sky: FloatMap = field(repr=False)
    cosmic_rays: NDArray[np.bool_] = field(repr=False)
    bad: NDArray[np.bool_] = field(repr=False)
    saturated: NDArray[np.bool_] = field(repr=False)
    trails: NDArray[np.bool_] = field(repr=False)

    def image(self) -> Image:
        """Return what a perfect calibration makes of it: true sky, variance, masks and PSF."""
        mask = np.zeros(self.epoch.shape, np.uint32)
        for plane, where in (
            (MaskPlane.BAD, self.bad),
            (MaskPlane.SATURATED, self.saturated),
            (MaskPlane.COSMIC_RAY, self.cosmic_rays),
            (MaskPlane.STREAK, self.trails),
        ):
            mask |= np.where(where, np.uint32(plane.flag), np.uint32(0))
        data = np.where(self.bad, np.float32(0), self.raw.data - self.sky)
        return Image(
            data, self.clean_variance, mask, self.raw.wcs, self.raw.meta, psf=self.psf,
            header=self.raw.header,
        )  # fmt: skip


def render(
    field: SkyField,
    epoch: Epoch,
    rng: np.random.Generator,
    *,
    floor_sigma: float = FLOOR_SIGMA,
) -> SyntheticExposure:
    """Return one noisy exposure of `field` under `epoch`, with its truth.

    Noise is Poisson in electrons (drawn as Gaussian of the same variance where 100 electrons or
    more are expected) plus Gaussian read noise; counts are not rounded.
    floor_sigma: wings of sources end where they fall below this part of the sky noise per pixel.
    What a whole field lacks by it shows in a median that is measured to 0.01 sigma.
    """
    sigma = epoch.sky_sigma_adu
    truth = _truth(field, epoch)
    clean = np.zeros(epoch.shape, np.float32)
    _add_points(clean, truth, epoch, floor=floor_sigma * sigma)
    _add_galaxies(clean, truth, field, epoch, floor=floor_sigma * sigma)
    sky = sky_level(epoch)
    seen = clean + sky
    trails = add_trails(
        rng, seen, n=epoch.satellite_trails, fwhm_pix=2 * epoch.fwhm_pix, peak=15 * sigma
    ) if epoch.satellite_trails else np.zeros(epoch.shape, bool)  # fmt: skip
    noise_factor = np.ones(epoch.shape, np.float32)
    noise_factor[: epoch.shape[0] // 2, : epoch.shape[1] // 2] = epoch.noisy_quarter_factor
    gain, read_noise = epoch.gain_e_per_adu, epoch.read_noise_e
    variance = seen * np.float32(gain) + np.float32(read_noise**2)
    variance *= noise_factor**2
    data = _noisy(rng, seen, variance, epoch)
    n_rays = rng.poisson(epoch.cosmic_rays_per_mpix * seen.size / 1e6)
    charge, hit = cosmic_rays(rng, epoch.shape, n=int(n_rays))
    data += charge / np.float32(gain)
    seen_full = data.copy()
    bleed(data, epoch.saturation_adu)
    saturated = (data >= np.float32(0.999 * epoch.saturation_adu)) | (data != seen_full)
    bad = np.zeros(epoch.shape, bool)
    columns = rng.choice(epoch.shape[1], size=min(epoch.bad_columns, epoch.shape[1]), replace=False)
    bad[:, columns] = True
    data[:, columns] = rng.choice([0.0, 0.5, 3.0], size=len(columns)) * epoch.sky_adu
    raw = RawExposure(
        data, epoch.wcs(), epoch.meta(), _header(), bad=bad if epoch.bad_columns else None
    )
    return SyntheticExposure(
        raw, truth, epoch.psf_model(), epoch, clean, variance / np.float32(gain**2), sky,
        hit, bad, saturated, trails,
    )  # fmt: skip


def sky_level(epoch: Epoch) -> FloatMap:
    """Return the sky in ADU [y, x]: a plane of the epoch's gradient around its mean level."""
    ny, nx = epoch.shape
    slope = epoch.sky_gradient / 4
    y = np.linspace(-slope, slope, ny, dtype=np.float32)[:, None]
    x = np.linspace(-slope, slope, nx, dtype=np.float32)[None]
    return (np.float32(epoch.sky_adu) * (1 + x + y)).astype(np.float32)


def _truth(field: SkyField, epoch: Epoch) -> SourceTruth:
    """Sources of the field that reach the detector, at this epoch's time."""
    x, y = world_to_pixel(epoch.wcs(is_true=True), field.ra, field.dec)
    flux = epoch.flux_adu(field.magnitudes_at(epoch.mjd_mid_tai))
    ny, nx = epoch.shape
    near = (x > -_MARGIN_PIX) & (x < nx + _MARGIN_PIX) & (y > -_MARGIN_PIX) & (y < ny + _MARGIN_PIX)
    index = np.flatnonzero(near & ((flux > 0) | (field.kind == Kind.TRANSIENT)))
    return SourceTruth(
        x[index], y[index], flux[index], field.kind[index], index, field.ra[index],
        field.dec[index],
    )  # fmt: skip


def _add_points(clean: FloatMap, truth: SourceTruth, epoch: Epoch, *, floor: float) -> None:
    points = truth.select((truth.kind != Kind.GALAXY) & (truth.flux_adu > 0))
    shape = epoch.psf_shape(points.x, points.y).reshape(-1, 4)
    add_moffats(clean, points.x, points.y, points.flux_adu, shape, epoch.moffat_beta, floor)


def _add_galaxies(
    clean: FloatMap, truth: SourceTruth, field: SkyField, epoch: Epoch, *, floor: float
) -> None:
    """Sersic sums of Gaussians, carried to pixels by the local Jacobian, convolved with the PSF."""
    galaxies = truth.select(truth.kind == Kind.GALAXY)
    if not len(galaxies):
        return
    shape = epoch.psf_shape(galaxies.x, galaxies.y).reshape(-1, 4)
    det = shape[:, 1] * shape[:, 3] - shape[:, 2] ** 2
    psf = np.stack([shape[:, 3], -shape[:, 2], shape[:, 1]], 1) / det[:, None]
    psf *= shape[:, :1] ** 2
    moffat_flux, moffat_variance = moffat_gaussians(epoch.moffat_beta)
    shapes = _galaxy_covariances(galaxies, field, epoch)
    xs, ys, fluxes, covariances = [], [], [], []
    for index in np.unique(field.sersic_index[galaxies.index]):
        rows = np.flatnonzero(field.sersic_index[galaxies.index] == index)
        for f, s2 in zip(*sersic_gaussians(float(index)), strict=True):
            for g, m2 in zip(moffat_flux, moffat_variance, strict=True):
                xs.append(galaxies.x[rows])
                ys.append(galaxies.y[rows])
                fluxes.append(galaxies.flux_adu[rows] * f * g)
                covariances.append(shapes[rows] * s2 + psf[rows] * m2)
    add_gaussians(
        clean, np.concatenate(xs), np.concatenate(ys), np.concatenate(fluxes),
        np.concatenate(covariances), floor / 10,
    )  # fmt: skip


def _galaxy_covariances(galaxies: SourceTruth, field: SkyField, epoch: Epoch) -> Floats:
    """Covariance rows (xx, xy, yy) in pixels^2 of galaxies of unit profile variance."""
    wcs, step = epoch.wcs(is_true=True), 1 / 3600
    at = (galaxies.x, galaxies.y)
    north = world_to_pixel(wcs, galaxies.ra, galaxies.dec + step)
    east = world_to_pixel(wcs, galaxies.ra + step / np.cos(np.radians(galaxies.dec)), galaxies.dec)
    n = np.stack([north[0] - at[0], north[1] - at[1]])
    e = np.stack([east[0] - at[0], east[1] - at[1]])
    angle = np.radians(field.position_angle_deg[galaxies.index])
    q = field.axis_ratio[galaxies.index]
    radius = field.effective_radius_arcsec[galaxies.index]
    major = radius / np.sqrt(q) * (np.cos(angle) * n + np.sin(angle) * e)
    minor = radius * np.sqrt(q) * (-np.sin(angle) * n + np.cos(angle) * e)
    return np.stack(
        [
            major[0] ** 2 + minor[0] ** 2,
            major[0] * major[1] + minor[0] * minor[1],
            major[1] ** 2 + minor[1] ** 2,
        ],
        axis=1,
    )


def _noisy(rng: np.random.Generator, seen: FloatMap, variance: FloatMap, epoch: Epoch) -> FloatMap:
    """Counts in ADU: expectation plus Poisson and read noise."""
    gain = np.float32(epoch.gain_e_per_adu)
    data = np.sqrt(variance, dtype=np.float32)
    data *= rng.standard_normal(seen.shape, np.float32)
    data /= gain
    data += seen
    few = seen * gain < _POISSON_BELOW_E
    if few.any():
        expected = np.maximum(seen[few], 0) * float(gain)
        read = epoch.read_noise_e * rng.standard_normal(expected.size)
        excess = np.sqrt(np.maximum(variance[few] - expected - epoch.read_noise_e**2, 0))
        extra = excess * rng.standard_normal(expected.size)
        data[few] = (rng.poisson(expected) + read + extra) / float(gain)
    return data


def _header() -> fits.Header:
    header = fits.Header()
    header["OBJECT"] = ("synthetic field", "simulated, not observed")
    header["SYNTHET"] = (True, "made by the synthetic sky, not observed")
    return header
