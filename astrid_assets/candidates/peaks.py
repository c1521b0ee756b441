"""Peaks of score_corrected beyond the threshold, of both signs, at sub-pixel positions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import sep
from numpy.typing import NDArray

from astrid_assets.difference.forced import interpolated
from astrid_resources.images import KnownFailure

Floats = NDArray[np.float64]
_DEBLEND_LEVELS = 32
_DEBLEND_CONTRAST = 0.02
_PIXEL_STACK = 100_000
_SUB_OBJECTS = 20_000
_STEPS_PIX = (1.0, 0.5, 0.25, 0.1)
_REACH_PIX = 1.5
_STRAYED = 0.75
_SHARE_ABOVE_MAX = 0.05


class ScoreNotSkyError(KnownFailure):
    """Too much of the score map is beyond the threshold: sources alone never fill so much."""


@dataclass(frozen=True)
class Peaks:
    """Peaks in (y, x) order of their fitted positions; arrays of length n.

    x, y: where the interpolated |PSF flux| is largest, pixels. significance: |score| there.
    is_negative: sign. length, width: rms axes of the pixels beyond the threshold, pixels.
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    significance: Floats = field(repr=False)
    is_negative: NDArray[np.bool_] = field(repr=False)
    length: Floats = field(repr=False)
    width: Floats = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)


def extract_peaks(
    score_corrected: NDArray[np.float32],
    psf_flux: NDArray[np.float32],
    *,
    threshold_sigma: float,
) -> Peaks:
    """Return every peak of either sign beyond `threshold_sigma` (SEP, deblended).

    Positions are those of the PSF flux's maximum: the maximum of the likelihood, which the
    position-dependent noise in score_corrected would displace on a galaxy. Where that falls
    below the threshold or far below the peak (masks make the flux map uneven), the maximum of the
    score itself is taken. Raises ScoreNotSkyError where most of the map cannot be sky.
    """
    parts = []
    signed = np.array(score_corrected, np.float32, order="C")
    for sign in (1.0, -1.0):
        if sign < 0:
            np.negative(signed, out=signed)
        n_above = int(np.count_nonzero(signed > threshold_sigma))
        if n_above == 0:
            continue
        _require_sky(n_above, signed.size, threshold_sigma)
        found = _extract(signed, threshold_sigma, n_above)
        x, y = refine(psf_flux, found["xpeak"], found["ypeak"], sign=sign)
        value = interpolated(signed, x, y)
        at_pixel = signed[found["ypeak"], found["xpeak"]].astype(float)
        strayed = value < np.maximum(_STRAYED * at_pixel, threshold_sigma)
        if strayed.any():
            other_x, other_y = refine(signed, found["xpeak"], found["ypeak"], sign=1.0)
            other = interpolated(signed, other_x, other_y)
            at_peak = strayed & (other < at_pixel)
            x = np.where(at_peak, found["xpeak"], np.where(strayed, other_x, x))
            y = np.where(at_peak, found["ypeak"], np.where(strayed, other_y, y))
            value = np.where(strayed, np.maximum(other, at_pixel), value)
        negative = np.full(len(x), sign < 0)
        parts.append((x, y, value, negative, found["a"].astype(float), found["b"].astype(float)))
    if not parts:
        n = np.zeros(0)
        return Peaks(n, n, n, np.zeros(0, bool), n, n)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[0], columns[1]))
    return Peaks(*(column[order] for column in columns))


def _require_sky(n_above: int, n_pixels: int, threshold_sigma: float) -> None:
    share = n_above / n_pixels
    if share > _SHARE_ABOVE_MAX:
        raise ScoreNotSkyError(
            f"{share:.0%} of the score map lie beyond {threshold_sigma:g} sigma, at most "
            f"{_SHARE_ABOVE_MAX:.0%} may: the subtraction failed as a whole; look at the "
            "registration, the PSFs and the variance of both images",
            share=share,
            n_pixels=n_pixels,
        )


def refine(
    psf_flux: NDArray[np.float32],
    x_peak: NDArray[np.integer],
    y_peak: NDArray[np.integer],
    *,
    sign: float,
) -> tuple[Floats, Floats]:
    """Return (x, y) of the extremum of the interpolated map within 1.5 pixels of each peak.

    Quadratic steps on an ever finer stencil of the band-limited interpolation.
    """
    x, y = np.asarray(x_peak, float), np.asarray(y_peak, float)
    start_x, start_y = x, y
    top, right = (float(n - 1) for n in psf_flux.shape)
    offset = np.array([-1.0, 0.0, 1.0])
    for step in _STEPS_PIX:
        around = sign * interpolated(
            psf_flux,
            x[:, None, None] + step * offset[None, None, :],
            y[:, None, None] + step * offset[None, :, None],
        )
        dx, dy = _quadratic_maximum(around)
        low, high = np.maximum(start_x - _REACH_PIX, 0), np.minimum(start_x + _REACH_PIX, right)
        x = np.clip(x + step * dx, low, high)
        low, high = np.maximum(start_y - _REACH_PIX, 0), np.minimum(start_y + _REACH_PIX, top)
        y = np.clip(y + step * dy, low, high)
    return x, y


def _quadratic_maximum(around: Floats) -> tuple[Floats, Floats]:
    """Return offsets, in steps, of the maximum of a quadratic through 3 x 3 values (n, 3, 3)."""
    gx = (around[:, :, 2] - around[:, :, 0]).mean(axis=1) / 2
    gy = (around[:, 2] - around[:, 0]).mean(axis=1) / 2
    hxx = (around[:, :, 2] - 2 * around[:, :, 1] + around[:, :, 0]).mean(axis=1)
    hyy = (around[:, 2] - 2 * around[:, 1] + around[:, 0]).mean(axis=1)
    hxy = (around[:, 2, 2] - around[:, 2, 0] - around[:, 0, 2] + around[:, 0, 0]) / 4
    determinant = hxx * hyy - hxy**2
    is_peak = (determinant > 0) & (hxx < 0)
    safe = np.where(is_peak, determinant, 1.0)
    dx = np.where(is_peak, -(hyy * gx - hxy * gy) / safe, np.sign(gx))
    dy = np.where(is_peak, -(hxx * gy - hxy * gx) / safe, np.sign(gy))
    return np.clip(dx, -1.5, 1.5), np.clip(dy, -1.5, 1.5)


def _extract(signed: NDArray[np.float32], threshold: float, n_above: int) -> NDArray[np.void]:
    """Return SEP's objects; its stack, allocated on every call, need hold no more than n_above."""
    sep.set_extract_pixstack(_PIXEL_STACK + n_above)
    sep.set_sub_object_limit(_SUB_OBJECTS)
    return np.asarray(
        sep.extract(
            signed,
            threshold,
            minarea=1,
            filter_kernel=None,
            deblend_nthresh=_DEBLEND_LEVELS,
            deblend_cont=_DEBLEND_CONTRAST,
            clean=False,
        )
    )
