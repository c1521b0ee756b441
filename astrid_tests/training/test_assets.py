"""The training assets: a model's record never tells of another training set than its own."""

from __future__ import annotations

import json
from dataclasses import asdict

import dagster as dg
import pytest

from astrid_assets.training.assets import TrainingConfig, require_same_settings


def test_a_set_made_with_other_settings_is_refused() -> None:
    small = TrainingConfig(n_nights=10, side_pix=256).settings()
    record = {"settings": json.loads(json.dumps(asdict(small.dataset)))}
    require_same_settings(record, TrainingConfig(n_nights=10, side_pix=256, n_steps=5).settings())
    with pytest.raises(dg.Failure, match="other settings"):
        require_same_settings(record, TrainingConfig().settings())
