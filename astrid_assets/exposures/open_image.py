"""A detrended image file at hand, for the command line: no database, no declared survey needed.

The usual cards are read as the shipped survey `directory` declares them; a file that a shipped
sidecar names by sha256 is read as that survey's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits

from astrid_assets.exposures.bytestream import file_sha256
from astrid_assets.exposures.decode import read_in_process
from astrid_assets.exposures.fits_worker import ScienceHDU, UnreadableError, decode_mask
from astrid_assets.exposures.header_values import checked_number, number_fact, start_of, text_fact
from astrid_assets.exposures.headers import Correction, corrected_header
from astrid_assets.exposures.load import raw_exposure
from astrid_assets.exposures.night import offline_time
from astrid_assets.exposures.noise_model import noise_from_variance
from astrid_assets.exposures.prescan import prescan
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.sidecar import NOTHING, SidecarRow, read_sidecar
from astrid_assets.exposures.survey import FieldRule, SurveyConfig, holds, load_surveys
from astrid_resources.images import ImageMeta, RawExposure

_GENERIC = "directory"
_NOISE = ("gain_e_per_adu", "read_noise_e", "saturation_adu")


def open_raw(path: Path, *, mask_path: Path | None = None, hdu: int | None = None) -> RawExposure:
    """Return the image in a FITS file: detrended counts with sky and cosmic rays still in.

    It needs a celestial WCS, and GAIN, RDNOISE and SATURATE; where the file has a VAR extension,
    gain and read noise that its header lacks are fitted to it, and with a MASK extension (or
    `mask_path`) SATURATE may be missing: the largest unmasked pixel then bounds it.
    mask_path: a FITS file whose image of the same shape is not zero at bad pixels.
    hdu: the extension, where the file holds several images.
    A wrong CHECKSUM is told in the header's HISTORY: many programs leave old ones in edited files.
    Raises RejectedFile with the reason where the file cannot be used.
    """
    scan = prescan(path)
    decoded = read_in_process(path, only_hdu=hdu)
    if len(decoded.images) > 1:
        found = ", ".join(f"{image.index} ({image.name})" for image in decoded.images)
        raise RejectedFile(
            f"{path.name} holds {len(decoded.images)} images, in extensions {found}: choose one",
            reason=Reason.AMBIGUOUS_IMAGE,
        )
    image = decoded.images[0]
    if mask_path is not None:
        bad = read_mask(mask_path, shape=(image.data.shape[0], image.data.shape[1]))
        image.bad = bad if image.bad is None else image.bad | bad
    survey, row = _known_as(path, image.header)
    header, meta = _facts(image, survey, row, name=path.name)
    if scan.has_wrong_checksum:
        header.add_history("AstrID: CHECKSUM or DATASUM of the file does not agree with its bytes")
    return raw_exposure(
        image,
        meta=meta,
        header=header,
        data_scale=1.0,
        is_sky_subtracted=holds(image.header, survey.sky_subtracted),
    )


def read_mask(path: Path, *, shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where a mask file is not zero, after the same safety checks; raises RejectedFile."""
    prescan(path)
    try:
        return decode_mask(path, shape=shape)
    except UnreadableError as problem:
        raise RejectedFile(f"{path.name}: {problem.text}", reason=Reason(problem.reason)) from None


def _known_as(path: Path, header: Mapping[str, Any]) -> tuple[SurveyConfig, SidecarRow]:
    surveys = load_surveys()
    for survey in surveys.values():
        if survey.is_matched_by(header):
            row = NOTHING
            if survey.sidecar_path is not None:
                sidecar = read_sidecar(survey.sidecar_path)
                row = sidecar.row_for(file="", sha256=file_sha256(path))
            return survey, row
    return surveys[_GENERIC], NOTHING


def _facts(
    image: ScienceHDU, survey: SurveyConfig, row: SidecarRow, *, name: str
) -> tuple[fits.Header, ImageMeta]:
    stated = dict(row.facts)

    def number(fact: str) -> float | None:
        if fact in stated:
            return checked_number(fact, stated[fact], "the sidecar")
        return number_fact(fact, image.header, survey.fields.get(fact, FieldRule()))

    noise = {fact: number(fact) for fact in _NOISE}
    noise, history = _completed(noise, image, name=name)
    exposure_time_s = number("exposure_time_s")
    band = stated.get("filter_band") or text_fact(
        image.header, survey.fields.get("filter_band", FieldRule())
    )
    start = stated.get("time_start_utc")
    header = corrected_header(
        image.header,
        ()
        if start is None
        else (Correction("DATE-OBS", start, str(image.header.get("DATE-OBS"))),),
    )
    if start is not None:
        for key in ("MJD-OBS", "TIMESYS"):
            header.remove(key, ignore_missing=True)
    for line in history:
        header.add_history(line)
    meta = ImageMeta(
        gain_e_per_adu=float(noise["gain_e_per_adu"] or 0.0),
        read_noise_e=float(noise["read_noise_e"] or 0.0),
        saturation_adu=float(noise["saturation_adu"] or 0.0),
        exposure_time_s=exposure_time_s,
        mjd_mid_tai=_middle(header, survey, exposure_time_s),
        filter_band=band,
        survey=survey.name if survey.name != _GENERIC else None,
        is_resampled=holds(image.header, survey.resampled),
        is_synthetic=holds(image.header, survey.synthetic),
    )
    return header, replace(meta, sky_level_adu=number("sky_level_adu"))


def _completed(
    noise: dict[str, float | None], image: ScienceHDU, *, name: str
) -> tuple[dict[str, float | None], list[str]]:
    out, history = dict(noise), []
    if image.variance is not None and None in (out["gain_e_per_adu"], out["read_noise_e"]):
        model = noise_from_variance(image.data, image.variance, bad=image.bad)
        for fact, value in zip(_NOISE[:2], (model.gain_e_per_adu, model.read_noise_e), strict=True):
            if out[fact] is None:
                out[fact] = value
                history.append(f"AstrID: {fact} = {value:.6g}, fitted to the variance plane")
    if out["saturation_adu"] is None and image.bad is not None:
        good = image.data[~image.bad & np.isfinite(image.data)]
        if good.size:
            out["saturation_adu"] = float(np.nextafter(good.max(), np.float32(np.inf)))
            history.append("AstrID: saturation taken above the largest unmasked pixel")
    missing = [fact for fact in _NOISE if out[fact] is None]
    if missing:
        raise RejectedFile(
            f"{name} does not state {', '.join(missing)}: give the cards GAIN, RDNOISE and "
            "SATURATE, or extensions VAR and MASK",
            reason=Reason.MISSING_VALUE,
            missing=missing,
        )
    return out, history


def _middle(
    header: fits.Header, survey: SurveyConfig, exposure_time_s: float | None
) -> float | None:
    try:
        start = start_of(header, survey.time, exposure_time_s=exposure_time_s or 0.0)
    except RejectedFile:
        return None
    with offline_time():
        return float((start + (exposure_time_s or 0.0) / 2 * u.s).mjd)
