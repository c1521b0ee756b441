"""The finder's curve in Gaussian noise: against a plain count, theory, and its own error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from astrid_assets.candidates.finder_curve import FinderCurveSettings, finder_curve, unit_theory
from astrid_assets.candidates.peaks import extract_peaks


def gaussian(fwhm: float, half: int = 15, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    j, i = np.mgrid[-half : half + 1, -half : half + 1]
    stamp = np.exp(-((i - dx) ** 2 + (j - dy) ** 2) / 2 / (fwhm / 2.3548) ** 2)
    return stamp / stamp.sum()


def curve(fwhm: float, seed: int = 1, **settings: object):
    return finder_curve(
        gaussian(fwhm),
        rng=np.random.default_rng(seed),
        settings=FinderCurveSettings(**settings),  # type: ignore[arg-type]
    )


def test_it_equals_a_plain_count_of_sources_in_an_image_that_is_filtered() -> None:
    """Sources drawn into white noise, filtered by their own PSF, found: nothing shared but SEP."""
    fwhm, step, snr = 3.4, 26, np.array([4.5, 5.5])
    found = np.zeros((2, 0))
    rng = np.random.default_rng(4)
    stamp = gaussian(fwhm)
    for _ in range(3):
        per_s = []
        for s in snr:
            image = rng.normal(size=(780, 780))
            centre = np.arange(step // 2, 780, step)
            y, x = (grid.ravel() for grid in np.meshgrid(centre, centre, indexing="ij"))
            offset = rng.uniform(-0.5, 0.5, (2, len(x)))
            for k in range(len(x)):
                window = np.s_[y[k] - 12 : y[k] + 13, x[k] - 12 : x[k] + 13]
                source = gaussian(fwhm, 12, offset[0, k], offset[1, k])
                image[window] += s * source / np.sqrt(np.sum(source**2))
            score = fftconvolve(image, stamp, mode="same") / np.sqrt(np.sum(stamp**2))
            score = np.ascontiguousarray(score, np.float32)
            peaks = extract_peaks(score, score, threshold_sigma=5.0)
            at = np.hypot(
                x[:, None] + offset[0][:, None] - peaks.x, y[:, None] + offset[1][:, None] - peaks.y
            )
            per_s.append((at.min(axis=1) <= 0.6 * fwhm).astype(float))
        found = np.hstack([found, np.array(per_s)])
    count, n = found.mean(axis=1), found.shape[1]
    made = curve(fwhm, snr=(4.0, 4.5, 5.5, 6.0), n_per_snr=2500)
    error = np.hypot(np.sqrt(count * (1 - count) / n), made.error_at(snr))
    assert (np.abs(count - made.at(snr)) < 4 * error).all()
    assert (error < 0.02).all()


def test_it_gains_by_choosing_the_maximum_and_loses_where_the_psf_is_sharp() -> None:
    wide, sharp = curve(4.0, n_per_snr=1500), curve(2.0, n_per_snr=1500)
    faint = (wide.snr >= 4) & (wide.snr <= 5)
    theory = unit_theory(wide.snr, 5.0)
    assert np.mean((wide.found - theory)[faint]) == pytest.approx(0.05, abs=0.02)
    steep = (sharp.snr >= 5.5) & (sharp.snr <= 6.5)
    assert np.mean((sharp.found - theory)[steep]) < -0.005
    assert wide.found[-1] > 0.995
    assert sharp.found[-1] > 0.995


def test_its_error_is_that_of_a_repetition() -> None:
    made = [curve(3.0, seed, snr=(4.5, 5.5, 6.5), n_per_snr=150) for seed in range(24)]
    scatter = np.std([one.found for one in made], axis=0)
    stated = np.mean([one.error for one in made], axis=0)
    np.testing.assert_allclose(scatter / stated, 1, atol=0.55)
    share = np.mean([one.found for one in made], axis=0)
    assert (stated < 0.85 * np.sqrt(share * (1 - share) / 150)).all()


def test_it_is_read_between_and_beyond_its_points() -> None:
    made = curve(3.0, n_per_snr=60)
    np.testing.assert_allclose(made.at(made.snr), made.found, atol=1e-12)
    assert made.at(20.0) == pytest.approx(1, abs=0.01)
    assert 0 <= made.at(-3.0) <= 0.1
    assert made.at([[4.2, 5.1]]).shape == (1, 2)
    lower = curve(3.0, n_per_snr=60, threshold_sigma=4.0)
    assert (lower.found >= made.found).all()


def test_it_repeats_with_its_seed_and_refuses_what_it_cannot_use() -> None:
    np.testing.assert_array_equal(
        curve(3.0, 7, n_per_snr=20).found, curve(3.0, 7, n_per_snr=20).found
    )
    with pytest.raises(ValueError, match="increase"):
        curve(3.0, snr=(5.0, 4.0))
    with pytest.raises(ValueError, match="odd edge"):
        finder_curve(np.ones((4, 4)), rng=np.random.default_rng(0))
