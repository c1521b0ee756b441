"""A score map that is not sky is a known failure with its numbers, not a crash of the finder."""

import numpy as np
import pytest

from astrid_assets.candidates.peaks import ScoreNotSkyError, extract_peaks


@pytest.mark.parametrize(
    "score",
    [
        np.full((300, 300), 9, np.float32),
        np.random.default_rng(1).normal(0, 30, (300, 300)).astype(np.float32),
    ],
    ids=["flat", "far too noisy"],
)
def test_a_map_full_of_peaks_is_refused(score):
    with pytest.raises(ScoreNotSkyError, match="the subtraction failed as a whole") as problem:
        extract_peaks(score, score, threshold_sigma=5.0)
    assert problem.value.numbers["share"] > 0.05


def test_gaussian_noise_alone_is_sky():
    score = np.random.default_rng(2).normal(size=(300, 300)).astype(np.float32)
    assert len(extract_peaks(score, score, threshold_sigma=5.0)) < 3
