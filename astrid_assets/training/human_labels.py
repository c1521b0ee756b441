"""What people said of detections (`validation_events`), read from the stores as training samples.

A label belongs to a sky position and an epoch: it is matched to the present candidate of its
exposure, whatever was run again since. The split stands in `labelled.py`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from astrid_assets.candidates.candidate import Candidate
from astrid_assets.catalog.association import separation_arcsec
from astrid_assets.detections.cutouts import CutoutSettings, candidate_cutouts
from astrid_assets.stored import image_at
from astrid_assets.training.features import features_of
from astrid_assets.training.labelled import (
    KIND,
    LabelledSettings,
    Split,
    centre_masks,
    split_labels,
)
from astrid_assets.training.samples import TrainingSet, concatenate
from astrid_resources.database import Detection, Observation, ValidationEvent, load_partition
from astrid_resources.database.connection import Database
from astrid_resources.images import DifferenceImage, Image, read_difference
from astrid_resources.objects import ObjectStore
from astrid_resources.products import PartitionProducts, Product, Row

_ASSETS = ("calibrated_exposures", "difference_images", "candidates")


@dataclass(frozen=True)
class Labelled:
    """The samples that people's labels give (None without any), and what became of the labels."""

    samples: TrainingSet | None = field(repr=False)
    counts: dict[str, int]


@dataclass(frozen=True)
class _Label:
    observation: Observation
    ra: float
    dec: float
    is_real: bool


class _Images(NamedTuple):
    difference: DifferenceImage
    science: Image
    reference: Image


def labelled_samples(
    database: Database,
    store: ObjectStore,
    *,
    cutouts: CutoutSettings,
    settings: LabelledSettings | None = None,
) -> Labelled:
    """Return the training samples of every label that counts, in order of exposure and rank.

    Of several labels of one detection the last counts. counts: labels that joined, and why others
    did not: `unsure`, `no_candidate` (nothing there in the present difference), `split` (its night
    and its piece of sky fall into different folds).
    """
    settings = settings or LabelledSettings()
    labels, n_unsure = _labels(database, settings)
    places: dict[tuple[date, str], list[_Label]] = {}
    for label in labels:
        places.setdefault((label.observation.night, label.observation.tile), []).append(label)
    matched: dict[UUID, tuple[_Label, Row, dict[str, Product]]] = {}
    for (night, tile), group in sorted(places.items(), key=lambda item: item[0]):
        products = _products(database, night, tile)
        for label in group:
            found = _match(label, products, settings)
            if found is not None:
                matched[found[0]["id"]] = (label, *found)
    counts = Counter(unsure=n_unsure, no_candidate=len(labels) - len(matched))
    chosen = sorted(
        matched.values(), key=lambda entry: (str(entry[0].observation.id), entry[1]["rank"])
    )
    if not chosen:
        return Labelled(None, {**counts, "split": 0, "joined": 0})
    split = split_labels(
        np.array([row["ra"] for _, row, _ in chosen], float),
        np.array([row["dec"] for _, row, _ in chosen], float),
        np.array([label.observation.mjd_mid for label, _, _ in chosen], float),
        [label.observation.night for label, _, _ in chosen],
        settings=settings,
    )
    images = lru_cache(maxsize=1)(partial(_images, store))
    parts = [
        _sample(images(*_keys(products)), label, row, split, index, cutouts)
        for index, (label, row, products) in enumerate(chosen)
        if split.is_kept[index]
    ]
    counts["split"] = len(chosen) - len(parts)
    counts["joined"] = len(parts)
    return Labelled(concatenate(parts) if parts else None, dict(counts))


def _labels(database: Database, settings: LabelledSettings) -> tuple[list[_Label], int]:
    """Return the last label of each detection whose validator is sure enough, and how many not."""
    query = (
        sa.select(ValidationEvent, Observation)
        .join(Detection, Detection.id == ValidationEvent.detection_id)
        .join(Observation, Observation.id == Detection.observation_id)
        .where(Observation.is_current)
        .order_by(ValidationEvent.created_at, ValidationEvent.id)
    )
    with database.read() as session:
        last = {event.detection_id: (event, seen) for event, seen in session.execute(query)}
    sure = [
        _Label(seen, event.ra, event.dec, event.is_valid)
        for event, seen in last.values()
        if event.confidence_level.value in settings.levels
    ]
    return sure, len(last) - len(sure)


def _products(database: Database, night: date, tile: str) -> dict[str, PartitionProducts]:
    with database.read() as session:
        return {
            asset: load_partition(session, asset=asset, night=night, tile=tile) for asset in _ASSETS
        }


def _match(
    label: _Label, products: dict[str, PartitionProducts], settings: LabelledSettings
) -> tuple[Row, dict[str, Product]] | None:
    """Return the present candidate at a label's position with the exposure's products."""
    own = {
        asset: product
        for asset, partition in products.items()
        for product in partition.passed
        if product.observation_id == label.observation.id
    }
    if len(own) != len(_ASSETS):
        return None
    rows: Sequence[Row] = own["candidates"].rows.get("candidates", ())
    if not rows:
        return None
    distance = separation_arcsec(
        label.ra,
        label.dec,
        np.array([row["ra"] for row in rows], float),
        np.array([row["dec"] for row in rows], float),
    )
    nearest = int(np.argmin(distance))
    return (rows[nearest], own) if distance[nearest] <= settings.match_arcsec else None


def _keys(products: dict[str, Product]) -> tuple[str, str, str]:
    subtraction = products["difference_images"].objects
    science = products["calibrated_exposures"].objects["image"]
    return subtraction["difference"].key, science.key, subtraction["reference_on_science"].key


def _images(store: ObjectStore, difference: str, science: str, reference: str) -> _Images:
    read = read_difference(io.BytesIO(store.get_bytes(difference)))
    return _Images(read, image_at(store, science), image_at(store, reference))


def _sample(
    images: _Images,
    label: _Label,
    row: Row,
    split: Split,
    index: int,
    settings: CutoutSettings,
) -> TrainingSet:
    """Return one label as a training set of one sample.

    Its S/N is what the pipeline measured: nobody knows the true one.
    """
    candidate = Candidate(**{item.name: row[item.name] for item in fields(Candidate)})
    psf = images.difference.image.psf
    if psf is None:
        raise ValueError("a stored difference has no PSF: its cutouts have no scale")
    stamp = candidate_cutouts(
        images.difference,
        images.science,
        images.reference,
        x=np.array([candidate.pixel_x]),
        y=np.array([candidate.pixel_y]),
        is_negative=np.array([candidate.is_negative]),
        settings=settings,
    )
    real = np.array([label.is_real])
    fwhm = np.array([psf.fwhm_pix], np.float32)

    def of_real(value: Any, otherwise: Any) -> NDArray[Any]:
        return np.where(real, value, otherwise)

    return TrainingSet(
        cutouts=stamp.astype(np.float16),
        masks=centre_masks(real, fwhm_pix=fwhm.astype(float), cutouts=settings),
        is_real=real,
        is_trailed=real & candidate.is_trailed,
        is_negative=np.array([candidate.is_negative]),
        on_host=np.array([False]),
        on_star=np.array([False]),
        snr=of_real(abs(candidate.significance), np.nan).astype(np.float32),
        significance=np.array([candidate.significance], np.float32),
        fwhm_pix=fwhm,
        x=np.array([candidate.pixel_x], np.float32),
        y=np.array([candidate.pixel_y], np.float32),
        sky_field=split.sky_field[[index]],
        night=split.night[[index]],
        view=np.zeros(1, int),
        rejection_rule=np.array([candidate.rejection_rule or ""], "U40"),
        kind=np.array([KIND], "U16"),
        source=of_real(split.source[[index]], -1),
        host_sigma=np.array([np.nan], np.float32),
        features=features_of(
            [candidate],
            fwhm_pix=float(psf.fwhm_pix),
            pixel_scale_arcsec=label.observation.pixel_scale or np.nan,
        ),
    )
