"""The pixels of an ingested observation, for calibration: from the stored file and its facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from astrid_assets.exposures.decode import read_in_process
from astrid_assets.exposures.fits_worker import ScienceHDU
from astrid_assets.exposures.headers import Correction, corrected_header
from astrid_resources.images import ImageMeta, RawExposure
from astrid_resources.images.fits_form import wcs_from_header


class ObservationRow(Protocol):
    """What is needed of a row of `observations`."""

    id: UUID
    hdu: int
    facts: dict[str, Any]


def load_raw(observation: ObservationRow, path: Path) -> RawExposure:
    """Return one ingested exposure: counts of the whole exposure, its planes, the corrected header.

    observation: its row; the facts recorded at ingest hold, not the file's own header.
    path: the stored file, whose content hash was verified when it was fetched. Its bytes were
    decoded in the limited child process before they were registered.
    Raises RejectedFile where the extension is not what was registered.
    """
    facts = observation.facts
    decoded = read_in_process(
        path,
        cards=dict(facts["cards"]),
        ignored_bits=int(facts["mask_ignored_bits"]),
        only_hdu=observation.hdu,
    )
    image = decoded.images[0]
    corrections = tuple(
        Correction(item["card"], item["value"], item["old"]) for item in facts["corrections"]
    )
    return raw_exposure(
        image,
        meta=meta_of(facts, observation_id=str(observation.id)),
        header=corrected_header(image.header, corrections),
        data_scale=float(facts["data_scale"]),
        is_sky_subtracted=bool(facts["is_sky_subtracted"]),
    )


def meta_of(facts: Mapping[str, Any], *, observation_id: str | None) -> ImageMeta:
    """Return the image's meta data from the facts of its exposure."""
    return ImageMeta(
        gain_e_per_adu=facts["gain_e_per_adu"],
        read_noise_e=facts["read_noise_e"],
        saturation_adu=facts["saturation_adu"],
        exposure_time_s=facts["exposure_time_s"],
        mjd_mid_tai=facts["mjd_mid_tai"],
        filter_band=facts["filter_band"],
        survey=facts["survey"],
        observation_id=observation_id,
        zero_point_ab_mag=facts["zero_point_ab_mag"],
        zero_point_err=facts["zero_point_err"],
        sky_level_adu=facts["sky_level_adu"],
        is_resampled=facts["is_resampled"],
        is_synthetic=facts["is_synthetic"],
    )


def raw_exposure(
    image: ScienceHDU,
    *,
    meta: ImageMeta,
    header: fits.Header,
    data_scale: float,
    is_sky_subtracted: bool,
) -> RawExposure:
    """Return a decoded image as the exposure that calibration takes.

    data_scale: counts of the whole exposure = pixel values times this.
    """
    scale = np.float32(data_scale)
    data, variance = image.data, image.variance
    if data_scale != 1:
        data = data * scale
        variance = None if variance is None else variance * scale * scale
    return RawExposure(
        data,
        settled_wcs(header, shape=(data.shape[0], data.shape[1])),
        meta,
        header=header,
        variance=variance,
        bad=image.bad,
        is_sky_subtracted=is_sky_subtracted,
    )


def settled_wcs(header: fits.Header, *, shape: tuple[int, int]) -> WCS:
    """Return the WCS of an image of `shape` (ny, nx), its frame named."""
    wcs = wcs_from_header(header)
    if not wcs.wcs.radesys:
        wcs.wcs.radesys = "ICRS"
    wcs.array_shape = shape
    return wcs
