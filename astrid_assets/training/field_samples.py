"""The labelled samples of one synthetic field, through the project's own stages.

Raw exposures -> calibrate -> (what goes wrong) -> subtract -> find candidates. Real: candidates at
the place of a source that was put in. Bogus: *all* other candidates, before any rule, that are not
close to such a place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from astrid_assets.training.fields import FieldSettings
from astrid_assets.training.labels import (
    LabelSettings,
    bogus_kinds,
    label_candidates,
    truth_masks,
)
from astrid_assets.training.pairs import RawPair, make_raw_pairs
from astrid_assets.training.samples import TrainingSet, concatenate, pack_masks
from astrid_assets.training.truth import InjectedTruth
from astrid_resources.images import Image, MaskPlane, has_any

Floats = NDArray[np.float64]
_VIEW_STEP = 10_000
_NOT_SEARCHED = "no_data"


@dataclass(frozen=True)
class DatasetSettings:
    """Everything that the training set depends on.

    views_per_field: science exposures of each field; in all but the first something is wrong.
    bogus_per_view_max: of a view with more bogus a random choice of so many, or a few fields full
    of spikes would decide what is learnt, calibrated and stated; None: all.
    """

    views_per_field: int = 2
    bogus_per_view_max: int | None = 100
    fields: FieldSettings = field(default_factory=FieldSettings)
    degradation: DegradationSettings = field(default_factory=DegradationSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    cutouts: CutoutSettings = field(default_factory=CutoutSettings)

    @property
    def n_fields(self) -> int:
        """Number of fields of the whole set."""
        return self.fields.n_nights * self.fields.fields_per_night


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
        found = label_subtraction(pair, science, subtraction, settings)
        rng = np.random.default_rng([settings.fields.seed, 5, index, pair.view])
        parts.append(thinned(found, settings.bogus_per_view_max, rng))
        lost = has_any(subtraction.difference.image.mask, MaskPlane.NO_DATA)
        mpix += float((~lost).sum()) / 1e6
    return concatenate(parts), mpix


def thinned(samples: TrainingSet, bogus_max: int | None, rng: np.random.Generator) -> TrainingSet:
    """Return samples with at most `bogus_max` bogus, drawn at random; their order stays."""
    bogus = np.flatnonzero(~samples.is_real)
    if bogus_max is None or len(bogus) <= bogus_max:
        return samples
    keep = samples.is_real.copy()
    keep[rng.choice(bogus, bogus_max, replace=False)] = True
    return samples.select(keep)


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
    keep = np.flatnonzero(labels.is_kept & ~(labels.is_real & (rules == _NOT_SEARCHED)))
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
