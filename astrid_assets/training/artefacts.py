"""What a camera adds to the sky that is no source: declared rates, and where each of it lies.

Cosmic rays, bad columns and bleeding are the synthetic exposure's own; here are optics and sky
traffic: spikes, ghosts, satellite trails and flashes, hot pixels, columns with a wrong offset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.synthetic import Epoch, Kind, SyntheticExposure
from astrid_resources.images import RawExposure

FloatMap = NDArray[np.float32]
Codes = NDArray[np.uint8]
_TOUCHED_SIGMA = 0.2
_SIGMA_PER_FWHM = 1 / 2.3548


class Artefact(IntEnum):
    """What lies at a pixel; the larger code wins where several do."""

    NONE = 0
    GHOST = 1
    SATURATED = 2
    SPIKE = 3
    SATELLITE = 4
    BAD_COLUMN = 5
    HOT_PIXEL = 6
    COSMIC_RAY = 7


@dataclass(frozen=True)
class ArtefactSettings:
    """Rates per exposure and Mpix (Poisson) and strengths, in units of the sky noise per pixel.

    spike_snr_min: stars of this sky-limited S/N have spikes; spike_share: of a star's flux in its
    four arms; spike_share_of_fields: telescopes that have a spider; in turned_share of those the
    field turns between epochs. ghosts: wide rings; compact_ghosts: round spots of 2.2 to 5 FWHM.
    satellites: across the whole frame, flashes: 8 to 40 FWHM long. columns: wrong by an offset
    over part of their length and not declared bad. hot_pixels: one pixel.
    """

    spike_snr_min: float = 800.0
    spike_share: tuple[float, float] = (0.004, 0.02)
    spike_share_of_fields: float = 0.25
    turned_share: float = 0.6
    ghosts: float = 0.5
    ghost_sigma: tuple[float, float] = (0.1, 0.6)
    compact_ghosts: float = 4.0
    compact_ghost_snr: tuple[float, float] = (5.0, 40.0)
    satellites: float = 0.15
    flashes: float = 0.8
    satellite_sigma: tuple[float, float] = (0.7, 12.0)
    columns: float = 0.5
    column_sigma: tuple[float, float] = (0.7, 4.0)
    hot_pixels: float = 15.0
    hot_pixel_sigma: tuple[float, float] = (8.0, 80.0)


class _Canvas:
    """Expected counts of all artefacts of one exposure, and the code of what is visible."""

    def __init__(self, exposure: SyntheticExposure) -> None:
        self.shape = exposure.raw.shape
        self.sigma = exposure.epoch.sky_sigma_adu
        self.added = np.zeros(self.shape, np.float32)
        self.codes = np.zeros(self.shape, np.uint8)

    def paint(self, window: tuple[slice, slice], counts: FloatMap, code: Artefact) -> None:
        self.added[window] += counts.astype(np.float32)
        seen = np.abs(counts) > _TOUCHED_SIGMA * self.sigma
        part = self.codes[window]
        np.maximum(part, np.where(seen, np.uint8(code), np.uint8(0)), out=part)

    def window(self, x: float, y: float, radius: float) -> tuple[slice, slice]:
        ny, nx = self.shape
        rows = slice(max(0, int(y - radius)), min(ny, max(0, int(y + radius) + 2)))
        return rows, slice(max(0, int(x - radius)), min(nx, max(0, int(x + radius) + 2)))

    def offsets(self, window: tuple[slice, slice], x: float, y: float) -> tuple[FloatMap, FloatMap]:
        dy = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(y)
        dx = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None] - np.float32(x)
        return dx, dy


def spoil(
    exposure: SyntheticExposure,
    *,
    spider_angle_rad: float | None,
    rng: np.random.Generator,
    settings: ArtefactSettings,
) -> tuple[RawExposure, Codes]:
    """Return the raw exposure with artefacts added, and the `Artefact` code of each pixel.

    spider_angle_rad: direction of the first arm of the spikes, None where there is no spider.
    """
    epoch = exposure.epoch
    canvas = _Canvas(exposure)
    mpix = exposure.raw.data.size / 1e6
    if spider_angle_rad is not None:
        _spikes(canvas, exposure, spider_angle_rad, rng, settings)
    for _ in range(rng.poisson(settings.ghosts * mpix)):
        _ring(canvas, epoch, rng, settings)
    for _ in range(rng.poisson(settings.compact_ghosts * mpix)):
        _spot(canvas, epoch, rng, settings)
    for _ in range(rng.poisson(settings.satellites * mpix)):
        _streak(canvas, epoch, rng, settings, is_short=False)
    for _ in range(rng.poisson(settings.flashes * mpix)):
        _streak(canvas, epoch, rng, settings, is_short=True)
    for _ in range(rng.poisson(settings.columns * mpix)):
        _column(canvas, rng, settings)
    ny, nx = canvas.shape
    for _ in range(rng.poisson(settings.hot_pixels * mpix)):
        y, x = int(rng.integers(ny)), int(rng.integers(nx))
        value = np.float32(rng.uniform(*settings.hot_pixel_sigma) * canvas.sigma)
        canvas.paint((slice(y, y + 1), slice(x, x + 1)), np.full((1, 1), value), Artefact.HOT_PIXEL)
    for where, code in (
        (exposure.saturated, Artefact.SATURATED),
        (exposure.bad, Artefact.BAD_COLUMN),
        (exposure.cosmic_rays, Artefact.COSMIC_RAY),
    ):
        np.maximum(canvas.codes, np.where(where, np.uint8(code), np.uint8(0)), out=canvas.codes)
    noise = np.sqrt(np.maximum(canvas.added, 0) / np.float32(epoch.gain_e_per_adu))
    data = exposure.raw.data + canvas.added
    data += noise * rng.standard_normal(canvas.shape, np.float32)
    data = np.minimum(data, np.float32(epoch.saturation_adu))
    return replace(exposure.raw, data=data), canvas.codes


def _spikes(
    canvas: _Canvas,
    exposure: SyntheticExposure,
    angle: float,
    rng: np.random.Generator,
    settings: ArtefactSettings,
) -> None:
    """Four arms of exponential brightness whose length grows with the root of the star's flux."""
    epoch, truth = exposure.epoch, exposure.truth
    unit = float(epoch.flux_adu(np.asarray(epoch.magnitude_of_snr(1.0))))
    share = float(np.exp(rng.uniform(*np.log(settings.spike_share))))
    bright = (truth.kind == Kind.STAR) & (truth.flux_adu > settings.spike_snr_min * unit)
    sigma = 0.8 * epoch.fwhm_pix * _SIGMA_PER_FWHM
    for i in np.flatnonzero(bright):
        growth = np.sqrt(truth.flux_adu[i] / (settings.spike_snr_min * unit))
        length = epoch.fwhm_pix * min(3.0 * growth, 25.0)
        window = canvas.window(truth.x[i], truth.y[i], 4 * length)
        dx, dy = canvas.offsets(window, truth.x[i], truth.y[i])
        density = share * truth.flux_adu[i] / (4 * length * sigma * np.sqrt(2 * np.pi))
        counts = np.zeros((dy.shape[0], dx.shape[1]), np.float32)
        for arm in (angle, angle + np.pi / 2):
            along = np.abs(dx * np.cos(arm) + dy * np.sin(arm))
            across = -dx * np.sin(arm) + dy * np.cos(arm)
            counts += density * np.exp(-along / length - 0.5 * (across / sigma) ** 2)
        canvas.paint(window, counts, Artefact.SPIKE)


def _ring(
    canvas: _Canvas, epoch: Epoch, rng: np.random.Generator, settings: ArtefactSettings
) -> None:
    """An image of the pupil: a ring of even brightness with soft edges."""
    ny, nx = canvas.shape
    x, y = rng.uniform(0, nx), rng.uniform(0, ny)
    outer = epoch.fwhm_pix * rng.uniform(5, 18)
    inner, soft = outer * rng.uniform(0.25, 0.6), epoch.fwhm_pix * 0.5
    window = canvas.window(x, y, outer + 5 * soft)
    radius = np.hypot(*canvas.offsets(window, x, y))
    shape = np.tanh((radius - inner) / soft) - np.tanh((radius - outer) / soft)
    level = rng.uniform(*settings.ghost_sigma) * canvas.sigma
    canvas.paint(window, np.float32(level / 2) * shape, Artefact.GHOST)


def _spot(
    canvas: _Canvas, epoch: Epoch, rng: np.random.Generator, settings: ArtefactSettings
) -> None:
    """A defocused reflection: round, wider than the PSF by a factor 2.2 to 5."""
    ny, nx = canvas.shape
    x, y = rng.uniform(0, nx), rng.uniform(0, ny)
    sigma = epoch.fwhm_pix * rng.uniform(2.2, 5.0) * _SIGMA_PER_FWHM
    snr = float(np.exp(rng.uniform(*np.log(settings.compact_ghost_snr))))
    peak = snr * canvas.sigma / (sigma * np.sqrt(np.pi))
    window = canvas.window(x, y, 4 * sigma)
    dx, dy = canvas.offsets(window, x, y)
    canvas.paint(window, peak * np.exp(-0.5 * (dx**2 + dy**2) / sigma**2), Artefact.GHOST)


def _streak(
    canvas: _Canvas,
    epoch: Epoch,
    rng: np.random.Generator,
    settings: ArtefactSettings,
    *,
    is_short: bool,
) -> None:
    """A straight streak of Gaussian section: a flash of limited length, or across the frame."""
    ny, nx = canvas.shape
    x, y, angle = rng.uniform(0, nx), rng.uniform(0, ny), rng.uniform(0, np.pi)
    sigma = epoch.fwhm_pix * rng.uniform(1.0, 2.0) * _SIGMA_PER_FWHM
    half = 0.5 * epoch.fwhm_pix * rng.uniform(8, 40) if is_short else float(nx + ny)
    peak = float(np.exp(rng.uniform(*np.log(settings.satellite_sigma)))) * canvas.sigma
    window = canvas.window(x, y, half + 4 * sigma)
    dx, dy = canvas.offsets(window, x, y)
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    beyond = np.maximum(np.abs(along) - half, 0)
    counts = peak * np.exp(-0.5 * (across**2 + beyond**2) / sigma**2)
    canvas.paint(window, counts, Artefact.SATELLITE)


def _column(canvas: _Canvas, rng: np.random.Generator, settings: ArtefactSettings) -> None:
    """Part of one column (or two) with a wrong offset, which nothing declares bad."""
    ny, nx = canvas.shape
    x, width = int(rng.integers(nx)), int(rng.integers(1, 3))
    first = int(rng.uniform(0, 0.8) * ny)
    last = first + int(rng.uniform(0.05, 0.3) * ny)
    offset = rng.choice([-1, 1]) * rng.uniform(*settings.column_sigma) * canvas.sigma
    window = slice(first, min(last, ny)), slice(x, min(x + width, nx))
    shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    canvas.paint(window, np.full(shape, offset, np.float32), Artefact.BAD_COLUMN)
