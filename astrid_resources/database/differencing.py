"""Tables of differencing: reference images, difference runs and candidates."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from astrid_resources.database import columns as col
from astrid_resources.database.base import (
    Base,
    Identified,
    NightTile,
    Produced,
    SkyPosition,
    Timestamped,
)
from astrid_resources.database.preprocessing import RunStatus
from astrid_resources.products import Verdict


class CandidateStatus(StrEnum):
    """How far a candidate came."""

    NEW = "new"
    REJECTED = "rejected"
    SCORED = "scored"


class ReferenceImage(Identified, Timestamped, Produced, Base):
    """A version of the reference of a tile, survey and filter; versions are kept."""

    __tablename__ = "reference_images"
    __table_args__ = (
        sa.Index(None, "tile", "survey_id", "filter_band", "is_current"),
        sa.Index(None, "content_sha256"),
        sa.Index(None, "product_id"),
        {"info": {"keeps_versions": True}},
    )

    tile: Mapped[str] = col.text("tile it serves")
    survey_id: Mapped[uuid.UUID] = col.refers_to(
        "surveys.id", "survey of its inputs", on_delete="RESTRICT"
    )
    filter_band: Mapped[str] = col.text("filter band", ucd="instr.bandpass")
    product_id: Mapped[str] = col.text("id of the product", ucd="meta.id")
    input_observation_ids: Mapped[list[str]] = col.json("observation row ids of its inputs")
    input_nights: Mapped[list[str]] = col.json("nights of its inputs, ISO dates, sorted")
    first_night: Mapped[date | None] = mapped_column(
        sa.Date(), info={"description": "first input night", "unit": "", "ucd": "time.start"}
    )
    last_night: Mapped[date | None] = mapped_column(
        sa.Date(), info={"description": "last input night", "unit": "", "ucd": "time.end"}
    )
    n_inputs: Mapped[int] = col.whole("number of inputs", interval="[1, 100000]")
    image_path: Mapped[str] = col.object_key("the reference image")
    content_sha256: Mapped[str] = col.text("sha256 of the reference image")
    footprint: Mapped[list[list[float]] | None] = col.json("four corners, [[ra, dec], ...], deg")
    limiting_mag_5sigma: Mapped[float | None] = col.real(
        "5-sigma depth, AB", unit="mag", ucd="phot.mag;stat.max", interval=col.MAGNITUDE
    )
    limiting_flux_5sigma: Mapped[float | None] = col.real(
        "5-sigma flux of a point source",
        unit="adu",
        ucd="phot.flux;stat.min",
        interval=col.NOT_NEGATIVE,
    )
    psf_fwhm_pix: Mapped[float | None] = col.real(
        "FWHM of its PSF", unit="pix", ucd="instr.det.psf", interval="(0, 10000]"
    )
    coverage_fraction: Mapped[float | None] = col.real(
        "fraction of its pixels with data", interval=col.FRACTION
    )
    version: Mapped[int] = col.whole("version, counted per tile, survey and filter", default=1)
    is_current: Mapped[bool] = col.flag("the promoted reference", set_once=True)
    promoted_at: Mapped[datetime | None] = col.instant("when it was promoted", set_once=True)


class DifferenceRun(Identified, Timestamped, NightTile, Produced, Base):
    """A subtraction of one observation, or the record that there was none to make.

    Id from (observation row id, stage, reference sha256, algorithm); without a reference the
    status is no_work, the reason says why, and the reference columns are null.
    """

    __tablename__ = "difference_runs"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "status"),
        sa.Index(None, "product_id"),
        sa.CheckConstraint(
            "status <> 'completed' OR reference_image_id IS NOT NULL "
            "OR reference_observation_id IS NOT NULL",
            name="completed_has_reference",
        ),
    )

    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the science exposure")
    reference_image_id: Mapped[uuid.UUID | None] = col.refers_to(
        "reference_images.id", "the reference", on_delete="RESTRICT"
    )
    reference_observation_id: Mapped[uuid.UUID | None] = col.refers_to(
        "observations.id", "the reference, where it is one exposure", on_delete="RESTRICT"
    )
    reference_sha256: Mapped[str | None] = col.text("sha256 of the reference that was subtracted")
    product_id: Mapped[str | None] = col.text("id of the difference product", ucd="meta.id")
    algorithm: Mapped[str] = col.text("what really ran", default="zogy")
    parameters: Mapped[dict[str, Any] | None] = col.json("its parameters")
    status: Mapped[RunStatus] = col.choice(RunStatus, "how far it came")
    reason_code: Mapped[str | None] = col.text("code of the reason of no work or failure")
    reason: Mapped[str | None] = col.text("the reason, for a person")
    difference_image_path: Mapped[str | None] = col.object_key("the difference")
    significance_map_path: Mapped[str | None] = col.object_key("the file with score_corrected")
    content_sha256: Mapped[str | None] = col.text("sha256 of the difference file")
    noise_level: Mapped[float | None] = col.real(
        "blank-sky scatter of the difference",
        unit="adu",
        ucd="stat.stdev",
        interval=col.NOT_NEGATIVE,
    )
    detection_threshold: Mapped[float | None] = col.real(
        "threshold on score_corrected",
        unit="sigma",
        interval="(0, 1000]",
        told_by=("candidates", "detection_threshold"),
    )
    candidates_found: Mapped[int | None] = col.whole(
        "candidates above the threshold", told_by=("candidates", "n_candidates")
    )
    score_median: Mapped[float | None] = col.real(
        "blank-sky median of score_corrected before scaling"
    )
    score_std: Mapped[float | None] = col.real(
        "blank-sky scatter of score_corrected before scaling", interval=col.NOT_NEGATIVE
    )
    score_tail_fraction: Mapped[float | None] = col.real(
        "fraction of blank sky beyond 4 sigma before scaling", interval=col.FRACTION
    )
    n_blank_elements: Mapped[int | None] = col.whole("independent blank-sky elements")
    flux_ratio: Mapped[float | None] = col.real(
        "reference counts per science count", interval="(0, 1e12]"
    )
    shift_x_pix: Mapped[float | None] = col.real("residual shift in x", unit="pix")
    shift_y_pix: Mapped[float | None] = col.real("residual shift in y", unit="pix")
    n_matched_stars: Mapped[int | None] = col.whole("common stars of shift and flux ratio")
    residual_power_ratio: Mapped[float | None] = col.real(
        "residual power at stars over expectation", interval=col.NOT_NEGATIVE
    )
    noise_scale_factor: Mapped[float | None] = col.real(
        "measured factor applied to score and flux error", interval=col.POSITIVE
    )
    limiting_mag_5sigma: Mapped[float | None] = col.real(
        "median 5-sigma depth of the difference, AB",
        unit="mag",
        ucd="phot.mag;stat.max",
        interval=col.MAGNITUDE,
    )
    limiting_flux_5sigma: Mapped[float | None] = col.real(
        "median 5-sigma flux of a point source",
        unit="adu",
        ucd="phot.flux;stat.min",
        interval=col.NOT_NEGATIVE,
    )
    astrometric_noise_x: Mapped[float | None] = col.real(
        "registration scatter in x", unit="pix", interval="[0, 1000]"
    )
    astrometric_noise_y: Mapped[float | None] = col.real(
        "registration scatter in y", unit="pix", interval="[0, 1000]"
    )
    psf_model_error: Mapped[float | None] = col.real(
        "fractional error of the PSF model", interval="[0, 10]"
    )
    coverage_fraction: Mapped[float | None] = col.real(
        "fraction of the science frame that was searched", interval=col.FRACTION
    )
    searched_area_mpix: Mapped[float | None] = col.real(
        "searched area", unit="Mpix", interval=col.NOT_NEGATIVE
    )
    verdict: Mapped[Verdict] = col.choice(Verdict, "quality verdict")
    verdict_reasons: Mapped[list[str] | None] = col.json("reasons of the verdict, with numbers")
    processing_time_seconds: Mapped[float | None] = col.real(
        "time it took", unit="s", interval=col.NOT_NEGATIVE
    )
    error_message: Mapped[str | None] = col.text("why it failed")


class Candidate(Identified, Timestamped, NightTile, SkyPosition, Produced, Base):
    """A source of a difference image before the model; id from (difference run, (y, x) rank)."""

    __tablename__ = "candidates"
    __table_args__ = (
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "status"),
        sa.Index(None, "significance"),
        sa.Index(None, "rejection_rule"),
    )

    difference_run_id: Mapped[uuid.UUID] = col.refers_to("difference_runs.id", "its subtraction")
    observation_id: Mapped[uuid.UUID] = col.refers_to("observations.id", "the science exposure")
    rank: Mapped[int | None] = col.whole("rank in (y, x) order within its run")
    ra_error: Mapped[float | None] = col.real(
        "error of ra times cos dec",
        unit="arcsec",
        ucd="stat.error;pos.eq.ra",
        interval="[0, 36000]",
    )
    dec_error: Mapped[float | None] = col.real(
        "error of dec", unit="arcsec", ucd="stat.error;pos.eq.dec", interval="[0, 36000]"
    )
    mjd_mid: Mapped[float | None] = col.real(
        "mid-exposure, MJD, TAI", unit="d", ucd="time.epoch;obs.exposure", interval=col.MJD
    )
    filter_band: Mapped[str | None] = col.text("filter band", ucd="instr.bandpass")
    pixel_x: Mapped[float] = col.real(
        "x, 0-based, integer at the pixel centre",
        unit="pix",
        ucd="pos.cartesian.x;instr.det",
        interval="[-1000000, 1000000]",
    )
    pixel_y: Mapped[float] = col.real(
        "y, 0-based, integer at the pixel centre",
        unit="pix",
        ucd="pos.cartesian.y;instr.det",
        interval="[-1000000, 1000000]",
    )
    flux: Mapped[float] = col.real("PSF flux, science counts, signed", unit="adu", ucd="phot.flux")
    flux_error: Mapped[float] = col.real(
        "error of flux", unit="adu", ucd="stat.error;phot.flux", interval=col.POSITIVE
    )
    flux_njy: Mapped[float | None] = col.real(
        "PSF flux where a zero point is known, signed", unit="nJy", ucd="phot.flux.density"
    )
    flux_njy_error: Mapped[float | None] = col.real(
        "error of flux_njy",
        unit="nJy",
        ucd="stat.error;phot.flux.density",
        interval=col.NOT_NEGATIVE,
    )
    aperture_flux: Mapped[float | None] = col.real(
        "aperture flux on the difference, signed", unit="adu", ucd="phot.flux"
    )
    aperture_flux_error: Mapped[float | None] = col.real(
        "error of aperture_flux", unit="adu", ucd="stat.error;phot.flux", interval=col.NOT_NEGATIVE
    )
    significance: Mapped[float] = col.real(
        "score_corrected interpolated at the fitted position", unit="sigma", ucd="stat.snr"
    )
    snr: Mapped[float] = col.real("flux / flux_error", ucd="stat.snr")
    is_negative: Mapped[bool] = col.flag("fainter than in the reference")
    fwhm: Mapped[float | None] = col.real("FWHM", unit="pix", interval="[0, 100000]")
    ellipticity: Mapped[float | None] = col.real(
        "ellipticity", ucd="src.ellipticity", interval=col.FRACTION
    )
    position_angle: Mapped[float | None] = col.real(
        "position angle, east of north", unit="deg", ucd="pos.posAng", interval="[-360, 360]"
    )
    chi2: Mapped[float | None] = col.real(
        "reduced chi-squared of the PSF fit", ucd="stat.fit.chi2", interval=col.NOT_NEGATIVE
    )
    is_saturated: Mapped[bool] = col.flag("touches a saturated pixel")
    is_blended: Mapped[bool] = col.flag("overlaps another candidate")
    is_edge: Mapped[bool] = col.flag("touches the edge of the data")
    is_dipole: Mapped[bool] = col.flag("a positive and a negative lobe side by side")
    is_trailed: Mapped[bool] = col.flag("longer than a point source")
    is_flux_masked: Mapped[bool] = col.flag(
        "masked pixels in the footprint make its flux uncertain"
    )
    mask_bits: Mapped[int] = col.whole(
        "union of the mask planes in the footprint", interval="[0, 4294967295]", default=0
    )
    masked_fraction: Mapped[float] = col.real(
        "masked fraction of the footprint", interval=col.FRACTION, default=0.0
    )
    positive_pixel_fraction: Mapped[float | None] = col.real(
        "fraction of positive pixels in the footprint", interval=col.FRACTION
    )
    dipole_ratio: Mapped[float | None] = col.real(
        "strongest opposite score close by over its own", interval=col.NOT_NEGATIVE
    )
    nearest_reference_distance_arcsec: Mapped[float | None] = col.real(
        "distance to the nearest reference source",
        unit="arcsec",
        ucd="pos.angDistance",
        interval="[0, 648000]",
    )
    nearest_reference_flux: Mapped[float | None] = col.real(
        "flux of the nearest reference source, science counts", unit="adu", ucd="phot.flux"
    )
    nearest_reference_is_star: Mapped[bool | None] = col.flag(
        "the nearest reference source is a star", default=None
    )
    reference_star_flux_ratio: Mapped[float | None] = col.real(
        "absolute flux over that of the reference star it may be a residual of",
        interval=col.NOT_NEGATIVE,
    )
    other_score: Mapped[float | None] = col.real(
        "score_corrected of a second algorithm at the fitted position, where one ran",
        unit="sigma",
        ucd="stat.snr",
        sort_order=201,
    )
    status: Mapped[CandidateStatus] = col.choice(
        CandidateStatus, "how far it came", default=CandidateStatus.NEW
    )
    rejection_rule: Mapped[str | None] = col.text("first rule that failed; null when accepted")
    rejection_value: Mapped[float | None] = col.real("the value that failed it")
