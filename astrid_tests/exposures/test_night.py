"""The night of an exposure at every edge where a civil date would be wrong."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from astropy.time import Time

from astrid_assets.exposures.night import night_of, offline_time, wrap_longitude

CTIO = -70.8065
NEW_ZEALAND = 174.8
HAWAII = -155.5


def night(utc: str, longitude: float | None) -> date:
    with offline_time():
        time = Time(utc, scale="utc")
        mjd_tai = float(time.tai.mjd)
    of_time = night_of(time, longitude_east_deg=longitude)
    assert night_of(mjd_tai, longitude_east_deg=longitude) == of_time
    return of_time


@pytest.mark.parametrize(
    ("utc", "longitude", "expected"),
    [
        ("2018-08-04T09:26:16", CTIO, date(2018, 8, 3)),
        ("2018-08-04T05:26:54", CTIO, date(2018, 8, 3)),
        ("2016-08-18T02:06:24", CTIO, date(2016, 8, 17)),
        ("2016-08-18T06:54:33", CTIO, date(2016, 8, 17)),
        ("2018-08-03T23:30:00", CTIO, date(2018, 8, 3)),
        ("2020-06-10T08:00:00", NEW_ZEALAND, date(2020, 6, 10)),
        ("2020-06-10T18:00:00", NEW_ZEALAND, date(2020, 6, 10)),
        ("2020-06-10T06:00:00", HAWAII, date(2020, 6, 9)),
        ("2020-06-10T15:00:00", HAWAII, date(2020, 6, 9)),
        ("2020-06-11T05:00:00", HAWAII, date(2020, 6, 10)),
        ("2020-06-10T00:01:00", 179.9, date(2020, 6, 10)),
        ("2020-06-09T23:59:00", 179.9, date(2020, 6, 9)),
        ("2020-06-10T23:59:00", -179.9, date(2020, 6, 9)),
        ("2020-06-11T00:01:00", -179.9, date(2020, 6, 10)),
        ("2020-06-21T12:00:00", 123.35, date(2020, 6, 21)),
        ("2020-06-21T03:00:00", 123.35, date(2020, 6, 20)),
        ("2020-01-01T04:00:00", CTIO, date(2019, 12, 31)),
        ("2020-12-31T23:30:00", CTIO, date(2020, 12, 31)),
        ("2020-03-01T02:00:00", 0.0, date(2020, 2, 29)),
        ("2020-06-10T00:00:00", 0.0, date(2020, 6, 9)),
        ("2020-06-10T12:00:00", 0.0, date(2020, 6, 10)),
        ("2020-06-10T11:59:59.9", 0.0, date(2020, 6, 9)),
    ],
)
def test_night_is_the_local_date_of_the_evening(utc: str, longitude: float, expected: date) -> None:
    assert night(utc, longitude) == expected


def test_leap_second_belongs_to_the_evening_before_noon_plus_it() -> None:
    assert night("2016-12-31T23:59:60.5", 0.0) == date(2016, 12, 31)
    assert night("2016-12-31T23:59:60.5", 180.0) == date(2016, 12, 31)
    assert night("2017-01-01T00:00:00", 180.0) == date(2017, 1, 1)
    assert night("2016-12-31T23:59:60.5", None) == date(2016, 12, 31)
    assert night("2017-01-01T00:00:00", None) == date(2017, 1, 1)


def test_space_observatory_has_the_utc_day() -> None:
    assert night("2020-06-10T00:00:00", None) == date(2020, 6, 10)
    assert night("2020-06-10T23:59:59", None) == date(2020, 6, 10)


@pytest.mark.parametrize("zone_change", ["2020-04-05", "2020-09-06", "2021-03-14", "2021-10-31"])
def test_daylight_saving_never_moves_a_night(zone_change: str) -> None:
    for longitude in (CTIO, NEW_ZEALAND, HAWAII, 2.3):
        noon = Time(f"{zone_change}T12:00:00", scale="utc").mjd - wrap_longitude(longitude) / 360
        for hours in (-0.01, 0.01):
            time = Time(noon + hours / 24, format="mjd", scale="utc")
            expected = date.fromisoformat(zone_change) - timedelta(days=hours < 0)
            assert night_of(time, longitude_east_deg=longitude) == expected


def test_every_spelling_of_a_longitude_gives_the_same_night() -> None:
    rng = np.random.default_rng(1)
    for mjd, longitude in zip(
        rng.uniform(50000, 62000, 200), rng.uniform(-180, 180, 200), strict=True
    ):
        one = night_of(mjd, longitude_east_deg=longitude)
        assert night_of(mjd, longitude_east_deg=longitude + 360) == one
        assert night_of(mjd, longitude_east_deg=longitude - 360) == one


def test_longitude_wraps_to_the_half_open_interval() -> None:
    assert wrap_longitude(180.0) == 180.0
    assert wrap_longitude(-180.0) == 180.0
    assert wrap_longitude(289.1935) == pytest.approx(-70.8065)
    assert wrap_longitude(540.0) == 180.0
    assert wrap_longitude(-0.5) == -0.5
    with pytest.raises(ValueError, match="finite"):
        wrap_longitude(float("nan"))


def test_far_years_need_no_network_and_warn_of_nothing() -> None:
    assert night_of(Time(66154.0, format="mjd", scale="tai"), longitude_east_deg=0.0) == date(
        2039, 12, 31
    )
