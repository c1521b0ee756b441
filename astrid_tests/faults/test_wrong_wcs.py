"""Exposures whose WCS is wrong, through the whole chain: corrected or failed, each on its own."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from astrid_tests.faults.in_process import opened, partitions
from astrid_tests.faults.place import Places
from astrid_tests.faults.sky import (
    REFERENCE_NIGHT_MJD,
    SCIENCE_NIGHTS_MJD,
    deliver,
    frame,
    put,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def with_wcs(content: bytes, *, arcsec: float = 0.0, is_flipped: bool = False) -> bytes:
    """Return a frame whose header says another place on the sky, or the mirror image of it."""
    with fits.open(io.BytesIO(content)) as hdus:
        header = hdus["SCI"].header
        header["CRVAL2"] += arcsec / 3600
        if is_flipped:
            for key in ("CD1_1", "CD2_1", "PC1_1", "PC2_1"):
                if key in header:
                    header[key] = -header[key]
        hdus["SCI"].add_checksum(when="AstrID")
        out = io.BytesIO()
        hdus.writeto(out)
    return out.getvalue()


def test_a_wrong_wcs_is_corrected_or_fails_alone(places: Places):
    place = places.make()
    deliver(place.drop, {REFERENCE_NIGHT_MJD: 2})
    night = SCIENCE_NIGHTS_MJD[0]
    put(place.drop / "synthetic" / "right.fits", frame(night, 0))
    put(place.drop / "synthetic" / "off.fits", with_wcs(frame(night, 1), arcsec=20))
    put(place.drop / "synthetic" / "flipped.fits", with_wcs(frame(night, 2), is_flipped=True))
    with opened(place) as pipeline:
        outcomes = [pipeline.ingest(place.drop)]
        (first, tile), (second, same) = partitions(pipeline)
        assert tile == same
        outcomes += [pipeline.run_night(first, tile), pipeline.make_references(tile)]
        outcomes += [pipeline.run_night(second, tile)]
        assert [outcome.failures for outcome in outcomes if not outcome.is_success] == []
    names = {
        row["id"]: row["file_name"].rsplit("/", 1)[-1]
        for row in place.rows("observations")["observations"]
    }
    found = {
        names[row["observation_id"]]: row
        for row in place.rows("products")["products"]
        if row["asset"] == "difference_images" and row["verdict"] != "no_work"
    }
    assert found["right.fits"]["metrics"]["wcs_correction_arcsec"] == 0
    assert found["off.fits"]["metrics"]["wcs_correction_arcsec"] == pytest.approx(20, abs=0.1)
    assert "corrected by" in found["off.fits"]["metrics"]["wcs_correction_reason"]
    assert found["flipped.fits"]["verdict"] == "failed"
    assert "WCSContradictedError" in found["flipped.fits"]["reasons"][0]
    (transient,) = place.rows("transients")["transients"]
    detections = [row for row in place.rows("detections")["detections"] if row["is_accepted"]]
    assert len(detections) == 2
    for row in detections:
        east = (row["ra"] - transient["ra"]) * np.cos(np.radians(row["dec"]))
        assert np.hypot(east, row["dec"] - transient["dec"]) * 3600 < 0.2
    place.require_clean()
