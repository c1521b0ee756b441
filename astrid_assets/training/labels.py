"""Candidates held against the truth: real, bogus or neither, of what kind, and their masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.training.artefacts import Artefact
from astrid_assets.training.pairs import Scene
from astrid_assets.training.truth import InjectedTruth

Floats = NDArray[np.float64]
REAL_KINDS = ("point", "trail", "variable")
BOGUS_KINDS = ("noise", "galaxy", "star", "edge", *(a.name.lower() for a in Artefact if a))


@dataclass(frozen=True)
class LabelSettings:
    """How candidates are held against the truth, in FWHM of the difference.

    match_fwhm: a candidate this close to a source put in is that source; others within
    exclude_fwhm of it are neither real nor bogus and left out. mask_fwhm: radius of the mask.
    One that was put in where the footprint leaves the measured area of either image is neither too:
    nothing is searched there. residual_fwhm: a bogus this close to a star or galaxy of at least
    residual_snr_min is its residual; artefact_fwhm: this close to an artefact's pixels it is of
    that artefact.
    """

    match_fwhm: float = 0.6
    exclude_fwhm: float = 3.0
    mask_fwhm: float = 0.6
    mask_snr_min: float = 4.0
    residual_fwhm: float = 2.0
    residual_snr_min: float = 5.0
    artefact_fwhm: float = 1.0


def distance_to_truth(x: Floats, y: Floats, truth: InjectedTruth) -> Floats:
    """Return the distances (n, m), pixels, of n positions to m sources: points or segments."""
    dx, dy = x[:, None] - truth.x, y[:, None] - truth.y
    cos, sin = np.cos(truth.angle_rad), np.sin(truth.angle_rad)
    along = np.clip(dx * cos + dy * sin, -truth.length_pix / 2, truth.length_pix / 2)
    return np.hypot(dx - along * cos, dy - along * sin)


@dataclass(frozen=True)
class Labels:
    """For each of n candidates: is_kept (real or bogus), is_real, and the source's row or -1."""

    is_kept: NDArray[np.bool_]
    is_real: NDArray[np.bool_]
    source: NDArray[np.int64]


def label_candidates(
    x: Floats,
    y: Floats,
    is_negative: NDArray[np.bool_],
    significance: Floats,
    truth: InjectedTruth,
    *,
    fwhm_pix: float,
    settings: LabelSettings,
) -> Labels:
    """Return which candidates are real, which bogus, and which neither; x, y in pixels.

    A point has one candidate, its most significant of the right sign; a trail may have several.
    """
    n = len(x)
    is_real, source = np.zeros(n, bool), np.full(n, -1)
    if n == 0 or len(truth) == 0:
        return Labels(np.ones(n, bool), is_real, source)
    distance = distance_to_truth(x, y, truth)
    near = distance <= settings.exclude_fwhm * fwhm_pix
    fits = distance <= max(1.5, settings.match_fwhm * fwhm_pix)
    fits &= is_negative[:, None] == truth.is_negative
    for row in np.argsort(-np.abs(significance), kind="stable"):
        for j in np.flatnonzero(fits[row])[:1]:
            if truth.length_pix[j] > 0 or not (source == j).any():
                is_real[row], source[row] = True, j
    return Labels(is_real | ~near.any(axis=1), is_real, source)


def bogus_kinds(
    x: Floats,
    y: Floats,
    scene: Scene,
    *,
    fwhm_pix: float,
    flux_error: float,
    settings: LabelSettings,
) -> NDArray[np.str_]:
    """Return what truly lies at bogus candidates (n,): one of BOGUS_KINDS each.

    An artefact of either exposure counts before the frame's edge, that before the residual of a
    star or galaxy, and what is at none of them is noise. flux_error: typical, science counts.
    """
    ny, nx = scene.artefacts.shape
    codes = np.maximum(scene.artefacts, scene.reference_artefacts)
    reach = max(1, round(settings.artefact_fwhm * fwhm_pix))
    seen = scene.flux_adu > settings.residual_snr_min * flux_error
    kinds = np.full(len(x), "noise", "U16")
    for i in range(len(x)):
        row, column = round(y[i]), round(x[i])
        rows = slice(max(0, row - reach), max(0, row + reach + 1))
        code = codes[rows, max(0, column - reach) : max(0, column + reach + 1)].max(initial=0)
        distance = np.hypot(scene.x[seen] - x[i], scene.y[seen] - y[i])
        border = min(x[i], y[i], nx - 1 - x[i], ny - 1 - y[i])
        if code:
            kinds[i] = Artefact(code).name.lower()
        elif border < 1.5 * fwhm_pix:
            kinds[i] = "edge"
        elif len(distance) and distance.min() < settings.residual_fwhm * fwhm_pix:
            near = distance < settings.residual_fwhm * fwhm_pix
            brightest = np.flatnonzero(seen)[near][np.argmax(scene.flux_adu[seen][near])]
            kinds[i] = "star" if scene.is_star[brightest] else "galaxy"
    return kinds


def truth_masks(
    x: Floats,
    y: Floats,
    is_negative: NDArray[np.bool_],
    truth: InjectedTruth,
    snr: Floats,
    *,
    scale: float,
    fwhm_pix: float,
    cutouts: CutoutSettings,
    labels: LabelSettings,
) -> NDArray[np.bool_]:
    """Return masks (n, s, s): cutout pixels within the sources of the candidate's own sign.

    scale: image pixels per cutout pixel; snr: (m,) of the sources, faint ones are not marked.
    """
    size = cutouts.size_pix
    grid = (np.arange(size) - size // 2) * scale
    masks = np.zeros((len(x), size, size), bool)
    reach = size * scale
    for i in range(len(x)):
        close = np.hypot(truth.x - x[i], truth.y - y[i]) < reach + truth.length_pix
        shown = close & (snr >= labels.mask_snr_min) & (truth.is_negative == is_negative[i])
        if shown.any():
            px, py = np.broadcast_arrays(x[i] + grid, (y[i] + grid)[:, None])
            distance = distance_to_truth(px.ravel(), py.ravel(), truth.select(shown)).min(axis=1)
            masks[i] = (distance <= labels.mask_fwhm * fwhm_pix).reshape(size, size)
    return masks
