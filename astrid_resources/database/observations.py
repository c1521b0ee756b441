"""Tables of what arrived: surveys, observations, files on their way in and in quarantine."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from astrid_resources.database import columns as col
from astrid_resources.database.base import Base, Identified, NightTile, SkyPosition, Timestamped


class DeliveryOutcome(StrEnum):
    """What ingest made of a delivered file at its last look."""

    WAITING = "waiting"
    INGESTED = "ingested"
    KNOWN = "known"
    QUARANTINED = "quarantined"


class Survey(Identified, Timestamped, Base):
    """A survey or a directory of files that images come from."""

    __tablename__ = "surveys"

    name: Mapped[str] = col.text("short unique name", unique=True)
    description: Mapped[str] = col.text("what it is", default="")
    base_url: Mapped[str | None] = col.text("home page")
    api_endpoint: Mapped[str | None] = col.text("where images are asked for")
    is_active: Mapped[bool] = col.flag("images are taken from it", default=True)
    capabilities: Mapped[dict[str, Any] | None] = col.json("what it can answer")
    header_mapping: Mapped[dict[str, Any] | None] = col.json("default header mapping")


class Observation(Identified, Timestamped, NightTile, SkyPosition, Base):
    """One detector's exposure; id from (survey name, observation_id, detector, content_sha256)."""

    __tablename__ = "observations"
    __table_args__ = (
        sa.UniqueConstraint(
            "survey_id",
            "observation_id",
            "detector",
            "content_sha256",
            name="uq_observations_natural_key",
        ),
        sa.Index(None, "night", "tile"),
        sa.Index(None, "is_current", "tile", "filter_band"),
        sa.Index(None, "content_sha256"),
        sa.Index(None, "mjd_mid"),
    )

    survey_id: Mapped[uuid.UUID] = col.refers_to(
        "surveys.id", "survey it comes from", on_delete="RESTRICT"
    )
    observation_id: Mapped[str] = col.text("the survey's own id of the exposure", ucd="obs.id")
    detector: Mapped[str] = col.text("detector; one file may hold several", default="")
    footprint: Mapped[list[list[float]]] = col.json("four corners, [[ra, dec], ...] in degrees")
    observation_time: Mapped[datetime] = col.instant("start of the exposure, UTC")
    mjd_mid: Mapped[float] = col.real(
        "mid-exposure, MJD, TAI", unit="d", ucd="time.epoch;obs.exposure", interval=col.MJD
    )
    filter_band: Mapped[str] = col.text("filter band", ucd="instr.bandpass")
    exposure_time: Mapped[float] = col.real(
        "exposure time", unit="s", ucd="time.duration;obs.exposure", interval="(0, 1e7]"
    )
    fits_url: Mapped[str | None] = col.text("where the file came from", ucd="meta.ref.url")
    file_name: Mapped[str] = col.text("name as delivered", default="")
    content_sha256: Mapped[str] = col.text("sha256 of the file we hold")
    raw_path: Mapped[str] = col.object_key("the file")
    size_bytes: Mapped[int | None] = col.whole(
        "size of the file", unit="byte", interval=f"[0, {2**62}]"
    )
    hdu: Mapped[int] = col.whole("index of the science HDU in the file", default=0)
    override_sha256: Mapped[str | None] = col.text(
        "hash of the sidecar row that corrected the header"
    )
    facts: Mapped[dict[str, Any]] = col.json("the translated header")
    width_pix: Mapped[int | None] = col.whole("width", unit="pix", interval="[1, 1000000]")
    height_pix: Mapped[int | None] = col.whole("height", unit="pix", interval="[1, 1000000]")
    pixel_scale: Mapped[float | None] = col.real(
        "pixel scale", unit="arcsec/pix", ucd="instr.scale", interval="(0, 36000]"
    )
    airmass: Mapped[float | None] = col.real("airmass", ucd="obs.airMass", interval="(0, 100]")
    seeing: Mapped[float | None] = col.real(
        "seeing stated by the header", unit="arcsec", ucd="instr.obsty.seeing", interval="(0, 3600]"
    )
    instrument: Mapped[str | None] = col.text("instrument", ucd="meta.id;instr")
    gain: Mapped[float | None] = col.real(
        "gain", unit="electron/adu", ucd="instr.det.gain", interval="(0, 1e6]"
    )
    read_noise: Mapped[float | None] = col.real(
        "read noise", unit="electron", ucd="instr.det.noise", interval="[0, 1e6]"
    )
    saturation_level: Mapped[float | None] = col.real(
        "saturation level", unit="adu", ucd="instr.saturation", interval="(0, 1e12]"
    )
    longitude: Mapped[float | None] = col.real(
        "site longitude, east-positive", unit="deg", ucd="pos.earth.lon", interval="(-180, 180]"
    )
    is_resampled: Mapped[bool] = col.flag("was resampled before it came to us")
    is_sky_subtracted: Mapped[bool] = col.flag("its sky was removed before it came to us")
    is_synthetic: Mapped[bool] = col.flag("made by the synthetic sky, not observed")
    is_current: Mapped[bool] = col.flag(
        "false once newer content of the same exposure arrived", default=True
    )


class QuarantinedFile(Identified, Timestamped, Base):
    """A delivered file that could not be taken, with the reason; id from its sha256."""

    __tablename__ = "quarantined_files"
    __table_args__ = (sa.Index(None, "reason_code"),)

    sha256: Mapped[str] = col.text("sha256 of the file", unique=True)
    name: Mapped[str] = col.text("name as delivered")
    size: Mapped[int] = col.whole("size", unit="byte", interval=f"[0, {2**62}]")
    reason_code: Mapped[str] = col.text("stable code of the reason")
    reason: Mapped[str] = col.text("the reason, for a person")
    stored_path: Mapped[str | None] = col.object_key("the file, where it was kept")
    first_seen: Mapped[datetime] = col.instant("first delivery")
    last_seen: Mapped[datetime] = col.instant("last delivery")
    n_deliveries: Mapped[int] = col.whole("how often it was delivered", default=1)


class DeliveredFile(Identified, Timestamped, Base):
    """A file in the drop folder at ingest's last look; id from (folder, name)."""

    __tablename__ = "delivered_files"
    __table_args__ = (sa.UniqueConstraint("folder", "name"), sa.Index(None, "outcome"))

    folder: Mapped[str] = col.text("drop folder")
    name: Mapped[str] = col.text("name relative to the drop folder")
    size: Mapped[int] = col.whole("size", unit="byte", interval=f"[0, {2**62}]")
    mtime_ns: Mapped[int] = col.whole("modification time", unit="ns", interval=f"[0, {2**62}]")
    sha256: Mapped[str | None] = col.text("sha256 of the file, once it was read")
    outcome: Mapped[DeliveryOutcome] = col.choice(DeliveryOutcome, "what ingest made of it")
    sidecar_sha256: Mapped[str | None] = col.text("hash of the sidecar row that held for it")
    seen_at: Mapped[datetime] = col.instant("last look")
