"""Exposures as surveys deliver warped frames: read on another grid, their noise correlated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from astrid_assets.imaging.resample import resample
from astrid_resources.images import Image, MaskPlane, RawExposure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WarpSettings:
    """How frames are warped before they come to us.

    share: of fields (both exposures are); cosmic_rays_left: share of the camera's cosmic rays that
    a survey leaves in what it warps, most remove them first; linear_share: of those fields, by
    linear interpolation at one sub-pixel shift, the others turned and scaled by the six-tap kernel.
    """

    share: float = 0.45
    cosmic_rays_left: float = 0.5
    linear_share: float = 0.35
    linear_shift_pix: tuple[float, float] = (0.1, 0.9)
    rotation_deg: float = 1.0
    scale: tuple[float, float] = (0.95, 1.05)


@dataclass(frozen=True)
class Warp:
    """From the old pixels to the new: old offset = matrix @ new offset, about the middle."""

    before: WCS
    after: WCS
    matrix: Floats

    def move(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return the new pixels of old ones, through both WCS."""
        if len(x) == 0:
            return x, y
        ra, dec = self.before.all_pix2world(x, y, 0)
        new_x, new_y = self.after.all_world2pix(ra, dec, 0)
        return np.asarray(new_x, float), np.asarray(new_y, float)

    def turn(self, angle_rad: Floats) -> Floats:
        """Return the new directions of old ones."""
        inverse = np.linalg.inv(self.matrix)
        vx, vy = inverse @ np.stack([np.cos(angle_rad), np.sin(angle_rad)])
        return np.asarray(np.arctan2(vy, vx))

    @property
    def stretch(self) -> float:
        """New pixels per old pixel."""
        return float(1 / np.sqrt(np.linalg.det(self.matrix)))

    def codes(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a map of codes on the new grid by its nearest pixels, distortion left out."""
        ny, nx = codes.shape
        j, i = np.mgrid[:ny, :nx].astype(np.float32)
        x0, y0 = self.after.wcs.crpix - 1
        dx, dy = i - np.float32(x0), j - np.float32(y0)
        (a, b), (c, d) = self.matrix.astype(np.float32)
        ox, oy = self.before.wcs.crpix - 1
        x = np.rint(a * dx + b * dy + np.float32(ox)).astype(int)
        y = np.rint(c * dx + d * dy + np.float32(oy)).astype(int)
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        return np.where(inside, codes[y.clip(0, ny - 1), x.clip(0, nx - 1)], np.uint8(0))


def warped(
    raw: RawExposure, *, rng: np.random.Generator, settings: WarpSettings
) -> tuple[RawExposure, Warp]:
    """Return `raw` on another grid with its sky removed and resampling declared, and the warp.

    Cosmic rays are smeared in; what no pixel was read for is NaN.
    """
    if rng.random() < settings.linear_share:
        return _linear(raw, rng.uniform(*settings.linear_shift_pix, size=2))
    return _turned(raw, rng, settings)


def _delivered(raw: RawExposure, data: NDArray[np.float32], wcs: WCS) -> RawExposure:
    meta = replace(raw.meta, is_resampled=True, sky_level_adu=None)
    return replace(raw, data=data, bad=None, wcs=wcs, meta=meta, is_sky_subtracted=True)


def _moved(wcs: WCS, shift_pix: Floats) -> WCS:
    """Return `wcs` (TAN or TAN-SIP) with its reference pixel moved, the distortion with it."""
    from astropy.wcs import Sip

    moved = wcs.deepcopy()
    moved.wcs.crpix = moved.wcs.crpix + shift_pix
    if moved.sip is not None:
        moved.sip = Sip(moved.sip.a, moved.sip.b, None, None, moved.wcs.crpix)
    moved.wcs.set()
    return moved


def _linear(raw: RawExposure, fraction: Floats) -> tuple[RawExposure, Warp]:
    """New pixel (x, y) is read at old (x + f, y + g) by linear interpolation."""
    f, g = (np.float32(value) for value in fraction)
    data = raw.data - np.float32(np.median(raw.data))
    if raw.bad is not None:
        data = np.where(raw.bad, np.float32(np.nan), data)
    padded = np.pad(data, ((0, 1), (0, 1)), constant_values=np.nan)
    rows = (1 - g) * padded[:-1] + g * padded[1:]
    new = ((1 - f) * rows[:, :-1] + f * rows[:, 1:]).astype(np.float32)
    wcs = _moved(raw.wcs, -np.asarray(fraction))
    return _delivered(raw, new, wcs), Warp(raw.wcs, wcs, np.eye(2))


def _turned(
    raw: RawExposure, rng: np.random.Generator, settings: WarpSettings
) -> tuple[RawExposure, Warp]:
    """A turn about the middle, another pixel scale, a shift; distortion is taken out."""
    bad = raw.bad if raw.bad is not None else np.zeros(raw.shape, bool)
    image = Image(
        raw.data - np.float32(np.median(raw.data)),
        np.ones(raw.shape, np.float32),
        np.where(bad, np.uint32(MaskPlane.BAD.flag), np.uint32(0)),
        raw.wcs,
        raw.meta,
    )
    angle = np.radians(rng.uniform(-1, 1) * settings.rotation_deg)
    scale = np.exp(rng.uniform(*np.log(settings.scale)))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = raw.wcs.wcs.crpix + rng.uniform(-1, 1, size=2)
    wcs.wcs.crval = raw.wcs.wcs.crval
    wcs.wcs.cd = raw.wcs.wcs.cd @ matrix
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.pixel_shape = raw.wcs.pixel_shape
    wcs.wcs.set()
    moved = resample(image, wcs=wcs, shape=raw.shape)
    lost = (moved.mask & np.uint32(MaskPlane.NO_DATA.flag | MaskPlane.BAD.flag)) != 0
    data = np.where(lost, np.float32(np.nan), moved.data)
    return _delivered(raw, data, wcs), Warp(raw.wcs, wcs, matrix)
