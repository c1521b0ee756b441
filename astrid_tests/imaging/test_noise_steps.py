"""Steps of the noise between amplifiers are found where they are, and nowhere else."""

import numpy as np
import pytest

from astrid_assets.imaging.background import estimate_background, rough_background
from astrid_assets.imaging.noise_steps import find_noise_steps
from astrid_assets.imaging.sky_cells import Cells
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair

SHAPE = (640, 768)


def steps_of(data):
    everything = np.ones(data.shape, bool)
    cells = Cells(data.shape, 64)
    scatters = cells.clipped(data, everything, step=2)[1]
    return find_noise_steps(data, everything, scatters, cells.edges(is_binned=False))


def quarter(factor):
    noise = np.ones(SHAPE, np.float32)
    noise[:301, :390] = factor
    return noise


@pytest.mark.parametrize("seed", range(6))
def test_even_and_smoothly_varying_noise_has_no_steps(seed):
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(SHAPE, dtype=np.float32)
    y, x = np.indices(SHAPE) / 700
    assert steps_of(white) is None
    assert steps_of(white * (1 + 0.6 * (x**2 + y**2)).astype(np.float32)) is None


def test_a_field_of_stars_and_galaxies_has_no_steps():
    pair = make_pair(4, (768, 768), stars_per_mpix=3000.0)
    assert steps_of(pair.science.raw.data) is None


@pytest.mark.parametrize("factor", [0.6, 1.3, 2.0])
def test_a_step_is_placed_and_its_noise_sharp(factor):
    rng = np.random.default_rng(7)
    true = 10 * quarter(factor)
    data = 300 + true * rng.standard_normal(SHAPE, dtype=np.float32)
    found = steps_of(data)
    assert found is not None
    assert found.rows == pytest.approx((301,), abs=8 if factor == 1.3 else 2)
    assert found.columns == pytest.approx((390,), abs=8 if factor == 1.3 else 2)
    unusable = np.zeros(SHAPE, bool)
    for made in (
        estimate_background(data, unusable=unusable),
        rough_background(data, unusable=unusable),
    ):
        ratio = made.rms / true
        assert np.percentile(ratio, (1, 99)) == pytest.approx(1, abs=0.11)


def test_a_bad_amplifier_of_a_star_field_has_sharp_edges():
    epoch = Epoch(noisy_quarter_factor=2.0)
    pair = make_pair(2, (768, 768), science=epoch)
    made = estimate_background(pair.science.raw.data, unusable=pair.science.saturated)
    sky = pair.science.clean < 1
    ratio = made.rms / np.sqrt(pair.science.clean_variance)
    near = np.zeros(sky.shape, bool)
    near[:384, 364:404] = True
    assert np.median(ratio[near & sky]) == pytest.approx(1, abs=0.04)
    assert np.percentile(ratio[near & sky], (5, 95)) == pytest.approx(1, abs=0.08)


def test_a_trail_is_no_step():
    pair = make_pair(3, (768, 768), science=Epoch(satellite_trails=2))
    assert steps_of(pair.science.raw.data) is None
