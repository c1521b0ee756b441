"""The champion from nothing or from a stored set: fit, calibrate, choose the threshold, evaluate.

The steps are separate functions, so that assets may materialise each; the command stands in
`__main__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.champion_files import Champion
from astrid_assets.training import network
from astrid_assets.training.baselines import baseline_figures
from astrid_assets.training.dataset import n_sources, summary
from astrid_assets.training.drift_reference import drift_reference
from astrid_assets.training.evaluate import (
    EvaluationSettings,
    Sample,
    calibrate,
    evaluate,
    threshold_at,
)
from astrid_assets.training.export import write_champion
from astrid_assets.training.field_samples import DatasetSettings
from astrid_assets.training.fit import FitSettings, Fitted, TooFewSamplesError, fit
from astrid_assets.training.groups import group_figures
from astrid_assets.training.pictures import worst_png
from astrid_assets.training.samples import FOLDS, TrainingSet, fold

NAME = "unet"
VERSION = "4"
_N_CHECK = 256
_TRAILED_THRESHOLD = 0.5
_RULES_BEFORE_MODEL = ("", "negative")


@dataclass(frozen=True)
class ChampionSettings:
    """Everything that the champion depends on."""

    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    network: network.NetworkSettings = field(default_factory=network.NetworkSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


@dataclass(frozen=True)
class Evaluated:
    """A fitted model's working point, chosen on calibration fields, and its figures on test fields.

    The threshold loses the declared share of those points that the rules leave to the model
    (negative ones count as if they were positive).
    calibration: threshold, trailed_threshold, temperature, offset, curvature,
    prior_real.
    drift_reference: what the candidates of a night are held against.
    pictures: PNG by file name, of the test samples it judged worst.
    """

    calibration: Mapping[str, float]
    figures: Mapping[str, Any]
    drift_reference: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(repr=False, default_factory=dict)


def sample_of(samples: TrainingSet) -> Sample:
    """Return what the evaluation needs to know of `samples`."""
    return Sample(
        is_real=samples.is_real,
        snr=working_snr(samples),
        sky_field=samples.sky_field,
        fwhm_pix=samples.fwhm_pix.astype(float),
        on_host=samples.on_host,
    )


def working_snr(samples: TrainingSet) -> NDArray[np.float64]:
    """Return the true S/N of points; of trails what a point's filter measures; NaN of bogus."""
    measured = np.abs(samples.significance)
    return np.where(samples.is_trailed, measured, samples.snr).astype(np.float64)


def fit_model(
    samples: TrainingSet,
    settings: ChampionSettings,
    *,
    workers: int = 1,
    report: Callable[[int, float], None] | None = None,
    store: Path | None = None,
) -> Fitted:
    """Return the network fitted to the training fold of `samples`."""
    return fit(
        fold(samples, "train"), settings=settings.fit, network_settings=settings.network,
        workers=workers, report=report, store=store,
    )  # fmt: skip


def evaluate_model(fitted: Fitted, samples: TrainingSet, settings: ChampionSettings) -> Evaluated:
    """Return the working point from the calibration fold and the figures of the test fold.

    Raises TooFewSamplesError where one of the folds lacks a class.
    """
    parts = {name: fold(samples, name) for name in FOLDS}
    for name, part in parts.items():
        n_real = int(part.is_real.sum())
        if n_real == 0 or n_real == len(part):
            raise TooFewSamplesError(
                f"the {name} fold has {n_real} real and {len(part) - n_real} bogus samples, both "
                "classes are needed: make more fields",
                fold=name, n_real=n_real, n_bogus=len(part) - n_real,
            )  # fmt: skip
    evaluation = settings.evaluation
    prior = evaluation.prior_real
    known, test = parts["calibration"], parts["test"]
    logits, _ = network.predict(fitted.model, known.cutouts)
    known_logits = logits[:, 0].astype(float)
    calibration = calibrate(known_logits, known.is_real, prior_real=prior)
    chosen = calibration.probabilities(known_logits)
    bright = known.is_real & (working_snr(known) >= evaluation.threshold_snr_min)
    bright &= np.isin(known.rejection_rule, _RULES_BEFORE_MODEL) & (known.kind == "point")
    if not bright.any():
        raise TooFewSamplesError(
            f"no point of S/N {evaluation.threshold_snr_min:g} in the calibration fold, the "
            "threshold needs them: make more fields",
            fold="calibration", n_real=int(known.is_real.sum()), n_bright=0,
        )  # fmt: skip
    threshold = threshold_at(
        chosen[bright], np.ones(int(bright.sum())),
        false_negative_rate=evaluation.threshold_false_negative_rate,
    )  # fmt: skip
    logits, masks = network.predict(fitted.model, test.cutouts)
    test_logits = logits[:, 0].astype(float)
    probability = calibration.probabilities(test_logits)
    sample = sample_of(test)
    figures = evaluate(probability, sample, threshold=threshold, settings=evaluation)
    figures["n_sources"] = n_sources(test)
    figures |= _other_heads(logits[:, 1], masks, test)
    figures |= group_figures(
        probability >= threshold,
        test,
        sample.snr,
        asked=np.isin(test.rejection_rule, _RULES_BEFORE_MODEL),
        settings=evaluation,
    )
    figures["models"] = baseline_figures(
        parts["train"], known, test, network_logits=(known_logits, test_logits), sample=sample,
        settings=evaluation,
    )  # fmt: skip
    return Evaluated(
        {
            "threshold": threshold,
            "trailed_threshold": _TRAILED_THRESHOLD,
            **asdict(calibration),
            "prior_real": prior,
        },
        figures,
        drift_reference(samples, test, probability, prior_real=prior),
        {
            f"worst_{name}.png": worst_png(
                test, probability, is_real=is_real, snr_min=evaluation.snr_min
            )
            for name, is_real in (("real", True), ("bogus", False))
        },
    )


def _other_heads(
    trailed_logits: NDArray[np.float32], masks: NDArray[np.float32], test: TrainingSet
) -> dict[str, Any]:
    """Return figures of the trail head and of the mask head, on the real samples."""
    real = test.is_real
    called = trailed_logits > 0
    truth = test.unpacked_masks().astype(bool)[real]
    drawn = masks[real] > 0.5
    union = (truth | drawn).sum(axis=(1, 2))
    overlap = (truth & drawn).sum(axis=(1, 2)) / np.maximum(union, 1)
    trails, points = real & test.is_trailed, real & ~test.is_trailed
    return {
        "n_trailed": int(trails.sum()),
        "trailed_found": float(called[trails].mean()) if trails.any() else None,
        "trailed_false": float(called[points].mean()) if points.any() else None,
        "mask_intersection_over_union": float(overlap.mean()) if real.any() else None,
    }


def build_champion(
    samples: TrainingSet,
    folder: Path,
    settings: ChampionSettings,
    *,
    skipped: Mapping[str, int],
    workers: int = 1,
    report: Callable[[int, float], None] | None = None,
    store: Path | None = None,
) -> Champion:
    """Fit, evaluate and write the champion into `folder`; return it, loaded and verified.

    store: folder that keeps finished members of the ensemble.
    """
    fitted = fit_model(samples, settings, workers=workers, report=report, store=store)
    evaluated = evaluate_model(fitted, samples, settings)
    return write_model(folder, fitted, evaluated, samples, settings, skipped=skipped)


def write_model(
    folder: Path,
    fitted: Fitted,
    evaluated: Evaluated,
    samples: TrainingSet,
    settings: ChampionSettings,
    *,
    skipped: Mapping[str, int],
) -> Champion:
    """Write a fitted and evaluated model with its whole record into `folder`."""
    test = fold(samples, "test")
    check = test.cutouts[:: max(1, len(test) // _N_CHECK)].astype(np.float32)
    for file, content in evaluated.pictures.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    return write_champion(
        folder,
        fitted.model,
        name=NAME,
        version=f"{VERSION}-{samples.sha256[:8]}",
        check_cutouts=check,
        cutouts=settings.dataset.cutouts,
        calibration=evaluated.calibration,
        training={
            "n_steps": fitted.n_steps,
            "losses": list(fitted.losses),
            "cpu_seconds": round(fitted.cpu_seconds, 1),
            "settings": asdict(settings),
            "training_set": summary(samples),
            "folds": {name: summary(fold(samples, name)) for name in FOLDS},
            "skipped_fields": dict(skipped),
        },
        evaluation=evaluated.figures,
        drift_reference=evaluated.drift_reference,
    )
