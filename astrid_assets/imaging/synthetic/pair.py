"""A science and a reference exposure of one field with transients between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import Kind, SkyField, make_field, uniform_positions
from astrid_assets.imaging.synthetic.render import (
    FLOOR_SIGMA,
    SourceTruth,
    SyntheticExposure,
    render,
)


@dataclass(frozen=True)
class SyntheticPair:
    """Two exposures of one field; `truth` holds the transients as the science exposure sees them.

    The transients are in the science exposure only: their flux in the reference is 0.
    """

    science: SyntheticExposure
    reference: SyntheticExposure
    field: SkyField
    truth: SourceTruth


def make_pair(
    seed: int,
    shape: tuple[int, int] = (1024, 1024),
    *,
    n_transients: int = 0,
    transient_snr: tuple[float, float] = (4.0, 20.0),
    stars_per_mpix: float = 900.0,
    galaxies_per_mpix: float = 150.0,
    reference_depth: float = 4.0,
    reference_gap_days: float = 365.0,
    science: Epoch | None = None,
    reference: Epoch | None = None,
    variable_fraction: float = 0.0,
    transient_host_fraction: float = 0.0,
    transient_flux_adu: NDArray[np.float64] | None = None,
    floor_sigma: float = FLOOR_SIGMA,
) -> SyntheticPair:
    """Return a seeded pair; equal arguments give equal pixels.

    science: its epoch, by default `Epoch(shape)`. reference: by default the same pointing without
        defects of detector, seeing 0.9 times, `reference_gap_days` earlier, a coadd of
        `reference_depth` exposures (gain times depth, read noise times its root).
    transient_snr: transients are placed uniform in sky-limited S/N of the science exposure alone
        within this range, away from the edge. Stars reach 1.5 mag below its 5 sigma depth.
    transient_flux_adu: their science counts instead, one each; `n_transients` is then not asked.
    floor_sigma: where the wings of sources end (see `render`).
    Pure noise: stars_per_mpix=0, galaxies_per_mpix=0.
    """
    rng = np.random.default_rng(seed)
    epoch = replace(science or Epoch(), shape=shape)
    if reference is None:
        reference = coadd_epoch(epoch, depth=reference_depth, gap_days=reference_gap_days)
    mpix = shape[0] * shape[1] / 1e6
    wider = 1.15
    size = wider * max(shape) * epoch.pixel_scale_arcsec / 3600
    area = (wider * max(shape)) ** 2 / (shape[0] * shape[1])
    faint = epoch.magnitude_of_snr(5.0) + 1.5
    field = make_field(
        rng, ra_deg=epoch.ra_deg, dec_deg=epoch.dec_deg, size_deg=size,
        n_stars=round(stars_per_mpix * mpix * area),
        n_galaxies=round(galaxies_per_mpix * mpix * area),
        magnitude_bright=faint - 11.0, magnitude_faint=faint, variable_fraction=variable_fraction,
    )  # fmt: skip
    n = n_transients if transient_flux_adu is None else len(transient_flux_adu)
    place = _transient_places(rng, epoch, field, n, transient_host_fraction)
    if transient_flux_adu is None:
        unit = epoch.flux_adu(np.asarray(epoch.magnitude_of_snr(1.0)))
        transient_flux_adu = unit * rng.uniform(*transient_snr, n)
    magnitude = epoch.magnitude_ab(transient_flux_adu)
    began = {"kind": Kind.TRANSIENT, "mjd_start_tai": epoch.mjd_mid_tai - 1}
    field = field.plus(SkyField.points(*place, magnitude, **began))  # type: ignore[arg-type]
    made = render(field, epoch, rng, floor_sigma=floor_sigma)
    earlier = render(field, reference, rng, floor_sigma=floor_sigma)
    is_new = made.truth.kind == Kind.TRANSIENT
    return SyntheticPair(made, earlier, field, made.truth.select(is_new))


def coadd_epoch(science: Epoch, *, depth: float, gap_days: float = 365.0) -> Epoch:
    """Return the reference epoch that goes with `science`: a coadd of `depth` exposures.

    The same pointing without dither, rotation or defects, seeing 0.9 times, `gap_days` earlier.
    """
    return replace(
        science, offset_pix=(0.0, 0.0), rotation_deg=0.0, wcs_error_pix=(0.0, 0.0),
        fwhm_pix=0.9 * science.fwhm_pix, mjd_mid_tai=science.mjd_mid_tai - gap_days,
        gain_e_per_adu=science.gain_e_per_adu * depth,
        read_noise_e=science.read_noise_e * np.sqrt(depth),
        cosmic_rays_per_mpix=0.0, bad_columns=0, satellite_trails=0, noisy_quarter_factor=1.0,
    )  # fmt: skip


def _transient_places(
    rng: np.random.Generator, epoch: Epoch, field: SkyField, n: int, host_fraction: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (ra, dec) of `n` transients, some near galaxies, away from the detector's edge."""
    ny, nx = epoch.shape
    edge = min(40.0, min(nx, ny) / 8)
    x, y = rng.uniform(edge, nx - 1 - edge, n), rng.uniform(edge, ny - 1 - edge, n)
    ra, dec = (np.asarray(a) for a in epoch.wcs(is_true=True).all_pix2world(x, y, 0))
    hosts = np.flatnonzero(field.kind == Kind.GALAXY)
    hosted = rng.random(n) < host_fraction
    if len(hosts) and hosted.any():
        host = rng.choice(hosts, n)
        near, _ = uniform_positions(rng, n, ra_deg=0.0, dec_deg=0.0, size_deg=1.0)
        radius = field.effective_radius_arcsec[host] * rng.rayleigh(0.8, n) / 3600
        angle = np.radians(near * 360)
        east = radius * np.sin(angle) / np.cos(np.radians(field.dec[host]))
        ra = np.where(hosted, field.ra[host] + east, ra)
        dec = np.where(hosted, field.dec[host] + radius * np.cos(angle), dec)
    return ra, dec
