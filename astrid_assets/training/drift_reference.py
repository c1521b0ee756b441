"""What a model's record says of the candidates it learnt from: the reference of `drift`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.drift import reference_quantiles
from astrid_assets.training.evaluate import prior_weights
from astrid_assets.training.features import FEATURES
from astrid_assets.training.samples import TrainingSet

Floats = NDArray[np.float64]


def drift_features(samples: TrainingSet) -> dict[str, Floats]:
    """Return the measured features of samples by name, NaN where unmeasured."""
    return dict(zip(FEATURES, samples.features.astype(float).T, strict=True))


def drift_reference(
    samples: TrainingSet, test: TrainingSet, probability: Floats, *, prior_real: float
) -> dict[str, Any]:
    """Return the reference: features of all bogus samples, scores of test samples after the rules.

    probability: (n,) of the test samples; they are weighted to the declared prior. Where the rules
    leave one class only, scores have no reference.
    """
    bogus = samples.select(~samples.is_real)
    left = test.rejection_rule == ""
    real = test.is_real[left]
    has_both = real.any() and not real.all()
    scores = probability[left] if has_both else np.zeros(0)
    weights = prior_weights(real, prior_real) if has_both else np.zeros(0)
    return reference_quantiles(
        drift_features(bogus), scores, fields=bogus.sky_field, score_weights=weights
    )
