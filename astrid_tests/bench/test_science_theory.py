"""The theory that the statistics are held to: against closed forms and plain simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astrid_assets.bench.science.theory import (
    pair_theory,
    theory_at,
    true_snr,
)
from astrid_assets.difference.kernels import Scheme, kernels
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import coadd_epoch, make_pair

SHAPE = (256, 256)


def gaussian(sigma, radius=18):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    stamp = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return stamp / stamp.sum()


def test_equal_gaussians_give_their_own_position_bound():
    at = pair_theory(
        gaussian(1.6), gaussian(1.6), sigma_science=3.0, sigma_reference=3.0, flux_ratio=1.0,
        gain_science=2.0,
    )  # fmt: skip
    assert at.position_bound_pix == pytest.approx(np.sqrt(2) * 1.6, rel=1e-3)
    # Of two equal images the difference has twice the variance of one.
    area = 4 * np.pi * 1.6**2
    assert at.flux_error == pytest.approx(3.0 * np.sqrt(2 * area), rel=1e-3)


def test_the_filters_are_those_of_the_subtraction():
    science = Epoch(fwhm_pix=3.2)
    reference = replace(coadd_epoch(science, depth=3.0), fwhm_pix=3.9, zero_point_ab_mag=30.4)
    at = theory_at(science, reference, 100.0, 100.0)
    ours = kernels(
        Scheme.zogy(
            science.psf_stamp(0, 0, radius=24), reference.psf_stamp(0, 0, radius=24), 10**0.16
        ),
        sky_sigma_science=science.sky_sigma_adu,
        sky_sigma_reference=reference.sky_sigma_adu,
    )
    assert at.f_s == pytest.approx(ours.f_s, rel=2e-3)
    blank = np.hypot(ours.science_noise, ours.reference_noise)
    assert np.sqrt(at.blank_variance) == pytest.approx(blank, rel=2e-3)


def test_a_source_in_blank_sky_has_the_snr_it_was_given():
    wanted = np.array([4.0, 10.0, 30.0, 100.0])
    science = Epoch(shape=SHAPE)
    reference = coadd_epoch(science, depth=4.0)
    at = theory_at(science, reference, 127.5, 127.5)
    pair = make_pair(
        5, SHAPE, science=science, reference=reference, stars_per_mpix=0.0, galaxies_per_mpix=0.0,
        transient_flux_adu=at.flux_for_snr(wanted), floor_sigma=2e-4,
    )  # fmt: skip
    snr, _ = true_snr(pair, pair.truth)
    assert snr == pytest.approx(wanted, rel=0.01)
