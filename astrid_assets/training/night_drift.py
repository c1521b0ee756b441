"""A night's candidates and scores, read from the database and held against their model's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

import numpy as np

from astrid_assets.candidates.candidate import Candidate
from astrid_assets.detections.drift import drift
from astrid_assets.detections.model_in_use import champion_of
from astrid_assets.observations import observations_by_id
from astrid_assets.quality import Finding
from astrid_assets.training.features import FEATURES, features_of
from astrid_resources.database import Model
from astrid_resources.database.connection import Database
from astrid_resources.database.replace import load_partition
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Partition, Product, Row


def night_drift(
    database: Database, store: ObjectStore, partition: Partition
) -> tuple[Finding, ...]:
    """Return the findings of a night and tile, by each model that scored it; none where none did.

    A model whose record holds no reference (an old one) gives no finding.
    """
    with database.read() as session:
        loaded = {
            asset: load_partition(session, asset=asset, night=partition.night, tile=partition.tile)
            for asset in ("difference_images", "candidates", "detections")
        }
        scored = {
            model_id: session.get_one(Model, model_id)
            for model_id in sorted(
                {run["model_id"] for p in loaded["detections"].passed for run in _runs(p)}, key=str
            )
        }
    findings: list[Finding] = []
    for model_id, row in scored.items():
        reference = champion_of(row, store).record.get("drift_reference")
        if not reference:
            continue
        own = [
            p
            for p in loaded["detections"].passed
            if any(run["model_id"] == model_id for run in _runs(p))
        ]
        exposures = {p.observation_id for p in own}
        scores = [row["confidence_score"] for p in own for row in p.rows.get("detections", ())]
        features = _features(
            database,
            [p for p in loaded["candidates"].passed if p.observation_id in exposures],
            {p.observation_id: p for p in loaded["difference_images"].passed},
        )
        named = dict(zip(FEATURES, features.T, strict=True))
        findings += drift(reference, named, np.array(scores, float))
    return tuple(findings)


def _runs(product: Product) -> Sequence[Row]:
    return product.rows.get("model_runs", ())


def _features(
    database: Database,
    candidates: Sequence[Product],
    differences: dict[UUID | None, Product],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return (n, k) features of all candidates, before any rule, named by FEATURES."""
    observations = observations_by_id(database, [p.observation_id for p in candidates])
    parts = [np.zeros((0, len(FEATURES)))]
    for product in candidates:
        rows = product.rows.get("candidates", ())
        fwhm = differences[product.observation_id].metrics.get("fwhm_difference_pix")
        scale = observations[product.observation_id].pixel_scale
        found = [
            Candidate(**{item.name: row[item.name] for item in fields(Candidate)}) for row in rows
        ]
        if found and fwhm:
            parts.append(
                features_of(found, fwhm_pix=fwhm, pixel_scale_arcsec=scale or np.nan).astype(float)
            )
    return np.concatenate(parts)
