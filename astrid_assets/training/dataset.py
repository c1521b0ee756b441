"""Training samples from synthetic fields, through the project's own stages.

Raw exposures -> calibrate -> (what goes wrong) -> subtract -> find candidates. Real: candidates at
the place of a source that was put in. Bogus: *all* other candidates, before any rule, that are not
close to such a place.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from astrid_assets.calibration.calibrate import calibrate
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.detections.cutouts import CutoutSettings, candidate_cutouts
from astrid_assets.difference.subtract import Subtraction, subtract
from astrid_assets.reference.coadd import coadd
from astrid_assets.training.degrade import DegradationSettings, degrade
from astrid_assets.training.features import features_of
from astrid_assets.training.fields import FieldSettings, RawPair, make_raw_pairs
from astrid_assets.training.labels import (
    LabelSettings,
    bogus_kinds,
    label_candidates,
    truth_masks,
)
from astrid_assets.training.samples import (
    TrainingSet,
    concatenate,
    load_samples,
    pack_masks,
    save_samples,
)
from astrid_assets.training.truth import InjectedTruth
from astrid_resources.images import Image, KnownFailure, MaskPlane, NoWork, has_any

Floats = NDArray[np.float64]
_VIEW_STEP = 10_000


@dataclass(frozen=True)
class DatasetSettings:
    """Everything that the training set depends on.

    views_per_field: science exposures of each field; in all but the first something is wrong.
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


def calibrated_reference(pair: RawPair) -> Image:
    """Return the reference of a pair calibrated, coadded where it has several inputs."""
    references = [calibrate(raw).image for raw in pair.references]
    return references[0] if len(references) == 1 else coadd(references).image


def samples_of_field(index: int, settings: DatasetSettings) -> tuple[TrainingSet, float]:
    """Return the labelled samples of one field, of each of its views, and the Mpix they are of.

    View 0 is calibrated as it comes; in the others something is wrong (`degrade`).
    Raises the stages' KnownFailure or NoWork.
    """
    pairs = make_raw_pairs(index, settings.fields, n_views=settings.views_per_field)
    calibrated = calibrated_reference(pairs[0])
    parts, mpix = [], 0.0
    for pair in pairs:
        science, reference = calibrate(pair.science).image, calibrated
        if pair.view:
            science, reference = degrade(
                science,
                reference,
                pair.science,
                rng=np.random.default_rng([settings.fields.seed, 3, index, pair.view]),
                settings=settings.degradation,
            )
        subtraction = subtract(science, reference)
        parts.append(label_subtraction(pair, science, subtraction, settings))
        lost = has_any(subtraction.difference.image.mask, MaskPlane.NO_DATA)
        mpix += float((~lost).sum()) / 1e6
    return concatenate(parts), mpix


def label_subtraction(
    pair: RawPair,
    science: Image,
    subtraction: Subtraction,
    settings: DatasetSettings,
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
    n = len(keep)
    scale = float(np.mean(proj_plane_pixel_scales(science.wcs))) * 3600
    kept = [found[i] for i in keep]
    on_star = is_real & np.append(truth.on_star, False)[source]
    is_trailed = is_real & (np.append(truth.length_pix, 0.0)[source] > fwhm)
    kind = np.where(on_star, "variable", np.where(is_trailed, "trail", "point")).astype("U16")
    kind[~is_real] = bogus_kinds(
        x[~is_real], y[~is_real], pair.scene, fwhm_pix=fwhm, settings=settings.labels,
        flux_error=subtraction.metrics.limiting_flux_5sigma / 5,
    )  # fmt: skip
    return TrainingSet(
        cutouts=cutouts.astype(np.float16),
        masks=pack_masks(masks),
        is_real=is_real,
        is_trailed=is_trailed,
        is_negative=negative,
        on_host=is_real & np.append(truth.on_host, False)[source],
        on_star=on_star,
        snr=np.where(is_real, np.append(snr, np.nan)[source], np.nan).astype(np.float32),
        significance=significance[keep].astype(np.float32),
        fwhm_pix=np.full(n, fwhm, np.float32),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        sky_field=np.full(n, pair.index),
        night=np.full(n, pair.night.index),
        view=np.full(n, pair.view),
        rejection_rule=rules[keep],
        kind=kind,
        source=np.where(source < pair.n_gone, source, source + _VIEW_STEP * pair.view),
        host_sigma=_reference_sigma(subtraction.reference_on_science, x, y),
        features=features_of(kept, fwhm_pix=fwhm, pixel_scale_arcsec=scale),
    )


def _reference_sigma(reference: Image, x: Floats, y: Floats) -> NDArray[np.float32]:
    """Return the reference at the nearest pixels over its typical noise."""
    ny, nx = reference.shape
    rows, columns = np.rint(y).astype(int).clip(0, ny - 1), np.rint(x).astype(int).clip(0, nx - 1)
    noise = float(np.sqrt(np.median(reference.variance[::4, ::4])))
    return (reference.data[rows, columns] / max(noise, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class FieldResult:
    """The samples of field `index`, or None and the code of the outcome that a stage ended in.

    mpix: area searched, over all views: pixels that both images cover.
    """

    index: int
    samples: TrainingSet | None
    skipped: str | None
    mpix: float = 0.0

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
            return FieldResult(index, samples, record["skipped"], record["mpix"])
    try:
        samples, mpix = samples_of_field(index, settings)
        result = FieldResult(index, samples, None, mpix)
    except (KnownFailure, NoWork) as outcome:
        result = FieldResult(index, None, outcome.code)
    if path is not None:
        record = {"settings": made_with, "skipped": result.skipped, "mpix": result.mpix}
        save_samples(result.samples, path, record=record)
    return result


def field_record(settings: DatasetSettings) -> dict[str, Any]:
    """Return the settings that one field depends on, as plain JSON: all but how many there are."""
    record = json.loads(json.dumps(asdict(settings)))
    del record["fields"]["n_nights"]
    return dict(record)


def results(
    make: Callable[[int], FieldResult], indices: range, *, workers: int
) -> Iterator[FieldResult]:
    """Yield make(index) in order of the indices; whoever stops asking stops the work."""
    if workers <= 1:
        yield from map(make, indices)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    waiting: deque[Future[FieldResult]] = deque()
    try:
        for index in indices:
            waiting.append(pool.submit(make, index))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
    for result in results(make, range(settings.n_fields), workers=workers):
        if result.samples is not None:
            parts.append(result.samples)
        if result.skipped is not None:
            skipped[result.skipped] = skipped.get(result.skipped, 0) + 1
        if report is not None:
            report(result.index, str(result))
    return Dataset(concatenate(parts), skipped)


def n_sources(samples: TrainingSet) -> int:
    """Return the number of distinct sources: the views of a field show the same ones."""
    real = samples.is_real
    return len(np.unique(np.stack([samples.sky_field[real], samples.source[real]]), axis=1).T)


def summary(samples: TrainingSet) -> dict[str, Any]:
    """Return the set's counts and hash, for metadata and the champion's record."""
    kinds, counts = np.unique(samples.kind, return_counts=True)
    return {
        "n_samples": len(samples),
        "n_real": int(samples.is_real.sum()),
        "n_bogus": int((~samples.is_real).sum()),
        "n_sources": n_sources(samples),
        "kinds": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        "n_trailed": int(samples.is_trailed.sum()),
        "n_negative": int(samples.is_negative.sum()),
        "n_fields": len(np.unique(samples.sky_field)),
        "n_nights": len(np.unique(samples.night)),
        "sha256": samples.sha256,
    }
