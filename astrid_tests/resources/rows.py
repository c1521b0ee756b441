"""Rows and products that tests commit."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy.orm import Session

from astrid_resources.database import upsert
from astrid_resources.identity import row_id
from astrid_resources.products import Product, StoredObject, Verdict

NIGHT = date(2018, 8, 3)
TILE = "decam_2018"
SURVEY_ID = row_id("surveys", "test")


def observation(name: str = "a", **changes: Any) -> dict[str, Any]:
    """Return the row of an observation."""
    sha256 = name * 64
    row = {
        "id": row_id("observations", "test", name, "", sha256),
        "survey_id": SURVEY_ID,
        "observation_id": name,
        "night": NIGHT,
        "tile": TILE,
        "ra": 318.108,
        "dec": -66.0157,
        "footprint": [[318.0, -66.0], [318.2, -66.0], [318.2, -66.1], [318.0, -66.1]],
        "observation_time": datetime(2018, 8, 4, 3, 0, tzinfo=UTC),
        "mjd_mid": 58334.1259,
        "filter_band": "i",
        "exposure_time": 80.0,
        "content_sha256": sha256,
        "raw_path": f"sha256/{sha256[:2]}/{sha256}",
        "facts": {"gain": 4.0},
    }
    return {**row, **changes}


def add_observations(session: Session, *names: str) -> list[uuid.UUID]:
    """Write a survey and observations; return their row ids."""
    upsert(session, "surveys", [{"id": SURVEY_ID, "name": "test"}])
    rows = [observation(name) for name in names]
    upsert(session, "observations", rows)
    return [row["id"] for row in rows]


def difference_product(
    observation_id: uuid.UUID, *, n_candidates: int = 0, flux: float = 100.0
) -> Product:
    """Return a product with a difference run (no work) and candidates hanging on it."""
    run_id = row_id("difference_runs", observation_id, "difference", None, "zogy")
    candidates = tuple(
        {
            "id": row_id("candidates", run_id, rank),
            "difference_run_id": run_id,
            "observation_id": observation_id,
            "rank": rank,
            "ra": 318.1 + rank * 1e-3,
            "dec": -66.0,
            "pixel_x": float(rank),
            "pixel_y": 2.0,
            "flux": flux,
            "flux_error": 10.0,
            "significance": 10.0,
            "snr": 10.0,
        }
        for rank in range(n_candidates)
    )
    run = {
        "id": run_id,
        "observation_id": observation_id,
        "status": "no_work",
        "verdict": "no_work",
        "reason": "no reference yet",
        "parameters": {"tiny": 1e-7, "huge": 1e16, "text": "ü"},
        "processing_time_seconds": 1.5,
    }
    return Product(
        "difference_images",
        f"product-{observation_id}",
        observation_id,
        {"difference": StoredObject("sha256/aa/" + "a" * 64, "a" * 64, 10)},
        {"score_std": 1.02, "processing_time_seconds": 3.0},
        Verdict.PASSED,
        (),
        {"difference_runs": (run,), "candidates": candidates},
        "1",
        ("input-of-" + str(observation_id),),
    )
