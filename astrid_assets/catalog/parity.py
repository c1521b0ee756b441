"""Whether manifest and rows tell the same of a night and tile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from astrid_resources.database import Candidate, Detection, DifferenceRun, PreprocessRun
from astrid_resources.database.connection import Database
from astrid_resources.database.replace import load_partition
from astrid_resources.products import Verdict

COUNTED = (
    ("calibrated_exposures", PreprocessRun, None),
    ("difference_images", DifferenceRun, None),
    ("candidates", Candidate, "n_candidates"),
    ("detections", Detection, "n_scored"),
)
"""Asset, its table, and the metric that says how many rows a product has (None: one)."""


@dataclass(frozen=True)
class Parity:
    """Rows by table as the manifest expects them and as they stand; what differs, in words."""

    counts: dict[str, int]
    differences: tuple[str, ...]


def row_parity(database: Database, *, night: date, tile: str) -> Parity:
    """Return how many rows of each table stand in a partition, against what the manifest says."""
    counts: dict[str, int] = {}
    differences = []
    with database.read() as session:
        for asset, model, metric in COUNTED:
            products = load_partition(
                session, asset=asset, night=night, tile=tile, with_rows=False
            ).products
            counted = [p for p in products if metric is None or p.verdict is Verdict.PASSED]
            expected = sum(1 if metric is None else int(p.metrics[metric]) for p in counted)
            found = session.scalar(
                sa.select(sa.func.count())
                .select_from(model)
                .where(model.night == night, model.tile == tile, model.is_superseded.is_(False))
            )
            counts[model.__tablename__] = int(found or 0)
            if found != expected:
                differences.append(
                    f"{model.__tablename__}: {found} rows, the manifest says {expected}"
                )
    return Parity(counts, tuple(differences))
