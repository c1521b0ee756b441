"""Ingest of a drop folder: nothing lost, nothing invented, one bad file never sinks another."""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.exposures.load import load_raw
from astrid_assets.exposures.night import night_of
from astrid_assets.imaging.synthetic import Epoch, make_field, render, to_fits
from astrid_resources.database import DeliveredFile, DeliveryOutcome
from astrid_resources.identity import row_id, sha256_bytes
from astrid_tests.exposures.conftest import Place
from astrid_tests.exposures.fits_files import as_bytes, header, hostile, image, pixels


def content(seed: int, **cards: object) -> bytes:
    return as_bytes(image(seed, **cards), checksum=True)


def test_a_file_becomes_an_observation_with_its_facts(place: Place) -> None:
    sent = content(1)
    place.put("directory/a.fits", sent)
    report = place.look()
    assert report.counts()["n_ingested"] == 1
    (row,) = place.observations
    assert row.id == row_id("observations", "directory", "a", "", sha256_bytes(sent))
    assert (row.night, row.filter_band, row.exposure_time) == (date(2020, 6, 9), "r", 60.0)
    assert row.content_sha256 == sha256_bytes(sent)
    assert row.ra == pytest.approx(150.0, abs=1e-4)
    assert report.partitions == ((row.night, row.tile),)
    assert place.store.get_bytes(row.raw_path) == sent


def test_a_second_look_changes_nothing_at_all(place: Place) -> None:
    place.put("directory/a.fits", content(1))
    place.put("directory/bad.fits", b"nothing")
    place.look()
    before = place.everything()
    report = place.look()
    assert report.n_unchanged == 2
    assert not report.ingested + report.quarantined
    assert place.everything() == before


def test_every_bad_file_is_filed_and_the_good_one_goes_on(place: Place) -> None:
    bad = hostile()
    for name, (sent, _) in bad.items():
        place.put(f"directory/{name}", sent)
    place.put("directory/zz_good.fits", content(50))
    report = place.look()
    assert [row.observation_id for row in place.observations] == ["zz_good"]
    got = {row.name.split("/")[1]: row for row in place.quarantined}
    assert {name: row.reason_code for name, row in got.items()} == {
        name: reason for name, (_, reason) in bad.items()
    }
    assert all(len(row.reason) > 20 and row.n_deliveries == 1 for row in got.values())
    assert got["truncated.fits"].sha256 == sha256_bytes(bad["truncated.fits"][0])
    assert report.counts()["n_quarantined"] == len(bad)
    assert place.store.get_bytes(got["text.fits"].stored_path) == bad["text.fits"][0]


def test_the_same_content_again_adds_nothing(place: Place) -> None:
    sent = content(1)
    place.put("directory/a.fits", sent)
    place.look()
    before = place.observations[0].updated_at
    place.put("directory/renamed.fits", sent)
    place.put("directory/sub/a.fits", sent)
    report = place.look()
    assert sorted(report.known) == ["directory/renamed.fits", "directory/sub/a.fits"]
    assert len(place.observations) == 1
    assert place.observations[0].updated_at == before
    place.put("directory/a.fits", sent, mtime=1.1e9)
    assert place.look().known == ["directory/a.fits"]
    assert len(place.observations) == 1


def test_poison_is_counted_once_a_delivery(place: Place) -> None:
    place.put("directory/x.fits", b"junk")
    place.look()
    place.look()
    assert place.quarantined[0].n_deliveries == 1
    place.put("directory/y.fits", b"junk")
    place.look()
    (row,) = place.quarantined
    assert (row.n_deliveries, row.name) == (2, "directory/x.fits")
    assert row.last_seen > row.first_seen


def test_new_content_under_the_same_name_is_the_next_version(place: Place) -> None:
    place.put("directory/a.fits", content(1))
    place.look()
    (first,) = place.observations
    place.put("directory/a.fits", content(2), mtime=1.1e9)
    report = place.look()
    assert report.ingested[0].n_superseded == 1
    current = {row.content_sha256: row.is_current for row in place.observations}
    assert current == {first.content_sha256: False, sha256_bytes(content(2)): True}
    place.put("directory/old.fits", content(1))
    assert place.look().known == ["directory/old.fits"]
    assert {row.content_sha256: row.is_current for row in place.observations} == current


def test_a_new_version_may_move_to_another_night(place: Place) -> None:
    place.put("directory/a.fits", content(1))
    place.look()
    place.put("directory/a.fits", content(1, **{"DATE-OBS": "2020-06-13T06:00:00"}), mtime=1.1e9)
    report = place.look()
    assert [night for night, _ in report.partitions] == [date(2020, 6, 9), date(2020, 6, 12)]


def test_one_id_for_different_exposures_is_refused_not_superseded(place: Place) -> None:
    place.put("directory/a.fits", content(1, OBSID="program 7"))
    place.put(
        "directory/b.fits", content(2, OBSID="program 7", **{"DATE-OBS": "2020-06-10T07:00:00"})
    )
    report = place.look()
    assert [entry.reason for entry in report.quarantined] == ["id_conflict"]
    assert [row.is_current for row in place.observations] == [True]


def test_a_growing_file_waits_until_it_is_quiet(place: Place) -> None:
    sent = content(1)
    place.put("directory/a.fits", sent[:5000], mtime=place.now.timestamp() - 1)
    report = place.look()
    assert [item.name for item in report.waiting] == ["directory/a.fits"]
    assert not place.observations
    assert not place.quarantined
    place.put("directory/a.fits", sent, mtime=place.now.timestamp())
    assert place.look().waiting
    place.now += timedelta(seconds=60)
    assert place.look().counts()["n_ingested"] == 1
    assert [row.outcome for row in place.rows(DeliveredFile)] == [DeliveryOutcome.INGESTED]


def test_a_time_in_the_future_settles_between_two_looks(place: Place) -> None:
    place.put("directory/a.fits", content(1), mtime=place.now.timestamp() + 1e6)
    assert place.look().waiting
    assert place.look().waiting
    place.now += timedelta(seconds=60)
    assert place.look().counts()["n_ingested"] == 1


def test_several_detectors_share_one_content_hash(place: Place) -> None:
    hdus = [fits.PrimaryHDU(header=fits.Header({"OBSID": "exp1"}))]
    for number in (1, 2, 3):
        hdu = fits.ImageHDU(pixels(number), header(CRVAL1=150 + number), name=f"CCD{number}")
        hdus.append(hdu)
    hdus[3].data[:] = np.nan
    place.put("directory/m.fits", as_bytes(*hdus))
    report = place.look()
    rows = place.observations
    assert sorted((row.observation_id, row.detector, row.hdu) for row in rows) == [
        ("exp1", "CCD1", 1),
        ("exp1", "CCD2", 2),
    ]
    assert len({row.content_sha256 for row in rows}) == 1
    assert len({row.id for row in rows}) == 2
    (entry,) = report.quarantined
    assert entry.reason == "partly_accepted"
    assert "extension 3: no_finite_pixels" in entry.text
    for row in rows:
        with place.store.fetch(row.raw_path) as path:
            raw = load_raw(row, path)
        np.testing.assert_array_equal(raw.data, pixels(row.hdu))


def test_detectors_without_a_name_are_told_apart(place: Place) -> None:
    hdus = [fits.ImageHDU(pixels(n), header(OBSID="e", DETECTOR="x")) for n in (1, 2)]
    place.put("directory/m.fits", as_bytes(fits.PrimaryHDU(), *hdus))
    place.look()
    assert sorted(row.detector for row in place.observations) == ["x-hdu1", "x-hdu2"]


def test_a_changed_sidecar_row_moves_its_exposure(place: Place) -> None:
    sent = content(1)
    place.put("directory/a.fits", sent)
    place.put("directory/b.fits", content(2, **{"DATE-OBS": "2020-06-10T07:00:00"}))
    place.look()
    row = "file,time_start_utc\na.fits,2020-06-12T06:00:00\n"
    place.put("directory/sidecar.csv", row.encode())
    report = place.look()
    assert [item.name for item in report.ingested] == ["directory/a.fits"]
    assert not report.ingested[0].is_new
    assert [night for night, _ in report.partitions] == [date(2020, 6, 9), date(2020, 6, 11)]
    moved = {item.file_name: item for item in place.observations}["directory/a.fits"]
    assert moved.night == date(2020, 6, 11)
    assert moved.override_sha256 is not None
    before = place.everything()
    assert not place.look().ingested
    assert place.everything() == before
    with place.store.fetch(moved.raw_path) as path:
        raw = load_raw(moved, path)
    assert raw.header["DATE-OBS"].startswith("2020-06-12T06:00:00")
    assert "AstrID sidecar: DATE-OBS was 2020-06-10T06:00:00" in list(raw.header["HISTORY"])
    assert raw.meta.mjd_mid_tai == moved.mjd_mid
    assert night_of(moved.mjd_mid, longitude_east_deg=-70.8) == moved.night


def test_a_sidecar_row_reaches_files_that_left_the_folder(place: Place) -> None:
    sent = content(1)
    path = place.put("directory/a.fits", sent)
    place.look()
    path.unlink()
    table = f"sha256,filter_band\n{sha256_bytes(sent)},i\n"
    sidecar = place.put("directory/sidecar.csv", table.encode())
    assert len(place.look().ingested) == 1
    assert [row.filter_band for row in place.observations] == ["i"]
    assert not place.rows(DeliveredFile)
    sidecar.unlink()
    assert not place.look().ingested
    assert [row.filter_band for row in place.observations] == ["i"]


def test_a_sidecar_mends_a_file_in_quarantine(place: Place) -> None:
    place.put("directory/a.fits", content(1, FILTER=None))
    assert [entry.reason for entry in place.look().quarantined] == ["missing_value"]
    place.put("directory/sidecar.csv", b"file,filter_band\na.fits,g\n")
    assert place.look().counts()["n_ingested"] == 1
    assert not place.quarantined


def test_an_unreadable_sidecar_makes_its_files_wait(place: Place) -> None:
    place.put("directory/a.fits", content(1))
    place.put("synthetic/b.fits", content(2, SYNTHET=True))
    place.put("directory/sidecar.csv", b"file,colour\na.fits,blue\n")
    report = place.look()
    assert [item.name for item in report.waiting] == ["directory/a.fits"]
    assert "colour" in report.waiting[0].why
    assert [item.name for item in report.ingested] == ["synthetic/b.fits"]


def test_a_wrong_checksum_is_taken_where_the_sidecar_names_the_hash(place: Place) -> None:
    sent = bytearray(content(1))
    sent[-3000] ^= 1
    place.put("directory/a.fits", bytes(sent))
    assert [entry.reason for entry in place.look().quarantined] == ["wrong_checksum"]
    sha256 = sha256_bytes(bytes(sent))
    place.put("directory/sidecar.csv", f"sha256,filter_band\n{sha256},r\n".encode())
    assert place.look().counts()["n_ingested"] == 1
    assert not place.quarantined


def test_the_survey_comes_from_the_folder_or_from_the_header(place: Place) -> None:
    place.put("top.fits", content(1))
    place.put("made.fits", content(2, SYNTHET=True))
    place.put("nonsense/c.fits", content(3))
    report = place.look()
    assert {entry.name: entry.reason for entry in report.quarantined} == {
        "top.fits": "no_survey",
        "nonsense/c.fits": "no_survey",
    }
    assert [(item.name, item.survey) for item in report.ingested] == [("made.fits", "synthetic")]
    assert place.observations[0].is_synthetic


def test_names_are_never_paths_and_odd_names_do_no_harm(place: Place) -> None:
    names = ["directory/ü b'c;--.fits", "directory/=1+1.fits", "directory/a\nb.fits"]
    for number, name in enumerate(names):
        place.put(name, content(number, **{"DATE-OBS": f"2020-06-1{number}T06:00:00"}))
    raw_name = os.fsencode(place.folder / "directory") + b"/\xff.fits"
    with open(raw_name, "wb") as stream:  # noqa: PTH123
        stream.write(content(9, **{"DATE-OBS": "2020-06-19T06:00:00"}))
    os.utime(raw_name, (1e9, 1e9))
    report = place.look()
    assert report.counts()["n_ingested"] == 4
    assert all("\n" not in line for line in report.lines())
    assert all(
        row.raw_path == f"sha256/{row.content_sha256[:2]}/{row.content_sha256}"
        for row in place.observations
    )
    assert place.look().n_unchanged == 4


def test_hidden_unfinished_and_other_files_are_left_alone(place: Place) -> None:
    for name in (".a.fits", "b.fits.part", "directory/.cache/c.fits", "notes.txt"):
        place.put(name, content(1))
    report = place.look()
    assert report.ignored == ("notes.txt",)
    assert not place.observations


def test_an_exposure_in_the_future_is_refused(place: Place) -> None:
    place.put("directory/a.fits", content(1, **{"DATE-OBS": "2090-01-01T00:00:00"}))
    assert [entry.reason for entry in place.look().quarantined] == ["bad_time"]


def test_the_demo_frames_go_to_their_two_nights(place: Place, astrid_data: Path) -> None:
    for path in (astrid_data / "decam_2018").glob("*.fits"):
        target = place.folder / path.name
        shutil.copyfile(path, target)
        os.utime(target, (1e9, 1e9))
    report = place.look()
    assert report.counts()["n_ingested"] == 10
    rows = place.observations
    assert {row.tile for row in rows} == {rows[0].tile}
    nights = sorted((row.observation_id[4:10], row.night) for row in rows)
    assert set(nights) == {
        ("180804", date(2018, 8, 3)),
        ("160818", date(2016, 8, 17)),
    }
    assert [row.is_resampled for row in rows if "092331" in row.observation_id] == [False]
    assert sum(row.is_resampled for row in rows) == 9
    assert all(row.is_sky_subtracted and row.longitude == pytest.approx(-70.81) for row in rows)
    with place.store.fetch(rows[0].raw_path) as path:
        raw = load_raw(rows[0], path)
    assert raw.shape == (256, 256)
    ra, dec = raw.wcs.all_pix2world(128.9, 127.7, 0)
    assert (float(ra), float(dec)) == pytest.approx((318.1080, -66.0157), abs=3e-4)


def test_amateur_frames_have_typed_outcomes_only(place: Place, astrid_data: Path) -> None:
    names = []
    for path in (astrid_data / "ccd_frames").glob("*.fi*"):
        target = place.folder / "directory" / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1e9, 1e9))
        names.append(path.name)
    report = place.look()
    assert len(report.quarantined) + len(report.ingested) == len(names)
    reasons = {Path(entry.name).name: entry.reason for entry in report.quarantined}
    assert reasons["uint16_no_pointing.fit"] == "no_wcs"
    assert reasons["maximdl_6_18_header.fit"] == "missing_value"


def test_the_synthetic_sky_is_taken_and_labelled(place: Place) -> None:
    rng = np.random.default_rng(4)
    epoch = Epoch(shape=(64, 64), mjd_mid_tai=58334.2)
    exposure = render(make_field(rng, n_stars=20, n_galaxies=2), epoch, rng)
    path = to_fits(exposure, place.folder / "made.fits")
    os.utime(path, (1e9, 1e9))
    assert place.look().counts()["n_ingested"] == 1
    (row,) = place.observations
    assert row.is_synthetic
    assert row.mjd_mid == pytest.approx(epoch.mjd_mid_tai, abs=1e-7)
    with place.store.fetch(row.raw_path) as stored:
        raw = load_raw(row, stored)
    np.testing.assert_array_equal(raw.data, exposure.raw.data)
    assert raw.meta.is_synthetic
