"""Normalised (science, reference, difference) cutouts around candidates, as the model reads them.

A cutout is indifferent to the pixel scale (a fixed number of pixels per FWHM), to flux units
(every channel in units of its own noise) and to sign (a negative candidate is shown with the roles
of science and reference exchanged). What the model says about a cutout belongs to `scoring.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrid_resources.images import DifferenceImage, Image, MaskPlane, has_any

_LANCZOS_ORDER = 3
_MIN_WEIGHT = 0.5
_MAD_TO_SIGMA = 1.4826
_HIDDEN = (MaskPlane.NO_DATA, MaskPlane.BAD, MaskPlane.COSMIC_RAY)


@dataclass(frozen=True)
class CutoutSettings:
    """What the pixels of a cutout depend on; stored with the model.

    size_pix: edge length, odd; pixels_per_fwhm: cutout pixels per FWHM of the difference's PSF.
    fwhm_min_pix, fwhm_max_pix: the FWHM is clipped to this range, image pixels.
    """

    size_pix: int = 63
    pixels_per_fwhm: float = 4.0
    fwhm_min_pix: float = 1.2
    fwhm_max_pix: float = 12.0

    def scale(self, fwhm_pix: float) -> float:
        """Return the image pixels per cutout pixel at a given FWHM (image pixels)."""
        if not np.isfinite(fwhm_pix) or fwhm_pix <= 0:
            raise ValueError(f"fwhm_pix must be positive and finite, got {fwhm_pix}")
        return float(np.clip(fwhm_pix, self.fwhm_min_pix, self.fwhm_max_pix)) / self.pixels_per_fwhm


def _weights(centre: float, size: int, scale: float, out: int) -> NDArray[np.float32]:
    """Return the (out, size) Lanczos weights of `out` samples `scale` px apart around `centre`.

    The kernel widens with `scale` above 1, so that a coarser grid does not alias.
    """
    at = centre + (np.arange(out) - out // 2) * scale
    distance = (at[:, None] - np.arange(size)) / max(1.0, scale)
    kernel = np.sinc(distance) * np.sinc(distance / _LANCZOS_ORDER)
    kernel[np.abs(distance) >= _LANCZOS_ORDER] = 0
    total = kernel.sum(axis=1, keepdims=True)
    return (kernel / np.where(np.abs(total) > _MIN_WEIGHT, total, np.inf)).astype(np.float32)


def _window(
    data: NDArray[np.float32], x: float, y: float, half: int
) -> tuple[NDArray[np.float32], float, float]:
    """Return the (2 half + 1) square of `data` around (x, y), NaN outside, and (x, y) in it."""
    x0, y0 = round(x) - half, round(y) - half
    size = 2 * half + 1
    out = np.full((size, size), np.nan, np.float32)
    ny, nx = data.shape
    ys, xs = slice(max(y0, 0), min(y0 + size, ny)), slice(max(x0, 0), min(x0 + size, nx))
    if ys.start < ys.stop and xs.start < xs.stop:
        out[ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0] = data[ys, xs]
    return out, x - x0, y - y0


def _channel(
    stamp: NDArray[np.float32],
    wx: NDArray[np.float32],
    wy: NDArray[np.float32],
    *,
    scale: float,
    is_difference: bool,
) -> NDArray[np.float32]:
    """Return one resampled channel: asinh of (value - level) / noise per cutout pixel."""
    good = np.isfinite(stamp)
    values = stamp[good]
    out_shape = (wy.shape[0], wx.shape[0])
    if values.size == 0:
        return np.zeros(out_shape, np.float32)
    low, level = np.percentile(values, (15.8655, 50))
    if is_difference:
        level = 0.0
        noise = _MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
    else:
        noise = float(level - low)
    if not noise > 0:
        noise = float(np.std(values))
    if not noise > 0:
        return np.zeros(out_shape, np.float32)
    filled = np.where(good, stamp - np.float32(level), np.float32(0)) * np.float32(scale / noise)
    weight = wy @ good.astype(np.float32) @ wx.T
    total = wy @ filled @ wx.T
    seen = weight > _MIN_WEIGHT
    return np.arcsinh(np.where(seen, total / np.where(seen, weight, 1), 0)).astype(np.float32)


def make_cutouts(
    science: NDArray[np.float32],
    reference: NDArray[np.float32],
    difference: NDArray[np.float32],
    *,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    is_negative: NDArray[np.bool_],
    fwhm_pix: float,
    settings: CutoutSettings | None = None,
) -> NDArray[np.float32]:
    """Return the model's input, float32 (n, size, size, 3) = science, reference, difference.

    science, reference, difference: [y, x] on one grid, any flux unit, NaN where unknown.
    x, y: (n,) candidate positions, 0-based pixels, which come to lie on the central pixel.
    is_negative: (n,) True where the difference is negative: shown with science and reference
    exchanged and the difference negated. fwhm_pix: FWHM of the difference's PSF, image pixels.
    Each channel is asinh(value / noise), where the noise is that of one cutout pixel; unknown is 0.

    Raises ValueError on a FWHM that is not positive or on arrays of unequal shapes.
    """
    settings = settings or CutoutSettings()
    if not science.shape == reference.shape == difference.shape:
        raise ValueError(
            f"the three images must share one grid, got {science.shape}, {reference.shape}, "
            f"{difference.shape}"
        )
    scale = settings.scale(fwhm_pix)
    out = settings.size_pix
    half = int(np.ceil((out // 2) * scale + _LANCZOS_ORDER * max(1.0, scale))) + 1
    cutouts = np.zeros((len(x), out, out, 3), np.float32)
    for i, (xi, yi, negative) in enumerate(zip(x, y, is_negative, strict=True)):
        planes = (reference, science) if negative else (science, reference)
        stamp, cx, cy = _window(difference, float(xi), float(yi), half)
        wx = _weights(cx, 2 * half + 1, scale, out)
        wy = _weights(cy, 2 * half + 1, scale, out)
        cutouts[i, :, :, 2] = _channel(
            -stamp if negative else stamp, wx, wy, scale=scale, is_difference=True
        )
        for channel, plane in enumerate(planes):
            stamp, _, _ = _window(plane, float(xi), float(yi), half)
            cutouts[i, :, :, channel] = _channel(stamp, wx, wy, scale=scale, is_difference=False)
    return cutouts


def _visible(image: Image, *, reference: bool) -> NDArray[np.float32]:
    """Return the data of `image` with NaN where they carry nothing of the sky."""
    return np.where(has_any(image.mask, *_HIDDEN, reference=reference), np.nan, image.data)


def candidate_cutouts(
    difference: DifferenceImage,
    science: Image,
    reference_on_science: Image,
    *,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    is_negative: NDArray[np.bool_],
    settings: CutoutSettings | None = None,
) -> NDArray[np.float32]:
    """Return `make_cutouts` of candidates of one subtraction, at the FWHM of its own PSF.

    x, y, is_negative: (n,) arrays, 0-based pixels of the science grid; see `make_cutouts`.
    Pixels without data, defective ones and cosmic rays are unknown; saturated ones are shown.
    """
    psf = difference.image.psf
    if psf is None:
        raise ValueError("the difference has no PSF: its cutouts have no scale")
    return make_cutouts(
        _visible(science, reference=False),
        _visible(reference_on_science, reference=True),
        _visible(difference.image, reference=True),
        x=np.asarray(x, float),
        y=np.asarray(y, float),
        is_negative=np.asarray(is_negative, bool),
        fwhm_pix=psf.fwhm_pix,
        settings=settings,
    )
