"""What each part of the model is worth: the same fit without it, on the same fields."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.training import augment, network
from astrid_assets.training.baselines import compared
from astrid_assets.training.build import ChampionSettings, sample_of
from astrid_assets.training.dataset import make_dataset
from astrid_assets.training.field_samples import DatasetSettings
from astrid_assets.training.fit import fit
from astrid_assets.training.samples import TrainingSet, fold, load_training_set, save_training_set

VARIANTS = ("whole", "no_reference", "no_augmentation", "no_scale_normalisation")
_REFERENCE = 1
Logits = tuple[NDArray[np.float64], NDArray[np.float64]]


def without_scale(settings: DatasetSettings) -> DatasetSettings:
    """Return settings whose cutouts show image pixels as they are, whatever the seeing."""
    fixed = settings.cutouts.pixels_per_fwhm
    cutouts = replace(settings.cutouts, fwhm_min_pix=fixed, fwhm_max_pix=fixed)
    return replace(settings, cutouts=cutouts)


def ablations(
    settings: ChampionSettings,
    *,
    store: Path,
    scaled_store: Path | None = None,
    workers: int = 1,
    report: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """Return the table of variants: each one member, fitted with one part left out.

    store: folder that keeps the fields made so far at image pixels, and as usual where no
    scaled_store has them. The candidates are the same in both, so that all comparisons are paired.
    """
    store.mkdir(parents=True, exist_ok=True)
    settings = replace(settings, fit=replace(settings.fit, n_members=1))
    sets = {}
    for name, made_by, kept in (
        ("scaled", settings.dataset, scaled_store or store / "scaled"),
        ("fixed", without_scale(settings.dataset), store / "fixed"),
    ):
        dataset = make_dataset(made_by, store=kept, workers=workers, report=report)
        sets[name] = store / f"{name}.npz"
        save_training_set(dataset.samples, sets[name], record={})
    tasks = [(v, sets["fixed" if v == "no_scale_normalisation" else "scaled"]) for v in VARIANTS]
    if workers > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
            pending = [pool.submit(_logits, *task, settings) for task in tasks]
            logits = [one.result() for one in pending]
    else:
        logits = [_logits(*task, settings) for task in tasks]
    samples, _ = load_training_set(sets["scaled"])
    known, test = fold(samples, "calibration"), fold(samples, "test")
    models = compared(
        {name: values[1] for name, values in zip(VARIANTS, logits, strict=True)},
        {name: values[0] for name, values in zip(VARIANTS, logits, strict=True)},
        known_is_real=known.is_real,
        sample=sample_of(test),
        first=VARIANTS[0],
        settings=settings.evaluation,
    )
    n_fields = len(np.unique(samples.sky_field))
    return {"models": models, "n_steps": settings.fit.n_steps, "n_fields": n_fields}


def _logits(variant: str, path: Path, settings: ChampionSettings) -> Logits:
    """Fit one variant; return its logits of the calibration and of the test samples."""
    samples, _ = load_training_set(path)
    fitting = settings.fit
    if variant == "no_reference":
        samples = _blind(samples)
    if variant == "no_augmentation":
        fitting = replace(fitting, augment=augment.NONE)
    model = fit(fold(samples, "train"), settings=fitting, network_settings=settings.network).model
    known, test = (
        network.predict(model, fold(samples, name).cutouts)[0][:, 0].astype(float)
        for name in ("calibration", "test")
    )
    return known, test


def _blind(samples: TrainingSet) -> TrainingSet:
    cutouts = samples.cutouts.copy()
    cutouts[..., _REFERENCE] = 0
    return replace(samples, cutouts=cutouts)
