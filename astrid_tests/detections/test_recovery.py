"""Injection and recovery against the finder's own curve: binomial errors, nothing invented."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from astrid_assets.detections.completeness import Axis, pooled
from astrid_assets.detections.injection_plan import (
    InjectedSources,
    InjectionSettings,
    NoRoomError,
    Sample,
    flux_for_snr,
    host_light,
    own_noise,
    plan_injection,
)
from astrid_assets.detections.recovery import (
    Recovery,
    RecoverySettings,
    recover,
    subtract_again,
)
from astrid_assets.detections.recovery_figures import (
    completeness_failures,
    completeness_table,
    pooled_png,
    recovery_metrics,
    recovery_png,
)
from astrid_assets.difference.forced import interpolated
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.imaging.injection import inject_sources
from astrid_assets.imaging.synthetic import make_pair
from astrid_resources.images import Image, MaskPlane, PSFModel
from astrid_tests.detections.fixed_model import fixed_champion

SETTINGS = RecoverySettings(injection=InjectionSettings(n_snr=60, n_flux=30, n_host=20))


@lru_cache(maxsize=1)
def _pair() -> tuple[Image, Image, Subtraction]:
    pair = make_pair(11, (520, 520), stars_per_mpix=400, galaxies_per_mpix=400)
    science, reference = pair.science.image(), pair.reference.image()
    return science, reference, subtract(science, reference)


def _searched() -> tuple[Image, Subtraction]:
    science, _, subtraction = _pair()
    return science, subtraction


@lru_cache(maxsize=8)
def _recover(*, accepts: bool = True, seed: int = 1) -> Recovery:
    return recover(
        *_searched(), champion=fixed_champion(accepts=accepts), rng=np.random.default_rng(seed),
        settings=SETTINGS,
    )  # fmt: skip


def _plan(subtraction: Subtraction, seed: int = 3, **settings: object) -> InjectedSources:
    science = _pair()[0]
    return plan_injection(
        subtraction,
        science.psf,  # type: ignore[arg-type]
        gain_e_per_adu=science.meta.gain_e_per_adu,
        zero_point_ab_mag=None,
        settings=InjectionSettings(**settings),  # type: ignore[arg-type]
        rng=np.random.default_rng(seed),
    )


def test_the_found_fraction_follows_the_finders_own_curve_within_its_error() -> None:
    judged = [_recover(seed=seed).judged for seed in (1, 2, 3)]
    found = sum(one.n_found for one in judged) - sum(one.n_expected for one in judged)
    error = np.sqrt(sum(one.expected_variance for one in judged))
    assert sum(one.n_injected for one in judged) > 150
    assert error < 0.06 * sum(one.n_injected for one in judged)
    assert abs(found) < 3.5 * error


def test_a_score_whose_noise_is_not_what_it_says_is_judged_incomplete() -> None:
    """Scores a third too low: the exposure believes to be deeper than it is."""
    science, subtraction = _searched()
    difference = subtraction.difference
    wrong = replace(
        difference,
        score_corrected=difference.score_corrected * np.float32(1.5),
        psf_flux_error=difference.psf_flux_error / np.float32(1.5),
    )
    recovery = recover(
        science,
        replace(subtraction, difference=wrong),
        champion=fixed_champion(accepts=True),
        rng=np.random.default_rng(1),
        settings=RecoverySettings(injection=InjectionSettings(n_flux=1, n_host=1)),
    )
    metrics = recovery_metrics(recovery)
    assert metrics["completeness_deficit_sigma"] < -4
    (reason,) = completeness_failures(metrics)
    assert "expected in Gaussian noise" in reason


def test_true_snr_is_that_of_the_score_on_blank_sky_and_on_galaxies() -> None:
    """Light chosen by the pixels that are measured would choose high noise of the reference."""
    science, subtraction = _searched()
    off, on_host = [], []
    for seed in range(3):
        plan = _plan(subtraction, seed, n_snr=40, n_flux=0, n_host=60, separation_fwhm=3.5)
        injected = inject_sources(
            science, x=plan.x, y=plan.y, flux_adu=plan.flux_adu, rng=np.random.default_rng(seed)
        )
        again = subtract_again(injected, subtraction)
        score = interpolated(again.difference.score_corrected, plan.x, plan.y)
        usable = ~plan.is_unusable & ~plan.is_near_star
        off.append((score - plan.snr)[usable])
        on_host.append((plan.host_sky_sigma >= 0.5)[usable])
    every, hosted = np.concatenate(off), np.concatenate(on_host)
    for one in (every[hosted], every[~hosted]):
        assert len(one) > 50
        assert abs(one.mean()) < 4 / np.sqrt(len(one))
        assert one.std() == pytest.approx(1, abs=0.2)


def test_samples_are_what_they_are_for() -> None:
    _, subtraction = _searched()
    plan = _plan(subtraction, n_snr=40, n_flux=40, n_host=30, separation_fwhm=4.0)
    of = {one: plan.of(one) for one in Sample}
    for one in (Sample.SNR, Sample.HOST):
        assert (plan.snr[of[one]] >= 4).all()
        assert (plan.snr[of[one]] <= 8).all()
    magnitude = -2.5 * np.log10(plan.flux_adu[of[Sample.FLUX]])
    typical = np.median(subtraction.difference.psf_flux_error)
    assert 2.5 < np.ptp(magnitude) <= 2.5 * np.log10(40 / 2.5) + 1
    assert plan.flux_adu[of[Sample.FLUX]].min() < 4 * typical
    assert (plan.host_sky_sigma[of[Sample.HOST]] >= 0.5).all()
    assert not plan.is_near_star[of[Sample.HOST]].any()
    assert np.mean(plan.host_sky_sigma[of[Sample.SNR]] >= 0.5) < 0.5
    apart = np.hypot(plan.x[:, None] - plan.x, plan.y[:, None] - plan.y)
    apart[np.diag_indices(len(plan.x))] = np.inf
    assert apart.min() > 4.0 * subtraction.metrics.fwhm_difference_pix - 1.5


def test_host_light_is_the_references_in_science_counts() -> None:
    _, subtraction = _searched()
    at = np.array([100, 260]), np.array([150, 300])
    before = host_light(subtraction, *at)
    reference = subtraction.reference_on_science
    ratio, sky = subtraction.metrics.flux_ratio, subtraction.metrics.sky_sigma_science
    brighter = reference.with_(data=reference.data + np.float32(3 * ratio * sky))
    after = host_light(replace(subtraction, reference_on_science=brighter), *at)
    np.testing.assert_allclose(after - before, 3, atol=0.1)


def test_injected_sources_do_not_raise_the_noise_they_are_found_in() -> None:
    """On resampled frames the blank-sky scatter scales the score: it must be the one before."""
    science, reference, _ = _pair()
    meta = replace(science.meta, is_resampled=True)
    resampled = science.with_(meta=meta)
    scaled = subtract(resampled, reference)
    rng = np.random.default_rng(5)
    x, y = (grid.ravel() for grid in np.mgrid[30:390:24, 30:390:24])
    flux = np.full(len(x), 8 * float(np.median(scaled.difference.psf_flux_error)))
    injected = inject_sources(resampled, x=x + 0.3, y=y - 0.2, flux_adu=flux, rng=rng)
    naive = subtract(injected, reference)
    again = subtract_again(injected, scaled)
    assert naive.difference.noise_scale_factor > 1.02 * scaled.difference.noise_scale_factor
    assert again.difference.noise_scale_factor == scaled.difference.noise_scale_factor
    at = (np.rint(y).astype(int), np.rint(x).astype(int))
    gained = again.difference.score_corrected[at] - scaled.difference.score_corrected[at]
    assert np.median(gained) == pytest.approx(8, abs=0.5)


def test_what_the_model_rejects_is_found_but_not_accepted() -> None:
    kept, rejected = _recover(accepts=True), _recover(accepts=False)
    np.testing.assert_array_equal(kept.is_found, rejected.is_found)
    np.testing.assert_array_equal(kept.is_accepted, kept.is_passed)
    assert kept.judged.n_accepted > 0
    assert rejected.judged.n_accepted == 0
    assert (kept.is_passed <= kept.is_found).all()


def test_the_bins_hold_every_source_once_and_repeat_with_the_seed() -> None:
    recovery, again, other = _recover(), _recover(), _recover(seed=2)
    by_snr = [one for one in recovery.bins if one.axis is Axis.SNR]
    s = recovery.sources
    assert sum(one.n_injected for one in by_snr) == (
        (s.of(Sample.SNR, Sample.FLUX) & ~s.is_unusable & (s.snr >= 2.5) & (s.snr < 40)).sum()
    )
    by_magnitude = [one for one in recovery.bins if one.axis is Axis.MAGNITUDE_AB]
    assert sum(one.n_injected for one in by_magnitude) == s.of(Sample.FLUX).sum()
    assert recovery.bins == again.bins
    assert not np.array_equal(recovery.sources.x, other.sources.x)
    for one in recovery.bins:
        low, high = one.completeness_interval
        assert 0 <= low <= (one.completeness or 0) <= high <= 1
        assert one.n_accepted <= one.n_passed <= one.n_found <= one.n_injected
        assert 0 <= one.n_expected <= one.n_injected


def test_an_exposure_without_a_place_is_no_work() -> None:
    science, subtraction = _searched()
    lost = np.full(science.shape, np.uint32(MaskPlane.NO_DATA.flag))
    image = subtraction.difference.image.with_(mask=lost)
    difference = type(subtraction.difference)(**{**vars(subtraction.difference), "image": image})
    covered = type(subtraction)(**{**vars(subtraction), "difference": difference})
    with pytest.raises(NoRoomError, match="no pixel"):
        recover(
            science, covered, champion=fixed_champion(accepts=True),
            rng=np.random.default_rng(1),
        )  # fmt: skip
    with pytest.raises(NoRoomError, match="clear of peaks"):
        recover(
            science, subtraction, champion=fixed_champion(accepts=True),
            rng=np.random.default_rng(1),
            settings=RecoverySettings(injection=InjectionSettings(clear_sigma=0.0)),
        )  # fmt: skip


def test_flux_and_snr_agree_with_the_sources_own_photons() -> None:
    j, i = np.mgrid[-20:21, -20:21]
    psf = PSFModel.constant(np.exp(-(i**2 + j**2) / 2 / 1.7**2), shape=(100, 100))
    snr, error, gain = np.array([4.0, 8.0, 40.0]), np.array([50.0, 50.0, 50.0]), 1.5
    flux = flux_for_snr(snr, error, own_noise(psf, gain_e_per_adu=gain))
    p = psf.centre.astype(float)
    own = flux * (p**3).sum() / (p**2).sum() ** 2 / gain
    np.testing.assert_allclose(flux / np.sqrt(error**2 + own), snr)
    assert (flux > snr * error).all()


def test_an_exposure_far_below_theory_is_refused_with_its_numbers() -> None:
    metrics = {
        "n_found": 3, "n_injected": 120, "n_expected": 80.0, "completeness_deficit_sigma": -9.5,
    }  # fmt: skip
    (reason,) = completeness_failures(metrics)
    assert "3 of 120" in reason
    assert "-9.5" in reason
    assert not completeness_failures({**metrics, "completeness_deficit_sigma": -3.9})
    assert not completeness_failures({**metrics, "completeness_deficit_sigma": None})


def test_tables_and_plots_hold_the_counts() -> None:
    recoveries = [_recover(seed=seed) for seed in (1, 2)]
    bins = pooled(one.bins for one in recoveries)
    rows = completeness_table(bins, "t i")
    assert sum(row["injected"] for row in rows) == sum(  # type: ignore[misc]
        one.n_injected for recovery in recoveries for one in recovery.bins
    )
    for png in (
        recovery_png(recoveries[0], title="a"),
        pooled_png(bins, title="t", n_exposures=2),
        pooled_png((), title="nothing", n_exposures=0),
    ):
        assert png.startswith(b"\x89PNG")
