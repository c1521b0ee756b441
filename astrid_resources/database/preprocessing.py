"""Tables of calibration: runs and master frames."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import Base, Identified, NightTile, Produced, Timestamped


class RunStatus(StrEnum):
    """How far a run came."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    NO_WORK = "no_work"


class CalibrationFrameKind(StrEnum):
    """What a master frame corrects."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    BAD_PIXEL_MASK = "bad_pixel_mask"


class ExposureGrade(StrEnum):
    """The grade of an exposure."""

    A = "A"
    B = "B"
    C = "C"
    REJECTED = "rejected"


class CalibrationFrame(Identified, Timestamped, Base):
    """A master frame with the time it holds for."""

    __tablename__ = "calibration_frames"
    __table_args__ = (sa.Index(None, "instrument", "detector", "kind", "valid_from"),)

    kind: Mapped[CalibrationFrameKind] = col.choice(CalibrationFrameKind, "what it corrects")
    instrument: Mapped[str] = col.text("instrument", ucd="meta.id;instr")
    detector: Mapped[str] = col.text("detector", default="")
    filter_band: Mapped[str | None] = col.text("filter band, of a flat", ucd="instr.bandpass")
    valid_from: Mapped[datetime] = col.instant("first instant it holds for")
    valid_to: Mapped[datetime | None] = col.instant("first instant it no longer holds for")
    n_frames: Mapped[int] = col.whole("frames it was combined from", interval="[1, 100000]")
    content_sha256: Mapped[str] = col.text("sha256 of the file")
    frame_path: Mapped[str | None] = col.object_key("the frame")


class PreprocessRun(Identified, Timestamped, NightTile, Produced, Base):
    """The calibration of one observation; id from (observation row id, stage)."""

    __tablename__ = "preprocess_runs"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "status"),
        sa.Index(None, "product_id"),
    )

    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the exposure")
    product_id: Mapped[str | None] = col.text("id of the calibrated product", ucd="meta.id")
    status: Mapped[RunStatus] = col.choice(RunStatus, "how far it came")
    calibration_applied: Mapped[bool] = col.flag("detrended by us with master frames")
    wcs_aligned: Mapped[bool] = col.flag("its WCS was verified or refined")
    registration_quality: Mapped[float | None] = col.real(
        "quality of the registration", interval=col.FRACTION
    )
    processed_fits_path: Mapped[str | None] = col.object_key("the calibrated image")
    content_sha256: Mapped[str | None] = col.text("sha256 of the calibrated image")
    wcs_info: Mapped[dict[str, Any] | None] = col.json("numbers of the WCS checks")
    astrometric_rms_arcsec: Mapped[float | None] = col.real(
        "astrometric rms", unit="arcsec", ucd="stat.stdev;pos.eq", interval="[0, 36000]"
    )
    n_astrometric_stars: Mapped[int | None] = col.whole("stars of the astrometric solution")
    zero_point_ab_mag: Mapped[float | None] = col.real(
        "AB zero point for counts of the exposure",
        unit="mag",
        ucd="phot.mag;arith.zp",
        interval=col.MAGNITUDE,
    )
    zero_point_err: Mapped[float | None] = col.real(
        "error of the zero point",
        unit="mag",
        ucd="stat.error;phot.mag;arith.zp",
        interval="[0, 100]",
    )
    n_photometric_stars: Mapped[int | None] = col.whole("stars of the zero point")
    psf_fwhm_pix: Mapped[float | None] = col.real(
        "FWHM of the PSF at the centre", unit="pix", ucd="instr.det.psf", interval="(0, 10000]"
    )
    psf_ellipticity: Mapped[float | None] = col.real(
        "ellipticity of the PSF", ucd="src.ellipticity", interval=col.FRACTION
    )
    n_psf_stars: Mapped[int | None] = col.whole("stars of the PSF")
    seeing_arcsec: Mapped[float | None] = col.real(
        "measured seeing, FWHM", unit="arcsec", ucd="instr.obsty.seeing", interval="(0, 3600]"
    )
    sky_level: Mapped[float | None] = col.real("sky level", unit="adu", ucd="instr.skyLevel")
    sky_sigma: Mapped[float | None] = col.real(
        "blank-sky scatter per pixel",
        unit="adu",
        ucd="stat.stdev;instr.skyLevel",
        interval=col.NOT_NEGATIVE,
    )
    limiting_flux_5sigma: Mapped[float | None] = col.real(
        "5-sigma flux of a point source",
        unit="adu",
        ucd="phot.flux;stat.min",
        interval=col.NOT_NEGATIVE,
    )
    limiting_mag_5sigma: Mapped[float | None] = col.real(
        "5-sigma depth, AB", unit="mag", ucd="phot.mag;stat.max", interval=col.MAGNITUDE
    )
    cosmic_ray_fraction: Mapped[float | None] = col.real(
        "fraction of pixels hit by cosmic rays", interval=col.FRACTION
    )
    masked_fraction: Mapped[float | None] = col.real(
        "fraction of unusable pixels", interval=col.FRACTION
    )
    grade: Mapped[ExposureGrade | None] = col.choice(ExposureGrade, "grade of the exposure")
    grade_reasons: Mapped[list[str] | None] = col.json("why it has this grade")
    processing_time_seconds: Mapped[float | None] = col.real(
        "time it took", unit="s", interval=col.NOT_NEGATIVE
    )
    error_message: Mapped[str | None] = col.text("why it failed")
    retry_count: Mapped[int] = col.whole("how often it was tried again", default=0)
    bias_frame_id: Mapped[uuid.UUID | None] = col.refers_to(
        "calibration_frames.id", "master bias", on_delete="RESTRICT"
    )
    dark_frame_id: Mapped[uuid.UUID | None] = col.refers_to(
        "calibration_frames.id", "master dark", on_delete="RESTRICT"
    )
    flat_frame_id: Mapped[uuid.UUID | None] = col.refers_to(
        "calibration_frames.id", "master flat", on_delete="RESTRICT"
    )
    bad_pixel_mask_id: Mapped[uuid.UUID | None] = col.refers_to(
        "calibration_frames.id", "bad-pixel mask", on_delete="RESTRICT"
    )
