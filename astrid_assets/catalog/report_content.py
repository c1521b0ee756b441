"""What the report shows, gathered from database and object store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_assets.catalog import formats
from astrid_assets.catalog.epochs import EpochPictures, Place, epoch_pictures
from astrid_assets.catalog.figures import light_curve_png
from astrid_assets.catalog.lightcurve import LightCurvePoint
from astrid_assets.catalog.listing import TransientEntry, entries
from astrid_assets.catalog.points import stored_points
from astrid_assets.catalog.report import Completeness, Epoch, Report, TransientSection
from astrid_assets.catalog.report_exposures import (
    EXPOSURE_COLUMNS,
    exposure_line,
    judged_candidates,
    rejections,
)
from astrid_assets.catalog.status import Status, status
from astrid_assets.catalog.why import exposure_label
from astrid_assets.detections.pooled import pooled_completeness
from astrid_assets.detections.recovery_figures import pooled_png
from astrid_resources.database import (
    Database,
    Detection,
    Observation,
    ReferenceImage,
    TransientMember,
)
from astrid_resources.objects import ObjectStore


@dataclass(frozen=True)
class ReportSettings:
    """How much the page shows: transients with pictures, epochs each, examples of a rule, plots."""

    max_transients: int = 40
    max_epochs: int = 12
    max_examples: int = 3
    max_exposures: int = 500
    max_completeness: int = 4


def collect_report(
    database: Database,
    store: ObjectStore,
    *,
    nights: Sequence[date] | None = None,
    tile: str | None = None,
    title: str = "AstrID: what changed in the sky",
    settings: ReportSettings = ReportSettings(),
) -> Report:
    """Return the report on the given nights and tile (all, where None).

    The exposures and rejected candidates are those of the nights and tile; the transients those
    with a light-curve point among these exposures.
    """
    counts = status(database)
    completeness = _completeness(database, tile, settings)
    with database.read() as session:
        exposures = _observations(session, nights, tile)
        ids = {row.id for row in exposures}
        shown: list[tuple[TransientEntry, tuple[LightCurvePoint, ...]]] = []
        n_single = n_confirmed = 0
        is_uncalibrated = False
        for entry in entries(session):
            points = stored_points(session, UUID(entry.id))
            if not {UUID(point.observation_id) for point in points} & ids:
                continue
            is_uncalibrated |= any(point.flux_njy is None for point in points)
            n_confirmed += entry.confirmation == "confirmed"
            n_single += entry.confirmation != "confirmed"
            if len(shown) < settings.max_transients:
                shown.append((entry, points))
        pictures = _pictures(session, store, shown, settings)
        judged = judged_candidates(session, [row.id for row in exposures])
        everything = [item for row in exposures for item in judged[row.id]]
        lines = [
            exposure_line(session, row, judged[row.id])
            for row in exposures[-settings.max_exposures :]
        ]
        numbers = {
            "exposures": len(exposures),
            "nights": len({row.night for row in exposures}),
            "candidates": len(everything),
            "accepted": sum(item.is_accepted for item in everything),
            "confirmed": n_confirmed,
            "single-epoch": n_single,
            "in quarantine": len(counts.quarantine),
        }
        return Report(
            title=title,
            scope=_scope(exposures, tile),
            n_synthetic=sum(row.is_synthetic for row in exposures),
            n_exposures=len(exposures),
            is_uncalibrated=is_uncalibrated,
            numbers=tuple((label, str(value)) for label, value in numbers.items()),
            transients=tuple(
                _section(session, entry, points, pictures, settings) for entry, points in shown
            ),
            exposure_columns=EXPOSURE_COLUMNS,
            exposures=tuple(lines),
            rejections=rejections(session, everything, max_examples=settings.max_examples),
            completeness=completeness,
            notes=_notes(counts, n_confirmed + n_single - len(shown)),
        )


def _observations(
    session: Session, nights: Sequence[date] | None, tile: str | None
) -> list[Observation]:
    query = sa.select(Observation).where(Observation.is_current.is_(True))
    if nights is not None:
        query = query.where(Observation.night.in_(list(nights)))
    if tile is not None:
        query = query.where(Observation.tile == tile)
    return list(session.scalars(query.order_by(Observation.mjd_mid, Observation.id)))


def _completeness(
    database: Database, tile: str | None, settings: ReportSettings
) -> tuple[Completeness, ...]:
    """Return the completeness of each tile and filter over all its nights."""
    found = pooled_completeness(database, tile=tile)[: settings.max_completeness]
    return tuple(
        Completeness(
            title=one.title,
            text=one.text,
            picture=pooled_png(one.bins, title=one.title, n_exposures=one.n_exposures),
        )
        for one in found
    )


def _scope(exposures: Sequence[Observation], tile: str | None) -> str:
    nights = sorted({row.night for row in exposures})
    tiles = sorted({row.tile for row in exposures}) if tile is None else [tile]
    where = f"tile {tiles[0]}" if len(tiles) == 1 else f"{len(tiles)} tiles"
    if not nights:
        return f"{where}, no night"
    when = f"night {nights[0]}" if len(nights) == 1 else f"nights {nights[0]} to {nights[-1]}"
    return f"{where}, {when}"


def _notes(counts: Status, n_left_out: int) -> tuple[str, ...]:
    notes = []
    if n_left_out > 0:
        notes.append(f"{n_left_out} fainter transients are in the catalog, not on this page.")
    if counts.model:
        notes.append(f"Probabilities are those of the model {counts.model}.")
    if counts.references:
        notes.append(f"References in use: {'; '.join(counts.references)}.")
    return tuple(notes)


def _pictures(
    session: Session,
    store: ObjectStore,
    shown: Sequence[tuple[TransientEntry, tuple[LightCurvePoint, ...]]],
    settings: ReportSettings,
) -> dict[tuple[str, str], EpochPictures]:
    wanted: dict[str, list[Place]] = {}
    for entry, points in shown:
        for point in points[-settings.max_epochs :]:
            place = Place(entry.name, entry.ra, entry.dec)
            wanted.setdefault(point.difference_run_id, []).append(place)
    return epoch_pictures(session, store, wanted)


def _section(
    session: Session,
    entry: TransientEntry,
    points: Sequence[LightCurvePoint],
    pictures: Mapping[tuple[str, str], EpochPictures],
    settings: ReportSettings,
) -> TransientSection:
    shown = list(points)[-settings.max_epochs :]
    scores = _scores(session, UUID(entry.id))
    own = [pictures.get((point.difference_run_id, entry.name)) for point in shown]
    epochs = tuple(
        _epoch(session, point, scores, picture) for point, picture in zip(shown, own, strict=True)
    )
    widths = [picture.width_arcsec for picture in own if picture is not None]
    return TransientSection(
        name=entry.name,
        is_synthetic=entry.is_synthetic,
        aliases=entry.aliases,
        ra=entry.ra,
        dec=entry.dec,
        error_arcsec=entry.error_arcsec,
        confirmation=entry.confirmation,
        confirmation_reason=_confirmation_text(entry),
        classification=entry.classification,
        n_detections=entry.n_detections,
        n_nights=entry.n_nights,
        first_seen_utc=entry.first_seen_utc,
        last_seen_utc=entry.last_seen_utc,
        best_probability=entry.best_probability,
        best_significance=entry.best_significance,
        brightest=entry.brightest_text,
        references=_reference_texts(session, points),
        stamp_width_arcsec=max(widths, default=None),
        epochs=epochs,
        n_epochs_left_out=len(points) - len(shown),
        light_curves={
            theme: light_curve_png(points, theme=theme) for theme in ("light", "dark") if points
        },
    )


def _confirmation_text(entry: TransientEntry) -> str:
    minutes = ((entry.last_mjd_tai or 0.0) - (entry.first_mjd_tai or 0.0)) * 1440
    times = "once" if entry.n_detections == 1 else f"{entry.n_detections} times"
    text = f"Detected {times}" + (f" over {_duration(minutes)}" if minutes else "")
    if entry.confirmation == "confirmed":
        return f"{text}, stationary within its errors."
    return f"{text}; not confirmed: too little time between detections, or it moves."


def _duration(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2880 else f"{minutes / 1440:.1f} days"


def _reference_texts(session: Session, points: Sequence[LightCurvePoint]) -> tuple[str, ...]:
    texts = []
    for version in sorted({p.reference_image_id for p in points if p.reference_image_id}):
        row = session.get_one(ReferenceImage, UUID(version))
        nights = sorted(row.input_nights)
        when = (
            f", {nights[0]} to {nights[-1]}"
            if len(nights) > 1
            else "".join(f", {night}" for night in nights)
        )
        texts.append(f"{row.filter_band} version {row.version}, {row.n_inputs} inputs{when}")
    return tuple(texts)


def _scores(session: Session, transient_id: UUID) -> dict[str, float]:
    """Return the highest probability of a member by observation id text."""
    query = (
        sa.select(Detection.observation_id, Detection.confidence_score)
        .join(TransientMember, TransientMember.detection_id == Detection.id)
        .where(TransientMember.transient_id == transient_id)
    )
    best: dict[str, float] = {}
    for observation_id, score in session.execute(query):
        best[str(observation_id)] = max(score, best.get(str(observation_id), 0.0))
    return best


def _epoch(
    session: Session,
    point: LightCurvePoint,
    scores: dict[str, float],
    picture: EpochPictures | None,
) -> Epoch:
    observation = session.get_one(Observation, UUID(point.observation_id))
    remarks = []
    if not point.is_detection:
        limit = formats.limit_text(point.flux_adu_error, point.flux_njy_error)
        remarks.append(f"below threshold, 5 sigma limit {limit}")
    if point.observation_id not in scores:
        remarks.append("no detection of its own")
    remarks += [flag for flag in point.flags if flag != "uncalibrated"]
    return Epoch(
        when_utc=formats.utc_text(point.mjd_mid_tai),
        band=point.band,
        exposure=exposure_label(observation),
        flux=formats.flux_text(
            point.flux_adu, point.flux_adu_error, point.flux_njy, point.flux_njy_error
        ),
        snr=point.snr,
        significance=point.significance,
        probability=scores.get(point.observation_id),
        is_detection=point.is_detection,
        remarks=tuple(remarks),
        stamps={} if picture is None else picture.stamps,
    )
