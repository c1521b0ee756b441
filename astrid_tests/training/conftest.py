"""One tiny model, really trained, for all tests of this room."""

from __future__ import annotations

import pytest

from astrid_assets.training.fit import FitSettings, Fitted, fit
from astrid_assets.training.network import NetworkSettings
from astrid_assets.training.samples import TrainingSet
from astrid_tests.training.toy import toy_set

TINY_NETWORK = NetworkSettings(channels=(4, 8), head_channels=8, dense=16)
TINY_FIT = FitSettings(
    n_members=2, n_steps=60, batch_size=32, average_last_steps=20, learning_rate=5e-3
)


@pytest.fixture(scope="session")
def toy_samples() -> TrainingSet:
    """240 toy candidates over ten nights."""
    return toy_set(240, seed=3)


@pytest.fixture(scope="session")
def tiny_fit(toy_samples: TrainingSet) -> Fitted:
    """A network of two levels, trained for 60 steps on the toy candidates."""
    return fit(toy_samples, settings=TINY_FIT, network_settings=TINY_NETWORK)
