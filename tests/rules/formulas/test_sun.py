"""Sunrise and sunset against Meeus, NOAA, an almanac's example and PyEphem."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.sun import sun_place, sunrise, sunset

YAMAGUCHI = (34.18, 131.47)

# PyEphem 4.2.1 (VSOP87): upper edge, refraction 34', no air otherwise.
BY_PYEPHEM = [
    (YAMAGUCHI, "2026-01-01", "2025-12-31 22:19:56", "2026-01-01 08:15:12"),
    (YAMAGUCHI, "2026-03-20", "2026-03-19 21:18:29", "2026-03-20 09:25:22"),
    (YAMAGUCHI, "2026-06-21", "2026-06-20 20:02:44", "2026-06-21 10:28:58"),
    (YAMAGUCHI, "2026-09-23", "2026-09-22 21:02:33", "2026-09-23 09:10:08"),
    (YAMAGUCHI, "2026-11-15", "2026-11-14 21:46:30", "2026-11-15 08:10:27"),
    (YAMAGUCHI, "2026-12-22", "2026-12-21 22:16:17", "2026-12-22 08:08:42"),
    ((35.6581, 139.7414), "2024-06-21", "2024-06-20 19:25:38", "2024-06-21 10:00:06"),  # Tokyo
    ((43.06, 141.35), "2026-06-21", "2026-06-20 18:55:14", "2026-06-21 10:17:25"),  # Sapporo
    ((-33.87, 151.21), "2026-06-21", "2026-06-20 20:59:58", "2026-06-21 06:53:47"),  # Sydney
    ((69.65, 18.96), "2026-03-20", "2026-03-20 04:43:53", "2026-03-20 17:01:30"),  # Tromsø
    ((-18.14, 178.44), "2026-02-01", "2026-01-31 17:52:39", "2026-02-01 06:46:33"),  # Suva
    ((-0.18, -78.47), "2026-06-01", "2026-06-01 11:08:26", "2026-06-01 23:15:04"),  # Quito
]


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_sun_of_meeus_example_25a_and_28b():
    place = sun_place(datetime(1992, 10, 13, tzinfo=UTC))
    assert place.declination_degrees == pytest.approx(-7.78507, abs=0.00001)
    assert place.equation_of_time_minutes == pytest.approx(13 + 42.6 / 60, abs=0.002)


@pytest.mark.parametrize(("where", "day", "rises", "sets"), BY_PYEPHEM)
def test_another_ephemeris(where, day, rises, sets):
    day = date.fromisoformat(day)
    assert abs(sunrise(day, *where) - utc(rises)) < timedelta(seconds=15)
    assert abs(sunset(day, *where) - utc(sets)) < timedelta(seconds=15)


def test_the_example_of_the_almanac_for_computers():
    # Wayne, New Jersey, 25 June 1990: the almanac's rougher method gives 9.441 h.
    almanac = utc("1990-06-25") + timedelta(hours=9.441)
    assert abs(sunrise(date(1990, 6, 25), 40.9, -74.3) - almanac) < timedelta(minutes=1)


def test_mumbai_of_noaas_spreadsheet():
    # 22 May 2012, with a time zone of 5.3 hours as it stands there; to the minute.
    zone = timezone(timedelta(hours=5.3))
    day = date(2012, 5, 22)
    rises, sets = sunrise(day, 18.58, 72.4), sunset(day, 18.58, 72.4)
    assert abs(rises - datetime(2012, 5, 22, 5, 52, tzinfo=zone)) < timedelta(minutes=1)
    assert abs(sets - datetime(2012, 5, 22, 18, 57, tzinfo=zone)) < timedelta(minutes=1)


@pytest.mark.parametrize("latitude", [70, 90, -70, -90])
def test_neither_in_the_polar_night_nor_in_the_polar_day(latitude):
    for day in (date(2026, 6, 21), date(2026, 12, 21)):
        assert sunrise(day, latitude, 19) is None
        assert sunset(day, latitude, 19) is None


@given(st.dates(date(1901, 1, 1), date(2099, 12, 31)), st.floats(-65, 65), st.floats(-180, 180))
def test_the_sun_rises_before_and_sets_after_the_noon_of_the_day(day, latitude, longitude):
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(hours=longitude / 15)
    half_day = timedelta(hours=12.5)
    assert noon - half_day < sunrise(day, latitude, longitude) < noon
    assert noon < sunset(day, latitude, longitude) < noon + half_day


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sunrise(date(2026, 1, 1), 91, 0), "latitude is 91 °, outside -90 to 90"),
        (lambda: sunset(date(2026, 1, 1), 0, 181), "longitude is 181 °, outside -180 to 180"),
        (lambda: sunset(date(1900, 1, 1), 0, 0), "year is 1900, outside 1901 to 2099"),
        (lambda: sun_place(datetime(2026, 1, 1)), "has no time zone"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
