"""Detection on the synthetic sky: places, fluxes, order, masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from astrid_assets.imaging.sources import detect_sources, source_mask, source_significance
from astrid_assets.imaging.synthetic import Epoch, make_pair


def test_bright_isolated_stars_are_found_where_they_are():
    made = make_pair(3, (600, 500), stars_per_mpix=600, galaxies_per_mpix=0).science
    image = made.image()
    table = detect_sources(image.data, image.variance, unusable=made.saturated, fwhm_pix=3.5)
    assert (np.diff(table.y) >= 0).all()
    truth = made.truth
    snr = truth.flux_adu / (made.epoch.sky_sigma_adu * np.sqrt(25))
    inside = (truth.x > 20) & (truth.x < 480) & (truth.y > 20) & (truth.y < 580)
    places = np.stack([truth.x, truth.y], axis=1)
    visible = cKDTree(places[snr > 4])
    alone = visible.query(places, k=2)[0][:, 1] > 15
    unsaturated = truth.flux_adu * 0.07 < 0.8 * made.epoch.saturation_adu
    wanted = np.flatnonzero(inside & alone & (snr > 30) & unsaturated)
    bled = maximum_filter(made.saturated, 21)[
        truth.y[wanted].astype(int), truth.x[wanted].astype(int)
    ]
    wanted = wanted[~bled]
    assert len(wanted) > 10
    distance, nearest = cKDTree(np.stack([table.x, table.y], axis=1)).query(places[wanted])
    assert np.median(distance) < 0.15
    assert distance.max() < 0.5
    assert np.median(table.flux[nearest] / truth.flux_adu[wanted]) == pytest.approx(0.94, abs=0.04)
    assert np.median(table.fwhm[nearest]) == pytest.approx(4.23, abs=0.3)
    assert np.median(table.ellipticity[nearest]) < 0.1
    assert (table.snr[nearest] > 12).all()
    assert len(table.select(table.snr > 1e9)) == 0


def test_masked_sources_are_not_found_and_noise_is_rarely_one():
    made = make_pair(4, (512, 512), stars_per_mpix=0, galaxies_per_mpix=0).science
    image = made.image()
    table = detect_sources(image.data, image.variance, unusable=made.saturated, fwhm_pix=3.5)
    assert len(table) <= 1
    stars = make_pair(4, (256, 256)).science.image()
    everything = np.ones((256, 256), bool)
    assert len(detect_sources(stars.data, stars.variance, unusable=everything)) == 0


def test_source_mask_takes_noise_symmetrically_and_grows():
    made = make_pair(5, (600, 600), stars_per_mpix=0, galaxies_per_mpix=0).science
    data = made.image().data
    unusable = np.zeros(data.shape, bool)
    significance = source_significance(data, made.epoch.sky_sigma_adu, unusable=unusable)
    assert significance.std() == pytest.approx(1, abs=0.02)
    mask = source_mask(significance)
    assert 0.05 < mask.mean() < 0.3
    assert abs(np.median(data[~mask])) < 0.01 * made.epoch.sky_sigma_adu
    single = np.zeros((41, 43), np.float32)
    single[20, 1] = 10.0
    grown = source_mask(single, grow_pix=3)
    assert grown.sum() == 7 * 5
    assert grown[17:24, 0:5].all()
    epoch = Epoch(shape=(41, 43))
    assert source_significance(np.zeros(epoch.shape, np.float32), 1.0, unusable=grown).max() == 0
