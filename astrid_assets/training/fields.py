"""The circumstances of the synthetic fields that candidates for training come from.

A night sets what its fields share; a field sets the sky and its epochs. Each is a function of
(seed, index), so that any field can be made again alone. Its exposures are made in `pairs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from astrid_assets.imaging.synthetic import Epoch, SkyField, make_field
from astrid_assets.training.artefacts import ArtefactSettings
from astrid_assets.training.truth import SourceSettings
from astrid_assets.training.warped import WarpSettings

_WIDER = 1.15


@dataclass(frozen=True)
class FieldSettings:
    """What the synthetic fields depend on. Shares are probabilities per field.

    fwhm_pix, reference_fwhm_factor, reference_depth: ranges, log-uniform; the reference is as deep
        as `reference_depth` science exposures.
    sides_pix: edges of the square fields, drawn among; small ones have few stars for PSF and shift.
    stars_per_mpix, galaxies_per_mpix: log-uniform, but no more stars than stars_per_beam_max per
        squared FWHM.
    coadded_share: of fields whose reference is a coadd of `coadded_inputs` exposures, each with
        its own seeing, pointing and cosmic rays; the others have one deep exposure.
    partial_share: of fields that the reference covers in part, so that edges lie inside.
    undeclared_share: of fields whose bad columns no mask declares.
    """

    seed: int = 20261120
    n_nights: int = 160
    fields_per_night: int = 4
    sides_pix: tuple[int, ...] = (288, 640, 768, 768)
    fwhm_pix: tuple[float, float] = (1.9, 6.5)
    reference_fwhm_factor: tuple[float, float] = (0.75, 1.25)
    reference_depth: tuple[float, float] = (1.0, 8.0)
    coadded_share: float = 0.2
    coadded_inputs: tuple[int, int] = (3, 4)
    stars_per_mpix: tuple[float, float] = (300.0, 7000.0)
    stars_per_beam_max: float = 0.06
    galaxies_per_mpix: tuple[float, float] = (80.0, 800.0)
    cosmic_rays_per_mpix: tuple[float, float] = (10.0, 250.0)
    bad_columns_max: int = 3
    partial_share: float = 0.05
    undeclared_share: float = 0.3
    sources: SourceSettings = field(default_factory=SourceSettings)
    artefacts: ArtefactSettings = field(default_factory=ArtefactSettings)
    warps: WarpSettings = field(default_factory=WarpSettings)


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
    away = 0.2 * side if rng.random() < settings.partial_share else 5.0
    reference = replace(
        science,
        offset_pix=(float(rng.uniform(-away, away)), float(rng.uniform(-away, away))),
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


def make_sky(epoch: Epoch, settings: FieldSettings, rng: np.random.Generator) -> SkyField:
    """Return the stars and galaxies of a field, 1.5 mag deeper than the epoch."""
    ny, nx = epoch.shape
    area = (_WIDER * max(ny, nx)) ** 2 / 1e6
    crowded = 1e6 * settings.stars_per_beam_max / epoch.fwhm_pix**2
    faint = epoch.magnitude_of_snr(5.0) + 1.5
    return make_field(
        rng,
        ra_deg=epoch.ra_deg,
        dec_deg=epoch.dec_deg,
        size_deg=_WIDER * max(ny, nx) * epoch.pixel_scale_arcsec / 3600,
        n_stars=round(min(_log_uniform(rng, settings.stars_per_mpix), crowded) * area),
        n_galaxies=round(_log_uniform(rng, settings.galaxies_per_mpix) * area),
        magnitude_bright=faint - float(rng.uniform(8.5, 12.5)),
        magnitude_faint=faint,
        star_slope=float(rng.uniform(0.15, 0.35)),
    )


def one_of(reference: Epoch, n: int, rng: np.random.Generator) -> Epoch:
    """Return one of `n` exposures that together are as deep as `reference`."""
    if n == 1:
        return reference
    x, y = reference.offset_pix
    return replace(
        reference,
        gain_e_per_adu=reference.gain_e_per_adu / n,
        read_noise_e=reference.read_noise_e / float(np.sqrt(n)),
        offset_pix=(x + float(rng.uniform(-4, 4)), y + float(rng.uniform(-4, 4))),
        fwhm_pix=float(np.clip(reference.fwhm_pix * np.exp(rng.normal(0, 0.08)), 1.9, 7)),
        mjd_mid_tai=reference.mjd_mid_tai + float(rng.uniform(-20, 20)),
        cosmic_rays_per_mpix=float(rng.choice([20.0, 80.0])),
    )
