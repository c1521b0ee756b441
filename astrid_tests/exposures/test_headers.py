"""Header translation by declaration: longitudes, time scales, sidecars, filters, units."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from astropy.time import Time

from astrid_assets.exposures.decode import Decoder, InspectedImage
from astrid_assets.exposures.fits_geometry import geometry
from astrid_assets.exposures.headers import ExposureHeader, corrected_header, translate
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.sidecar import NOTHING, SidecarRow, read_sidecar
from astrid_assets.exposures.survey import SurveyConfig, SurveyError, load_surveys, read_survey
from astrid_resources.identity import sha256_file
from astrid_tests.exposures.fits_files import SIDE, header

BASE: dict[str, Any] = {
    "name": "test",
    "description": "a survey",
    "tiles": {"field_size_deg": 1.0},
    "fields": {
        "filter_band": {"keys": ["FILTER"]},
        "exposure_time_s": {"keys": ["EXPTIME"]},
        "gain_e_per_adu": {"keys": ["GAIN"]},
        "read_noise_e": {"keys": ["RDNOISE"]},
        "saturation_adu": {"keys": ["SATURATE"]},
        "data_unit": {"keys": ["BUNIT"]},
        "airmass": {"keys": ["AIRMASS"]},
    },
    "sites": {"home": {"longitude_east_deg": 0.0}},
}


def survey(fields: dict[str, Any] | None = None, **changes: Any) -> SurveyConfig:
    merged = {**BASE, **changes, "fields": {**BASE["fields"], **(fields or {})}}
    return SurveyConfig.model_validate(merged)


def translated(
    config: SurveyConfig, *, row: SidecarRow = NOTHING, **cards: object
) -> ExposureHeader:
    top = header(**cards)
    shape = (SIDE, SIDE)
    image = InspectedImage(0, "PRIMARY", top, geometry(top, shape, "x"), shape, 1.0, ("data",))
    return translate(image, config, file_name="in/a.b.fits.gz", sidecar=row)


def reason(config: SurveyConfig, *, row: SidecarRow = NOTHING, **cards: object) -> Reason:
    with pytest.raises(RejectedFile) as caught:
        translated(config, row=row, **cards)
    return caught.value.reason


def row_of(**facts: str) -> SidecarRow:
    return SidecarRow("a.b.fits.gz", None, tuple(sorted(facts.items())))


@pytest.mark.parametrize(
    ("card", "rule", "expected"),
    [
        (70.8065, {"correction": "west_positive"}, -70.8065),
        ("70:48:23.4", {"correction": "west_positive"}, -70.8065),
        (-70.8065, {}, -70.8065),
        (289.1935, {}, -70.8065),
        ("111:36.0", {"correction": "west_positive"}, -111.6),
        ("-174 48 00", {"correction": "west_positive"}, 174.8),
        (180.0, {"correction": "west_positive"}, 180.0),
        (-1.2358, {"unit": "rad"}, -70.8061),
    ],
)
def test_every_convention_of_longitude_ends_east_positive(
    card: object, rule: dict[str, Any], expected: float
) -> None:
    config = survey({"longitude_east_deg": {"keys": ["SITELONG"], **rule}}, sites={})
    assert translated(config, SITELONG=card).longitude_east_deg == pytest.approx(expected, abs=1e-4)


def test_a_west_positive_header_would_move_the_night() -> None:
    west = {"keys": ["SITELONG"], "correction": "west_positive"}
    config = survey({"longitude_east_deg": west}, sites={})
    wrong = survey({"longitude_east_deg": {"keys": ["SITELONG"]}}, sites={})
    cards = {"SITELONG": 155.5, "DATE-OBS": "2020-06-10T15:00:00"}
    assert translated(config, **cards).night == date(2020, 6, 9)
    assert translated(wrong, **cards).night == date(2020, 6, 10)


def test_the_site_table_wins_over_the_header_and_a_missing_site_is_said() -> None:
    long = {"longitude_east_deg": {"keys": ["LONG"]}}
    both = survey(long, sites={"ctio": {"longitude_east_deg": -70.81}})
    assert translated(both, LONG=70.81).longitude_east_deg == -70.81
    assert reason(survey(long, sites={})) == Reason.NO_SITE
    assert reason(survey(sites={})) == Reason.NO_SITE
    sidecar = row_of(longitude_east_deg="174.8")
    assert translated(survey(sites={}), row=sidecar).longitude_east_deg == 174.8


def test_sites_are_chosen_by_header() -> None:
    config = survey(
        {"site": {"keys": ["TELESCOP"], "values": {"CTIO.*": "ctio", "HST": "orbit"}}},
        sites={"ctio": {"longitude_east_deg": -70.81}, "orbit": {"is_in_space": True}},
    )
    assert translated(config, TELESCOP="CTIO 4.0-m").longitude_east_deg == -70.81
    space = translated(config, TELESCOP="HST")
    assert space.longitude_east_deg is None
    assert space.night == date(2020, 6, 10)
    assert reason(config, TELESCOP="Elsewhere") == Reason.NO_SITE
    assert reason(config) == Reason.NO_SITE


@pytest.mark.parametrize(
    ("timesys", "ahead_of_utc_s"),
    [
        ("UTC", 0.0),
        ("UTC approximate", 0.0),
        ("UT1", 0.0),
        ("TAI", 37.0),
        ("TT", 69.184),
        ("TDB", 69.184),
        (None, 0.0),
    ],
)
def test_the_time_scale_of_the_header_is_honoured(
    timesys: str | None, ahead_of_utc_s: float
) -> None:
    got = translated(survey(), TIMESYS=timesys)
    mid_utc = Time("2020-06-10T06:00:30", scale="utc")
    assert (got.mjd_mid_tai - mid_utc.tai.mjd) * 86400 == pytest.approx(-ahead_of_utc_s, abs=2e-3)
    assert reason(survey(), TIMESYS="LOCAL") == Reason.BAD_TIME


def test_time_comes_from_dates_then_mjd_then_the_middle() -> None:
    start = Time("2020-06-10T06:00:00", scale="utc")
    expected = translated(survey()).mjd_mid_tai
    cases: list[dict[str, object]] = [
        {"DATE-OBS": None, "MJD-OBS": float(start.mjd)},
        {"DATE-OBS": None, "DATE-AVG": "2020-06-10T06:00:30"},
        {"DATE-OBS": None, "MJD-AVG": float(start.mjd) + 30 / 86400},
        {"DATE-BEG": "2020-06-10T06:00:00Z", "DATE-OBS": "2019-01-01T00:00:00"},
        {"DATE-OBS": "2020-06-10 06:00:00"},
        {"DATE-OBS": "2020-06-10T06:00"},
    ]
    for cards in cases:
        assert translated(survey(), **cards).mjd_mid_tai == pytest.approx(expected, abs=1e-9)
    split = survey(time={"time_of_day": ["UT"]})
    got = translated(split, **{"DATE-OBS": "2020-06-10", "UT": "6:00:00.0"})
    assert got.mjd_mid_tai == pytest.approx(expected, abs=1e-9)
    old = translated(split, **{"DATE-OBS": "10/06/98", "UT": "06:00:00"})
    assert old.time_start_utc == datetime(1998, 6, 10, 6, tzinfo=UTC)
    late = survey(time={"shutter_offset_s": 1.5})
    assert (translated(late).mjd_mid_tai - expected) * 86400 == pytest.approx(1.5, abs=2e-3)


@pytest.mark.parametrize(
    "cards",
    [
        {"DATE-OBS": None},
        {"DATE-OBS": "2020-06-10"},
        {"DATE-OBS": "2020-13-10T00:00:00"},
        {"DATE-OBS": "yesterday"},
        {"DATE-OBS": "9999-01-01T00:00:00"},
        {"DATE-OBS": "0001-01-01T00:00:00"},
        {"DATE-OBS": None, "MJD-OBS": 2459010.5},
        {"DATE-OBS": None, "MJD-OBS": "x"},
    ],
)
def test_impossible_times_are_said(cards: dict[str, object]) -> None:
    assert reason(survey(), **cards) == Reason.BAD_TIME


def test_leap_second_has_a_time() -> None:
    got = translated(survey(), **{"DATE-OBS": "2016-12-31T23:59:60.5", "EXPTIME": 1.0})
    assert got.mjd_mid_tai == pytest.approx(Time("2017-01-01", scale="utc").tai.mjd, abs=1e-9)
    assert got.night == date(2016, 12, 31)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"EXPTIME": 0.0}, Reason.BAD_VALUE),
        ({"EXPTIME": -1.0}, Reason.BAD_VALUE),
        ({"EXPTIME": "long"}, Reason.BAD_VALUE),
        ({"EXPTIME": True}, Reason.BAD_VALUE),
        ({"EXPTIME": None}, Reason.MISSING_VALUE),
        ({"GAIN": None}, Reason.MISSING_VALUE),
        ({"GAIN": 0.0}, Reason.BAD_VALUE),
        ({"RDNOISE": None}, Reason.MISSING_VALUE),
        ({"SATURATE": None}, Reason.MISSING_VALUE),
        ({"FILTER": None}, Reason.MISSING_VALUE),
        ({"FILTER": "  "}, Reason.MISSING_VALUE),
        ({"FILTER": "Sloan r / 2"}, Reason.BAD_VALUE),
        ({"BUNIT": "Jy/beam"}, Reason.UNSUPPORTED_UNIT),
    ],
)
def test_nothing_needed_is_made_up(cards: dict[str, object], expected: Reason) -> None:
    assert reason(survey(), **cards) == expected


def test_optional_facts_that_are_wrong_are_noted_and_dropped() -> None:
    got = translated(survey(), AIRMASS=-3.0)
    assert got.airmass is None
    assert "airmass" in got.notes[0]


def test_filters_units_and_names() -> None:
    config = survey(filters={"r": ["r", "SDSS r.*"]})
    assert translated(config, FILTER="SDSS r0001").filter_band == "r"
    assert reason(config, FILTER="g") == Reason.BAD_VALUE
    assert translated(survey()).observation_id == "a.b"
    rate = translated(survey(), BUNIT="adu/s")
    assert (rate.data_scale, rate.saturation_adu) == (60.0, 60000.0 * 60)
    assert translated(survey(), BUNIT="electron").gain_e_per_adu == 1.0
    fields = survey(tiles={"fields": ["FIELD", "CCD"]})
    assert translated(fields, FIELD="M 31", CCD=7).tile == "M_31-7"
    assert reason(fields, FIELD="a/b", CCD=7) == Reason.BAD_TILE
    assert reason(fields, FIELD="a") == Reason.BAD_TILE


def test_calibration_frames_are_no_science() -> None:
    config = survey(not_science=[{"IMAGETYP": "(?i)bias|dark"}])
    assert reason(config, IMAGETYP="Bias") == Reason.NOT_SCIENCE
    assert translated(config, IMAGETYP="object").filter_band == "r"


def test_the_sidecar_corrects_and_the_old_value_is_told() -> None:
    row = row_of(time_start_utc="2020-06-01T03:00:00", gain_e_per_adu="4.5", filter_band="i")
    got = translated(survey(), row=row, **{"MJD-OBS": 1.0, "DATE-AVG": "x", "TIMESYS": "TAI"})
    assert got.time_start_utc == datetime(2020, 6, 1, 3, tzinfo=UTC)
    assert (got.gain_e_per_adu, got.filter_band) == (4.5, "i")
    corrected = corrected_header(
        header(**{"MJD-OBS": 1.0, "DATE-AVG": "x", "TIMESYS": "TAI"}), got.corrections
    )
    assert corrected["DATE-OBS"] == "2020-06-01T03:00:00.000"
    assert corrected["TIMESYS"] == "UTC"
    assert corrected["MJD-OBS"] == pytest.approx(59001.125)
    assert "DATE-AVG" not in corrected
    assert corrected["GAIN"] == 4.5
    history = list(corrected["HISTORY"])
    assert "AstrID sidecar: DATE-OBS was 2020-06-10T06:00:00" in history
    assert "AstrID sidecar: TIMESYS was TAI" in history
    assert reason(survey(), row=row_of(gain_e_per_adu="-1")) == Reason.BAD_VALUE
    assert reason(survey(), row=row_of(time_start_utc="2020-06-01")) == Reason.BAD_TIME


def test_the_demo_headers_are_wrong_and_their_sidecar_is_right(
    astrid_data: Path, decoder: Decoder
) -> None:
    config = load_surveys()["decam_demo"]
    assert config.sidecar_path is not None
    sidecar = read_sidecar(config.sidecar_path)
    nights: dict[str, list[date]] = {"04": [], "18": []}
    trusted = set()
    for path in sorted((astrid_data / "decam_2018").glob("*.fits")):
        image = decoder.inspect(path).images[0]
        assert config.is_matched_by(image.header)
        row = sidecar.row_for(file=path.name, sha256=sha256_file(path))
        assert row.sha256 is not None
        got = translate(image, config, file_name=path.name, sidecar=row)
        nights[path.name[7:9]].append(got.night)
        trusted.add(translate(image, config, file_name=path.name).night)
        assert got.observation_id in str(image.header["EXP_BN"])
        assert got.filter_band == "i"
    assert nights == {"04": [date(2018, 8, 3)] * 5, "18": [date(2016, 8, 17)] * 5}
    assert trusted == {date(2018, 8, 3)}


def test_sidecar_rows_are_found_by_hash_before_name(tmp_path: Path) -> None:
    sha = "a" * 64
    path = tmp_path / "s.csv"
    path.write_text(
        "# comment\nfile,sha256,filter_band,airmass,CRVAL1,note_x\n"
        f"a.fits,,g,1.5,,why\nb.fits,{sha},r,,151.5,\n"
    )
    sidecar = read_sidecar(path)
    assert sidecar.names(sha)
    row = sidecar.row_for(file="x/a.fits", sha256=sha)
    assert dict(row.facts) == {"filter_band": "r", "airmass": "1.5"}
    assert dict(row.cards) == {"CRVAL1": "151.5"}
    assert sidecar.row_for(file="b.fits", sha256="b" * 64) == NOTHING
    assert NOTHING.digest is None
    assert row.digest is not None


@pytest.mark.parametrize(
    "text",
    [
        "filter_band\nr\n",
        "file,colour\na,b\n",
        "file,NAXIS1\na,5\n",
        "file,sha256\na,xyz\n",
        "file,gain_e_per_adu\na,1\na,2\n",
        "file,gain_e_per_adu\na,1,2\n",
        "file,gain_e_per_adu\n,1\n",
        "",
    ],
)
def test_bad_sidecars_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(SurveyError, match=r"s\.csv"):
        read_sidecar(path)


def test_ecsv_sidecars_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.ecsv"
    path.write_text('# %ECSV 1.0\n# ---\n# datatype: []\nfile filter_band\n"a b.fits" r\n')
    assert dict(read_sidecar(path).row_for(file="a b.fits", sha256="").facts) == {
        "filter_band": "r"
    }


def test_shipped_surveys_load_and_own_ones_replace_them(tmp_path: Path) -> None:
    shipped = load_surveys([tmp_path / "missing"])
    assert {"decam_demo", "synthetic", "directory"} <= set(shipped)
    own = 'name = "directory"\ndescription = "mine"\n[tiles]\nfield_size_deg = 2.0\n'
    (tmp_path / "mine.toml").write_text(own)
    assert load_surveys([tmp_path])["directory"].description == "mine"
    assert fits.Header is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x'", "description"),
        ("name = 'X y'\ndescription = ''\n[tiles]\nfield_size_deg = 1", "name"),
        ("name = 'x'\ndescription = ''\n[tiles]\nfield_size_deg = 40", "HEALPix"),
        ("name = 'x'\ndescription = ''\n[tiles]", "tiles need"),
        ("name = 'x'\ndescription = ''\ntiles = {field_size_deg = 1}\n[fields.colour]", "colour"),
        (
            "name = 'x'\ndescription = ''\ntiles = {field_size_deg = 1}\n[match]\nA = '('",
            "regular expression",
        ),
        (
            "name = 'x'\ndescription = ''\ntiles = {field_size_deg = 1}\n[sites.a]\nheight_m = 1",
            "longitude_east_deg",
        ),
        (
            "name='x'\ndescription=''\ntiles={field_size_deg=1}\n[difference]\nalgorithm='hotpants'",
            "difference.algorithm",
        ),
        (
            "name='x'\ndescription=''\ntiles={field_size_deg=1}\n[difference]\ncompare_with='zogy'",
            "compared with itself",
        ),
        ("name = ", "cannot be used"),
    ],
)
def test_bad_declarations_name_the_file_and_the_entry(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SurveyError, match=r"bad\.toml") as caught:
        read_survey(path)
    assert said in str(caught.value)
