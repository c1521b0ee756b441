"""Toy cutouts for tests of the machinery: point sources against dipoles, spikes and noise."""

from __future__ import annotations

import numpy as np

from astrid_assets.detections.cutouts import make_cutouts
from astrid_assets.training.features import FEATURES
from astrid_assets.training.samples import TrainingSet, pack_masks


def toy_set(n: int, *, seed: int, n_nights: int = 10) -> TrainingSet:
    """n toy candidates (half real) on 90 x 90 px frames of white noise, FWHM 4 px."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:90, :90] - 45.0
    is_real = np.arange(n) % 2 == 0
    snr = np.where(is_real, rng.uniform(8, 30, n), np.nan).astype(np.float32)
    cutouts = np.zeros((n, 63, 63, 3), np.float16)
    for i in range(n):
        sigma = 4 / 2.355
        psf = np.exp(-(xx**2 + yy**2) / 2 / sigma**2)
        amplitude = 4 * rng.uniform(2, 8)
        if is_real[i]:
            shape = psf
        elif i % 4 == 1:
            shape = np.exp(-((xx - 2) ** 2 + yy**2) / 4) - np.exp(-((xx + 2) ** 2 + yy**2) / 4)
        else:
            shape = (np.abs(xx) < 0.6) & (np.abs(yy) < 0.6)
        reference = rng.normal(size=(90, 90)).astype(np.float32)
        difference = rng.normal(size=(90, 90)) + amplitude * shape
        cutouts[i] = make_cutouts(
            (reference + difference).astype(np.float32),
            reference,
            difference.astype(np.float32),
            x=np.array([45.0]),
            y=np.array([45.0]),
            is_negative=np.array([False]),
            fwhm_pix=4.0,
        )[0]
    masks = np.zeros((n, 63, 63), bool)
    masks[is_real, 29:34, 29:34] = True
    zero = np.zeros(n, np.float32)
    no = np.zeros(n, bool)
    field = np.arange(n) // 4 % (2 * n_nights)
    return TrainingSet(
        cutouts=cutouts, masks=pack_masks(masks), is_real=is_real, is_trailed=no, is_negative=no,
        on_host=no, on_star=no, snr=snr,
        significance=zero, fwhm_pix=zero + 4, x=zero, y=zero, sky_field=field,
        night=field // 2,
        view=np.zeros(n, int), rejection_rule=np.full(n, ""),
        kind=np.where(is_real, "point", np.where(np.arange(n) % 4 == 1, "star", "cosmic_ray")),
        source=np.where(is_real, np.arange(n), -1), host_sigma=zero,
        features=rng.normal(size=(n, len(FEATURES))).astype(np.float32) + is_real[:, None],
    )  # fmt: skip
