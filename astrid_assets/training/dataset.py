"""Training samples from synthetic fields, through the project's own stages.

Raw pair -> calibrate -> (what goes wrong) -> subtract -> find candidates. Real: candidates at the
place of a source that was put in. Bogus: *all* other candidates, before any rule, that are not
close to such a place.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.detections.cutouts import CutoutSettings, candidate_cutouts
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.training.degrade import DegradationSettings, degrade
from astrid_assets.training.fields import FieldSettings, InjectedTruth, RawPair, make_raw_pair
from astrid_assets.training.labels import LabelSettings, label_candidates, truth_masks
from astrid_assets.training.samples import (
    TrainingSet,
    concatenate,
    load_samples,
    pack_masks,
    save_samples,
)
from astrid_resources.images import Image, KnownFailure, NoWork

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DatasetSettings:
    """Everything that the training set depends on.

    views_per_field: subtractions of each field; all but the first have something wrong.
    """

    views_per_field: int = 2
    fields: FieldSettings = field(default_factory=FieldSettings)
    degradation: DegradationSettings = field(default_factory=DegradationSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    cutouts: CutoutSettings = field(default_factory=CutoutSettings)

    @property
    def n_fields(self) -> int:
        """Number of fields of the whole set."""
        return self.fields.n_nights * self.fields.fields_per_night


@dataclass(frozen=True)
class Dataset:
    """The samples, and the fields that gave none: {reason: how many}."""

    samples: TrainingSet
    skipped: dict[str, int]


def true_snr(truth: InjectedTruth, subtraction: Subtraction) -> Floats:
    """Return flux over the difference's own error of a PSF flux at each source's pixel."""
    error = subtraction.difference.psf_flux_error
    ny, nx = error.shape
    rows = np.clip(np.rint(truth.y).astype(int), 0, ny - 1)
    columns = np.clip(np.rint(truth.x).astype(int), 0, nx - 1)
    return truth.flux_adu / np.asarray(error[rows, columns], float)


def samples_of_pair(pair: RawPair, settings: DatasetSettings) -> TrainingSet:
    """Return the labelled samples of one pair: of each of its views.

    View 0 is the pair as it is calibrated; in the others something is wrong (`degrade`).
    Raises the stages' KnownFailure or NoWork.
    """
    calibrated_science = calibrate(pair.science).image
    calibrated_reference = calibrate(pair.reference).image
    parts = []
    for view in range(settings.views_per_field):
        science, reference = calibrated_science, calibrated_reference
        if view:
            science, reference = degrade(
                science,
                reference,
                pair.science,
                rng=np.random.default_rng([settings.fields.seed, 3, pair.index, view]),
                settings=settings.degradation,
            )
        subtraction = subtract(science, reference)
        parts.append(label_subtraction(pair, science, subtraction, settings, view=view))
    return concatenate(parts)


def label_subtraction(
    pair: RawPair,
    science: Image,
    subtraction: Subtraction,
    settings: DatasetSettings,
    *,
    view: int,
) -> TrainingSet:
    """Return the samples of one subtraction: its candidates, before any rule, with their truth."""
    truth = pair.truth
    found = find_candidates(subtraction, science)
    x = np.array([candidate.pixel_x for candidate in found], float)
    y = np.array([candidate.pixel_y for candidate in found], float)
    negative = np.array([candidate.is_negative for candidate in found], bool)
    significance = np.array([candidate.significance for candidate in found], float)
    rules = np.array([candidate.rejection_rule or "" for candidate in found], "U40")
    fwhm = subtraction.metrics.fwhm_difference_pix
    labels = label_candidates(
        x, y, negative, significance, truth, fwhm_pix=fwhm, settings=settings.labels
    )
    keep = np.flatnonzero(labels.is_kept)
    x, y, negative, source = x[keep], y[keep], negative[keep], labels.source[keep]
    is_real = labels.is_real[keep]
    snr = true_snr(truth, subtraction)
    cutouts = candidate_cutouts(
        subtraction.difference,
        science,
        subtraction.reference_on_science,
        x=x,
        y=y,
        is_negative=negative,
        settings=settings.cutouts,
    )
    masks = truth_masks(
        x, y, negative, truth, snr, scale=settings.cutouts.scale(fwhm), fwhm_pix=fwhm,
        cutouts=settings.cutouts, labels=settings.labels,
    )  # fmt: skip
    length = np.append(truth.length_pix, 0.0)[source]
    n = len(keep)
    return TrainingSet(
        cutouts=cutouts.astype(np.float16),
        masks=pack_masks(masks),
        is_real=is_real,
        is_trailed=is_real & (length > fwhm),
        is_negative=negative,
        on_host=is_real & np.append(truth.on_host, False)[source],
        on_star=is_real & np.append(truth.on_star, False)[source],
        snr=np.where(is_real, np.append(snr, np.nan)[source], np.nan).astype(np.float32),
        significance=significance[keep].astype(np.float32),
        fwhm_pix=np.full(n, fwhm, np.float32),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        sky_field=np.full(n, pair.index),
        night=np.full(n, pair.night.index),
        view=np.full(n, view),
        rejection_rule=rules[keep],
    )


@dataclass(frozen=True)
class FieldResult:
    """The samples of field `index`, or None and the code of the outcome that a stage ended in."""

    index: int
    samples: TrainingSet | None
    skipped: str | None

    def __str__(self) -> str:
        if self.samples is None:
            return f"skipped: {self.skipped}"
        n_real = int(self.samples.is_real.sum())
        return f"{n_real} real, {len(self.samples) - n_real} bogus"


def make_field(index: int, settings: DatasetSettings, store: Path | None = None) -> FieldResult:
    """Return field `index`, read from `store` where it stands there, else made and stored."""
    made_with = field_record(settings)
    path = None if store is None else store / f"field-{index:05d}.npz"
    if path is not None and path.is_file():
        samples, record = load_samples(path)
        if record["settings"] == made_with:
            return FieldResult(index, samples, record["skipped"])
    try:
        result = FieldResult(
            index, samples_of_pair(make_raw_pair(index, settings.fields), settings), None
        )
    except (KnownFailure, NoWork) as outcome:
        result = FieldResult(index, None, outcome.code)
    if path is not None:
        record = {"settings": made_with, "skipped": result.skipped}
        save_samples(result.samples, path, record=record)
    return result


def field_record(settings: DatasetSettings) -> dict[str, Any]:
    """Return the settings that one field depends on, as plain JSON: all but how many there are."""
    record = json.loads(json.dumps(asdict(settings)))
    del record["fields"]["n_nights"]
    return dict(record)


def make_dataset(
    settings: DatasetSettings,
    *,
    store: Path | None = None,
    workers: int = 1,
    report: Callable[[int, str], None] | None = None,
) -> Dataset:
    """Return the set of all fields in order of their index, whatever the number of workers.

    store: folder where each field is kept, so that an interrupted run goes on and a larger set
    reuses a smaller one. report: called with (index, what became of it). A field that a stage
    refuses is counted.
    """
    if store is not None:
        store.mkdir(parents=True, exist_ok=True)
    make = partial(make_field, settings=settings, store=store)
    parts: list[TrainingSet] = []
    skipped: dict[str, int] = {}
    with ExitStack() as stack:
        results: Iterator[FieldResult] = map(make, range(settings.n_fields))
        if workers > 1:
            pool = stack.enter_context(
                ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
            )
            results = pool.map(make, range(settings.n_fields))
        for result in results:
            if result.samples is not None:
                parts.append(result.samples)
            if result.skipped is not None:
                skipped[result.skipped] = skipped.get(result.skipped, 0) + 1
            if report is not None:
                report(result.index, str(result))
    return Dataset(concatenate(parts), skipped)


def summary(samples: TrainingSet) -> dict[str, Any]:
    """Return the set's counts and hash, for metadata and the champion's record."""
    return {
        "n_samples": len(samples),
        "n_real": int(samples.is_real.sum()),
        "n_bogus": int((~samples.is_real).sum()),
        "n_trailed": int(samples.is_trailed.sum()),
        "n_negative": int(samples.is_negative.sum()),
        "n_fields": len(np.unique(samples.sky_field)),
        "n_nights": len(np.unique(samples.night)),
        "sha256": samples.sha256,
    }
