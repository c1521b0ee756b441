"""Negative peaks of a difference against a deep reference: none too many, unless noise is wrong."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.noise_peaks import noise_peaks
from astrid_assets.difference.subtract import subtract
from astrid_assets.imaging.synthetic import Epoch, make_pair
from astrid_assets.limits import NEGATIVE_PEAKS
from astrid_assets.null_tests.counts import count_peaks
from astrid_assets.quality import Judgement, judge
from astrid_resources.images import has_any
from astrid_resources.images.masks import UNUSABLE


@pytest.mark.parametrize(("noise_believed", "is_right"), [(1.0, True), (0.75, False)])
def test_negative_peaks_tell_wrong_noise_and_not_new_sources(
    noise_believed: float, is_right: bool
) -> None:
    pair = make_pair(
        8, (800, 800), science=Epoch(cosmic_rays_per_mpix=40), n_transients=20,
        transient_snr=(10, 30),
    )  # fmt: skip
    science, reference = pair.science.image(), pair.reference.image()
    scale = np.float32(noise_believed**2)
    science, reference = (
        image.with_(variance=image.variance * scale) for image in (science, reference)
    )
    made = subtract(science, reference)
    found = find_candidates(made, science)
    image = made.difference.image
    noise = noise_peaks(image.psf, threshold_sigma=5.0, rng=np.random.default_rng(0))
    count = count_peaks(
        [asdict(one) for one in found],
        is_negative=True,
        noise_peaks_per_mpix=1e6 * noise.per_pixel,
        area_mpix=float((~has_any(image.mask, *UNUSABLE)).sum()) / 1e6,
    )
    assert sum(not one.is_negative for one in found) >= 15
    verdicts = {limit.name: judge(limit, count.metrics, label="") for limit in NEGATIVE_PEAKS}
    is_failed = verdicts["null_negative_peaks"].judgement is Judgement.FAILED
    assert is_failed is not is_right
    assert (count.metrics["poisson_chance"] > 1e-3) is is_right
