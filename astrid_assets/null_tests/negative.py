"""Negative peaks of the real differences, known variables left out: shell, it asks the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from scipy.spatial import cKDTree

from astrid_assets.imaging.sphere import unit_vectors
from astrid_assets.null_tests.counts import PeakCount, count_peaks
from astrid_assets.observations import labels_of, observations_by_id
from astrid_resources.database import Database, Transient, TransientStatus
from astrid_resources.database.replace import load_partition
from astrid_resources.products import Partition, Verdict

ASSET = "candidates"
KNOWN_RADIUS_ARCSEC = 1.5


@dataclass(frozen=True)
class NegativePeaks:
    """The negative peaks of one exposure's difference."""

    label: str
    count: PeakCount


def negative_peaks(database: Database, partition: Partition) -> tuple[NegativePeaks, ...]:
    """Return the negative peaks of each searched exposure, away from known variables.

    Known is what the catalog held before the night: a source that was seen to change before may
    fade, and its negative peak is no fault.
    """
    with database.read() as session:
        products = load_partition(
            session, asset=ASSET, night=partition.night, tile=partition.tile
        ).products
        rows = observations_by_id(database, [one.observation_id for one in products])
        first = min((row.mjd_mid for row in rows.values()), default=0.0)
        known = [
            (ra, dec)
            for ra, dec in session.execute(
                sa.select(Transient.ra, Transient.dec).where(
                    Transient.status == TransientStatus.ACTIVE, Transient.first_mjd < first - 0.5
                )
            )
        ]
    tree = cKDTree(unit_vectors(*np.array(known, float).T)) if known else None
    labels = labels_of(rows.values())
    found = []
    for product in products:
        expected = product.metrics.get("noise_peaks_per_mpix")
        if product.verdict is not Verdict.PASSED or expected is None:
            continue
        candidates = product.rows.get("candidates", ())
        kept = [row for row in candidates if not _is_known(row, tree)]
        count = count_peaks(
            kept,
            is_negative=True,
            noise_peaks_per_mpix=expected,
            area_mpix=product.metrics["searched_area_mpix"],
            n_known=len(candidates) - len(kept),
        )
        found.append(NegativePeaks(labels[product.observation_id], count))
    return tuple(found)


def _is_known(row: Any, tree: cKDTree | None) -> bool:
    if tree is None or not row["is_negative"]:
        return False
    at = unit_vectors(np.array(row["ra"], float), np.array(row["dec"], float))
    distance, _ = tree.query(at)
    return bool(distance < np.radians(KNOWN_RADIUS_ARCSEC / 3600))
