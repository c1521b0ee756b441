"""False positives per Mpix and lost sources, as a survey would see them.

Synthetic fields with the defects of a common camera and few sources put in go through every stage,
the rules and the model. Each field is kept in a folder, so that a run can be interrupted and
another model be held against the same fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrid_assets.detections.scoring import Champion, score
from astrid_assets.training.artefacts import ArtefactSettings
from astrid_assets.training.build import working_snr
from astrid_assets.training.dataset import FieldResult, make_field, results
from astrid_assets.training.field_samples import DatasetSettings
from astrid_assets.training.fields import FieldSettings
from astrid_assets.training.groups import Grouping
from astrid_assets.training.truth import SourceSettings
from astrid_assets.training.warped import WarpSettings

Floats = NDArray[np.float64]
_SNR_EDGES = (5.0, 6.0, 7.0, np.inf)
_FALSE_PER_MPIX = (0.02, 0.05, 0.1, 0.2)


def _fields() -> FieldSettings:
    return FieldSettings(
        seed=20261121,
        fields_per_night=2,
        sides_pix=(1536,),
        coadded_share=0.1,
        partial_share=0.0,
        undeclared_share=0.0,
        cosmic_rays_per_mpix=(10.0, 100.0),
        warps=WarpSettings(share=0.25, cosmic_rays_left=0.1),
        sources=SourceSettings(
            per_mpix=(20.0, 30.0), trail_share=0.0, variable_share=0.0, negative_share=0.0
        ),
        artefacts=ArtefactSettings(
            ghosts=0.1, compact_ghosts=0.3, satellites=0.05, flashes=0.05, columns=0.05,
            hot_pixels=2.0,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class SearchSettings:
    """How much is searched, and what the fields are: other seed, other sky than any training."""

    mpix: float = 300.0
    n_fields_max: int = 400
    dataset: DatasetSettings = field(
        default_factory=lambda: DatasetSettings(
            views_per_field=1, bogus_per_view_max=None, fields=_fields()
        )
    )


@dataclass(frozen=True)
class _Field:
    """Of one field: what the rules left where nothing was put in, and the sources found.

    kinds, bogus: (n,) kind and probability of the false ones; snr, is_passed, probability: (m,) of
    the sources, the probability 0 where a rule rejected one.
    """

    mpix: float
    kinds: NDArray[np.str_] = field(repr=False)
    bogus: Floats = field(repr=False)
    snr: Floats = field(repr=False)
    is_passed: NDArray[np.bool_] = field(repr=False)
    probability: Floats = field(repr=False)


def search(
    champion: Champion,
    settings: SearchSettings,
    *,
    store: Path,
    workers: int = 1,
    report: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """Return false positives per Mpix and lost sources, of as many fields as make `mpix`.

    A false positive is a positive candidate where nothing was put in, which no rule rejects and the
    model accepts. Loss: of the sources found as candidates, by the rules and by the model after
    them. Only fields that no stage refused count.
    """
    store.mkdir(parents=True, exist_ok=True)
    n = settings.n_fields_max
    dataset = replace(settings.dataset, fields=replace(settings.dataset.fields, n_nights=n))
    make = partial(make_field, settings=dataset, store=store)
    found: list[_Field] = []
    skipped: dict[str, int] = {}
    for result in results(make, range(n), workers=workers):
        one = _scored(champion, result)
        if one is not None:
            found.append(one)
        elif result.skipped is not None:
            skipped[result.skipped] = skipped.get(result.skipped, 0) + 1
        if report is not None:
            report(result.index, f"{sum(f.mpix for f in found):.0f} Mpix")
        if sum(f.mpix for f in found) >= settings.mpix:
            break
    return _figures(found, skipped, champion.threshold)


def _scored(champion: Champion, result: FieldResult) -> _Field | None:
    samples = result.samples
    if samples is None:
        return None
    positive = samples.select(~samples.is_negative)
    passed = positive.rejection_rule == ""
    probability = np.zeros(len(positive))
    cutouts = positive.select(passed).cutouts.astype(np.float32)
    probability[passed] = score(champion, cutouts).probability
    real = positive.is_real
    wrong = passed & ~real
    return _Field(
        result.mpix, positive.kind[wrong], probability[wrong], working_snr(positive)[real],
        passed[real], probability[real],
    )  # fmt: skip


def _figures(found: list[_Field], skipped: dict[str, int], threshold: float) -> dict[str, Any]:
    mpix = sum(one.mpix for one in found)
    bogus = np.concatenate([one.bogus for one in found])
    kinds = np.concatenate([one.kinds for one in found])[bogus >= threshold].tolist()
    low, high = poisson_interval(len(kinds))
    snr = np.concatenate([one.snr for one in found])
    passed = np.concatenate([one.is_passed for one in found])
    probability = np.concatenate([one.probability for one in found])
    fields = np.repeat(np.arange(len(found)), [len(one.snr) for one in found])
    by_model, by_rules = Grouping(probability < threshold, fields), Grouping(~passed, fields)
    bins = [(start, stop, (snr >= start) & (snr < stop)) for start, stop in pairwise(_SNR_EDGES)]
    rows = []
    for start, stop, inside in bins:
        model, rules = by_model.share(inside & passed), by_rules.share(inside)
        rows.append({
            "low": start,
            "high": None if np.isinf(stop) else stop,
            "n_found": rules["n"],
            "lost_to_rules": rules["share_accepted"],
            "n_after_rules": model["n"],
            "lost_to_model": model["share_accepted"],
            "lost_to_model_low_95": model.get("low_95"),
            "lost_to_model_high_95": model.get("high_95"),
        })  # fmt: skip
    trade = []
    for wanted in _FALSE_PER_MPIX:
        n = int(wanted * mpix)
        cut = float(np.sort(bogus)[::-1][n]) if n < len(bogus) else 0.0
        lost = [_share(probability[inside & passed] <= cut) for _, _, inside in bins]
        trade.append({"false_positives_per_mpix": wanted, "above": cut, "lost_to_model": lost})
    return {
        "mpix": mpix,
        "n_fields": len(found),
        "skipped_fields": skipped,
        "n_after_rules": len(bogus),
        "n_false_positives": len(kinds),
        "false_positives_by_kind": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "false_positives_per_mpix": len(kinds) / mpix,
        "false_positives_per_mpix_low_95": low / mpix,
        "false_positives_per_mpix_high_95": high / mpix,
        "after_rules_per_mpix": len(bogus) / mpix,
        "n_sources": len(snr),
        "loss": rows,
        "trade": trade,
    }


def _share(lost: NDArray[np.bool_]) -> float | None:
    return float(lost.mean()) if len(lost) else None


def poisson_interval(n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of an expectation of which `n` events were seen (Garwood)."""
    from scipy.stats import chi2

    low = float(chi2.ppf(0.025, 2 * n) / 2) if n else 0.0
    return low, float(chi2.ppf(0.975, 2 * n + 2) / 2)
