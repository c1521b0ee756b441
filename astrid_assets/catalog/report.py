"""The report page: what it holds, and its rendering to one self-contained HTML file.

Pictures are inline PNG, styles inline CSS, nothing is loaded from anywhere. Gathering the content
from database and object store is the business of `report_content`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from astrid_assets.catalog import formats

STAMPS = ("science", "reference", "difference", "score")


@dataclass(frozen=True)
class Epoch:
    """One point of a transient's light curve with its pictures.

    stamps: PNG bytes by kind (see STAMPS); a kind that is not stored is missing.
    probability: the model's, None where no detection was made. significance: score_corrected.
    remarks: what else a reader must know ("below threshold", a limit, flags).
    """

    when_utc: str
    band: str
    exposure: str
    flux: str
    snr: float
    significance: float | None
    probability: float | None
    is_detection: bool
    remarks: tuple[str, ...] = ()
    stamps: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class TransientSection:
    """A transient as the report shows it. light_curves: PNG bytes by theme ("light", "dark")."""

    name: str
    aliases: tuple[str, ...]
    ra: float
    dec: float
    error_arcsec: float | None
    confirmation: str
    confirmation_reason: str
    classification: str
    n_detections: int
    n_nights: int
    first_seen_utc: str
    last_seen_utc: str
    best_probability: float | None
    best_significance: float | None
    brightest: str
    references: tuple[str, ...]
    stamp_width_arcsec: float | None
    epochs: tuple[Epoch, ...]
    n_epochs_left_out: int = 0
    is_synthetic: bool = False
    light_curves: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def is_confirmed(self) -> bool:
        """Whether it was seen twice in the same place."""
        return self.confirmation == "confirmed"


@dataclass(frozen=True)
class ExposureLine:
    """One exposure's row of the metrics table: cells in the order of `Report.exposure_columns`."""

    label: str
    verdict: str
    reason: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Rejection:
    """Candidates rejected by one rule: how many, and the strongest of them."""

    rule: str
    n: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Completeness:
    """What share of injected sources is found and accepted, pooled over a tile's nights.

    picture: PNG bytes. text: the figures in a sentence.
    """

    title: str
    text: str
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class Report:
    """Everything on the page. numbers: (label, value) of the summary strip.

    n_synthetic, n_exposures: how many of the exposures are of the synthetic sky; where it is not
    all of them, each transient says what it is.
    """

    title: str
    scope: str
    n_synthetic: int
    n_exposures: int
    is_uncalibrated: bool
    numbers: tuple[tuple[str, str], ...]
    transients: tuple[TransientSection, ...]
    exposure_columns: tuple[tuple[str, str], ...]
    exposures: tuple[ExposureLine, ...]
    rejections: tuple[Rejection, ...]
    completeness: tuple[Completeness, ...] = ()
    notes: tuple[str, ...] = ()


def render_report(report: Report) -> str:
    """Return the page as HTML; equal reports give equal text."""
    environment = Environment(
        loader=PackageLoader("astrid_assets.catalog", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = _data_uri
    environment.filters["degrees"] = lambda item: formats.degrees_text(item.ra, item.dec)
    environment.filters["sexagesimal"] = lambda item: formats.sexagesimal_text(item.ra, item.dec)
    environment.filters["number"] = formats.number_text
    template = environment.get_template("report.html.jinja")
    return template.render(report=report, stamps=STAMPS)


def write_report(report: Report, path: Path) -> Path:
    """Write the page to `path` (its folder is made) and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(report), encoding="utf-8")
    return path


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
