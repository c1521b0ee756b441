"""Evaluation of a champion on real ZTF alert cutouts: never training, and only against scores.

The labels are ZTF's own machine scores (`drb`), noisy; known asteroids are surely real. ZTF's
older score `rb` on the same rows is reported beside ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from astrid_assets.detections.cutouts import make_cutouts
from astrid_assets.detections.scoring import Champion, score
from astrid_assets.training.evaluate import area_under_roc, clustered_interval, threshold_at

TRIPLETS = "ztf_triplets/ztf_triplets_dev.npz"
TABLE = "ztf_triplets/ztf_triplets_dev.csv"
_DRB_REAL, _DRB_BOGUS = 0.9, 0.5
_ASTEROID_ARCSEC = 3.0
_REJECTED_BOGUS = 0.8
_ALERTS_MIN = 10
_NO_DATA = 1e30
_N_BOOTSTRAP = 500


def ztf_probabilities(
    champion: Champion, triplets: NDArray[np.float32], fwhm_pix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return our probability for triplets (n, 63, 63, 3) = science, reference, difference.

    fwhm_pix: (n,) of the images' PSF; a packet's own `fwhm` is that of the candidate itself.
    """
    cutouts = [
        make_cutouts(
            triplet[..., 0],
            triplet[..., 1],
            triplet[..., 2],
            x=np.array([31.0]),
            y=np.array([31.0]),
            is_negative=np.array([False]),
            fwhm_pix=float(fwhm),
            settings=champion.cutouts,
        )
        for triplet, fwhm in zip(triplets, fwhm_pix, strict=True)
    ]
    return score(champion, np.concatenate(cutouts)).probability


def seeing_pix(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the FWHM of the exposure of each alert: the median over its alerts, if it has 10.

    Where it has fewer, the median of all alerts.
    """
    of = table.groupby("jd")["fwhm"]
    known = (of.transform("count") >= _ALERTS_MIN).to_numpy()
    own = of.transform("median").to_numpy(float)
    return np.where(known, own, float(np.nanmedian(table["fwhm"].to_numpy(float))))


def evaluate_on_ztf(champion: Champion, data: Path, *, seed: int = 1) -> dict[str, Any]:
    """Return AUC of ours and of `rb` on positive differences, and the share of asteroids kept.

    data: the folder that holds `ztf_triplets/`. Intervals by a bootstrap over objects.
    Asteroids are removed from the bogus. Each exposure has its own seeing, as in the pipeline; what
    one seeing for all would give (`one_seeing`) stands beside it.
    """
    table = pd.read_csv(data / TABLE)
    with np.load(data / TRIPLETS, allow_pickle=False) as arrays:
        triplets = arrays["triplets"]
    triplets = np.where(np.abs(triplets) < _NO_DATA, triplets, np.nan)
    seeing = seeing_pix(table)
    is_positive = table["isdiffpos"].astype(str).isin(("t", "1")).to_numpy()
    table, triplets, seeing = table[is_positive], triplets[is_positive], seeing[is_positive]
    alike = np.full(len(table), float(np.nanmedian(table["fwhm"].to_numpy(float))))
    ours = ztf_probabilities(champion, triplets, seeing)
    ours_alike = ztf_probabilities(champion, triplets, alike)
    drb, rb = table["drb"].to_numpy(float), table["rb"].to_numpy(float)
    distance = table["ssdistnr"].to_numpy(float)
    is_asteroid = (distance >= 0) & (distance <= _ASTEROID_ARCSEC)
    is_real = drb > _DRB_REAL
    is_bogus = (drb < _DRB_BOGUS) & ~is_asteroid
    used = (is_real | is_bogus) & np.isfinite(rb)
    objects = np.unique(table["objectId"].to_numpy(str), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    result: dict[str, Any] = {
        "n_real": int((used & is_real).sum()),
        "n_bogus": int((used & is_bogus).sum()),
        "n_asteroids": int(is_asteroid.sum()),
    }
    one = np.ones(int(used.sum()))
    for name, value in (("ours", ours), ("rb", rb)):
        arguments = (value[used], is_real[used], one)
        low, high = clustered_interval(
            area_under_roc, *arguments, objects[used], n_bootstrap=_N_BOOTSTRAP, rng=rng
        )
        result[f"auc_{name}"] = {"value": area_under_roc(*arguments), "low": low, "high": high}
    result["asteroids_accepted_at_80pct_bogus_rejected"] = _kept(ours, is_asteroid, is_bogus)
    result["one_seeing"] = {
        "auc_ours": area_under_roc(ours_alike[used], is_real[used], one),
        "asteroids_accepted_at_80pct_bogus_rejected": _kept(ours_alike, is_asteroid, is_bogus),
    }
    at = champion.threshold
    result["at_own_threshold"] = {
        "asteroids_accepted": float((ours[is_asteroid] >= at).mean()),
        "real_accepted": float((ours[is_real] >= at).mean()),
        "bogus_accepted": float((ours[is_bogus] >= at).mean()),
    }
    return result


def _kept(
    score: NDArray[np.float64], is_asteroid: NDArray[np.bool_], is_bogus: NDArray[np.bool_]
) -> float:
    """Return the share of asteroids accepted where at least 80 % of the bogus are rejected."""
    bogus = score[is_bogus]
    strict = threshold_at(bogus, np.ones(len(bogus)), false_negative_rate=_REJECTED_BOGUS)
    strict = float(np.nextafter(strict, 1)) if (bogus >= strict).mean() > 0.2 else strict
    return float((score[is_asteroid] >= strict).mean())
