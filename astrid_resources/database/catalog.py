"""Tables of the catalog: transients, their members, names and light curves, and exports."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import (
    Base,
    Identified,
    NightTile,
    SkyPosition,
    Timestamped,
)
from astrid_resources.database.detection import DetectionType


class Confirmation(StrEnum):
    """Whether a transient was seen twice, stationary, at least 15 minutes apart."""

    SINGLE_EPOCH = "single_epoch"
    CONFIRMED = "confirmed"


class TransientStatus(StrEnum):
    """Whether a transient still counts."""

    ACTIVE = "active"
    MERGED = "merged"
    SUPERSEDED = "superseded"


class NameKind(StrEnum):
    """Whether a name is the one in use or an alias after a merge or split."""

    PRIMARY = "primary"
    ALIAS = "alias"


class ExportStatus(StrEnum):
    """How far an export came."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Transient(Identified, Timestamped, SkyPosition, Base):
    """The catalog entry: detections of one sky source over time, from any tile."""

    __tablename__ = "transients"
    __table_args__ = (
        sa.Index(None, "confirmation", "status"),
        sa.Index(None, "best_score", "last_seen"),
    )

    name: Mapped[str] = col.text("stable, sayable name", ucd="meta.id;meta.main", unique=True)
    ra_error: Mapped[float | None] = col.real(
        "error of mean ra times cos dec",
        unit="arcsec",
        ucd="stat.error;pos.eq.ra",
        interval="[0, 36000]",
    )
    dec_error: Mapped[float | None] = col.real(
        "error of mean dec", unit="arcsec", ucd="stat.error;pos.eq.dec", interval="[0, 36000]"
    )
    first_seen: Mapped[datetime] = col.instant("mid-exposure of the first detection, UTC")
    last_seen: Mapped[datetime] = col.instant("mid-exposure of the last detection, UTC")
    first_mjd: Mapped[float | None] = col.real(
        "first detection, MJD, TAI", unit="d", ucd="time.epoch", interval=col.MJD
    )
    last_mjd: Mapped[float | None] = col.real(
        "last detection, MJD, TAI", unit="d", ucd="time.epoch", interval=col.MJD
    )
    n_detections: Mapped[int] = col.whole("detections", ucd="meta.number;obs")
    n_nights: Mapped[int | None] = col.whole("nights with a detection", ucd="meta.number")
    light_curve_summary: Mapped[dict[str, Any] | None] = col.json("summary per band")
    best_score: Mapped[float | None] = col.real(
        "highest score of a detection", ucd="stat.probability", interval=col.FRACTION
    )
    best_significance: Mapped[float | None] = col.real(
        "significance of its best detection", unit="sigma", ucd="stat.snr"
    )
    classification: Mapped[DetectionType] = col.choice(
        DetectionType, "what it is", default=DetectionType.UNKNOWN
    )
    confirmation: Mapped[Confirmation] = col.choice(Confirmation, "seen once or confirmed")
    host_match: Mapped[dict[str, Any] | None] = col.json("its host galaxy")
    cross_matches: Mapped[dict[str, Any] | None] = col.json("matches in other catalogues")
    is_synthetic: Mapped[bool] = col.flag("found on the synthetic sky, not observed")
    status: Mapped[TransientStatus] = col.choice(
        TransientStatus, "whether it still counts", default=TransientStatus.ACTIVE
    )


class TransientMember(Identified, Timestamped, Base):
    """A detection of a transient; id from (transient id, detection id)."""

    __tablename__ = "transient_members"

    transient_id: Mapped[uuid.UUID] = col.refers_to("transients.id", "the transient")
    detection_id: Mapped[uuid.UUID] = col.refers_to("detections.id", "the detection", unique=True)


class TransientName(Identified, Timestamped, SkyPosition, Base):
    """A name that was issued, with the position it was issued for; never issued twice."""

    __tablename__ = "transient_names"
    __table_args__ = (sa.UniqueConstraint("year", "serial"),)

    name: Mapped[str] = col.text("the name", ucd="meta.id", unique=True)
    year: Mapped[int] = col.whole("year it was issued for", interval="[1900, 9999]")
    serial: Mapped[int] = col.whole("running number in its year", interval="[0, 2147483647]")
    transient_id: Mapped[uuid.UUID | None] = col.refers_to(
        "transients.id", "the transient it names now", on_delete="SET NULL"
    )
    kind: Mapped[NameKind] = col.choice(NameKind, "name in use or alias", default=NameKind.PRIMARY)
    reason: Mapped[str] = col.text("why it is an alias: merge, split", default="issued")


class LightCurvePoint(Identified, Timestamped, NightTile, Base):
    """A forced measurement of a transient on one difference; id from (transient, difference run).

    Night and tile are its observation's. Below threshold it is a point too.
    """

    __tablename__ = "light_curve_points"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "transient_id", "mjd_mid"),
        sa.UniqueConstraint("transient_id", "difference_run_id"),
    )

    transient_id: Mapped[uuid.UUID] = col.refers_to("transients.id", "the transient")
    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the science exposure")
    difference_run_id: Mapped[uuid.UUID] = col.refers_to("difference_runs.id", "the subtraction")
    reference_image_id: Mapped[uuid.UUID | None] = col.refers_to(
        "reference_images.id", "the reference", on_delete="RESTRICT"
    )
    detection_id: Mapped[uuid.UUID | None] = col.refers_to(
        "detections.id", "the detection at this epoch, if any", on_delete="SET NULL"
    )
    mjd_mid: Mapped[float] = col.real(
        "mid-exposure, MJD, TAI", unit="d", ucd="time.epoch;obs.exposure", interval=col.MJD
    )
    band: Mapped[str] = col.text("filter band", ucd="instr.bandpass")
    ra_forced: Mapped[float] = col.real(
        "forced right ascension, ICRS", unit="deg", ucd="pos.eq.ra", interval="[0, 360)"
    )
    dec_forced: Mapped[float] = col.real(
        "forced declination, ICRS", unit="deg", ucd="pos.eq.dec", interval="[-90, 90]"
    )
    flux_adu: Mapped[float | None] = col.real(
        "forced PSF flux, science counts, signed", unit="adu", ucd="phot.flux"
    )
    flux_adu_error: Mapped[float | None] = col.real(
        "error of flux_adu", unit="adu", ucd="stat.error;phot.flux", interval=col.NOT_NEGATIVE
    )
    flux_njy: Mapped[float | None] = col.real(
        "forced PSF flux, signed; null without a zero point", unit="nJy", ucd="phot.flux.density"
    )
    flux_njy_error: Mapped[float | None] = col.real(
        "error of flux_njy",
        unit="nJy",
        ucd="stat.error;phot.flux.density",
        interval=col.NOT_NEGATIVE,
    )
    significance: Mapped[float | None] = col.real(
        "score_corrected at the forced position", unit="sigma", ucd="stat.snr"
    )
    reference_flux: Mapped[float | None] = col.real(
        "flux in the reference at the position, science counts", unit="adu", ucd="phot.flux"
    )
    reference_flux_error: Mapped[float | None] = col.real(
        "error of reference_flux", unit="adu", ucd="stat.error;phot.flux", interval=col.NOT_NEGATIVE
    )
    baseline_flux_adu: Mapped[float | None] = col.real(
        "baseline of its reference version, not subtracted", unit="adu", ucd="phot.flux"
    )
    zero_point_ab_mag: Mapped[float | None] = col.real(
        "AB zero point", unit="mag", ucd="phot.mag;arith.zp", interval=col.MAGNITUDE
    )
    zero_point_err: Mapped[float | None] = col.real(
        "error of the zero point",
        unit="mag",
        ucd="stat.error;phot.mag;arith.zp",
        interval="[0, 100]",
    )
    limiting_mag_5sigma: Mapped[float | None] = col.real(
        "5-sigma depth at the position, AB",
        unit="mag",
        ucd="phot.mag;stat.max",
        interval=col.MAGNITUDE,
    )
    limiting_flux_5sigma: Mapped[float | None] = col.real(
        "5-sigma flux at the position",
        unit="adu",
        ucd="phot.flux;stat.min",
        interval=col.NOT_NEGATIVE,
    )
    flags: Mapped[list[str] | None] = col.json("what makes it doubtful")
    is_detection: Mapped[bool] = col.flag("at or above the detection threshold")
    is_masked: Mapped[bool] = col.flag("masked pixels at the position")


class ExportJob(Identified, Timestamped, Base):
    """An export that was asked for."""

    __tablename__ = "export_jobs"

    kind: Mapped[str] = col.text("what is exported")
    query: Mapped[dict[str, Any] | None] = col.json("which rows")
    format: Mapped[str] = col.text("file format")
    status: Mapped[ExportStatus] = col.choice(
        ExportStatus, "how far it came", default=ExportStatus.PENDING
    )
    row_count: Mapped[int | None] = col.whole("rows exported")
    content_sha256: Mapped[str | None] = col.text("sha256 of the file")
    export_path: Mapped[str | None] = col.object_key("the exported file")
    error_message: Mapped[str | None] = col.text("why it failed")
