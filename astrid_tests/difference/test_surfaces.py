"""Smooth functions fitted to scattered values: their order is the data's choice."""

import numpy as np
import pytest

from astrid_assets.difference.surfaces import Surface, fit_surfaces

SHAPE = (1000, 800)


def scattered(seed, n, *, bend=0.0, error=0.02, outliers=0.05):
    """Two columns of values at random places, bent quadratically, some far off."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, SHAPE[1] - 1, n), rng.uniform(0, SHAPE[0] - 1, n)
    u, v = 2 * x / (SHAPE[1] - 1) - 1, 2 * y / (SHAPE[0] - 1) - 1
    errors = error * rng.uniform(0.3, 2, (n, 2))
    values = np.stack([0.4 + bend * u**2, -0.2 + bend * u * v], axis=1)
    values += rng.normal(size=(n, 2)) * errors
    values[rng.random(n) < outliers] += 3.0
    return x, y, values, errors


def fitted(*made, **kwargs):
    return fit_surfaces(*made, shape=SHAPE, n_needed=(1, 10, 30), error_floor=0.001, **kwargs)


@pytest.mark.parametrize("n", [5, 12, 40, 200])
def test_a_constant_stays_a_constant(n):
    orders = [fitted(*scattered(seed, n)).surfaces[0].order for seed in range(60)]
    assert np.mean(np.array(orders) > 0) < 0.1


@pytest.mark.parametrize(("n", "order"), [(5, 0), (60, 2), (200, 2)])
def test_a_bend_is_recovered_where_the_values_suffice(n, order):
    grid = np.linspace(-1, 1, 9)
    v, u = np.meshgrid(grid, grid, indexing="ij")
    for seed in range(10):
        made = fitted(*scattered(seed, n, bend=0.3))
        assert made.surfaces[0].order == made.surfaces[1].order == order
        if order:
            x, y = (u + 1) / 2 * (SHAPE[1] - 1), (v + 1) / 2 * (SHAPE[0] - 1)
            assert np.abs(made.surfaces[0](x, y) - 0.4 - 0.3 * u**2).max() < 0.05
            assert np.abs(made.surfaces[1](x, y) + 0.2 - 0.3 * u * v).max() < 0.05
            assert made.noise[0] < 0.03


def test_no_variation_is_taken_that_is_too_uncertain():
    made = scattered(0, 60, bend=0.3)
    assert fitted(*made, error_max=1e-4).surfaces[0].order == 0


def test_the_noise_is_what_the_errors_leave_out():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 800, (2, 400))
    values = rng.normal(0.1, 0.05, (400, 1))
    made = fitted(x, y, values, np.full((400, 1), 0.03))
    assert made.noise[0] == pytest.approx(0.04, rel=0.2)
    assert made.errors[0] == pytest.approx(0.05 / 20, rel=0.2)
    assert made.surfaces[0].middle == pytest.approx(0.1, abs=4 * made.errors[0])


def test_powers_and_coefficients_tell_the_same():
    surface = Surface((1.0, 0.2, -0.3, 0.4, 0.5, -0.6), SHAPE)
    x, y = 640.0, 125.0
    u, v = 2 * x / (SHAPE[1] - 1) - 1, 2 * y / (SHAPE[0] - 1) - 1
    expected = sum(
        surface.powers[i, j] * u**i * v**j for i in range(3) for j in range(3) if i + j < 3
    )
    assert surface(x, y) == pytest.approx(expected)
    assert Surface.constant(2.5, shape=SHAPE).departure() == 0
    with pytest.raises(ValueError, match="4 coefficients"):
        _ = Surface((1.0, 2.0, 3.0, 4.0), SHAPE).order
