"""The mean of each day: against the plain way to find it, in zones whose days are not all alike."""

import json
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.day_means import BRIDGED, KNOWN, DayMeans, midnight_before, midnight_of

TOKYO = ZoneInfo("Asia/Tokyo")
BEGINNINGS = [
    datetime(2026, 7, 5, tzinfo=TOKYO),
    datetime(2026, 7, 5, tzinfo=UTC),
    datetime(2026, 3, 7, tzinfo=ZoneInfo("America/New_York")),  # the 8th has 23 hours
    datetime(2026, 10, 31, tzinfo=ZoneInfo("America/New_York")),  # the 1st has 25
    datetime(2026, 3, 28, tzinfo=ZoneInfo("Asia/Beirut")),  # the 29th begins at 01:00
    datetime(2026, 10, 31, tzinfo=ZoneInfo("America/Havana")),  # the 1st has two midnights
    datetime(2026, 4, 4, tzinfo=ZoneInfo("Australia/Lord_Howe")),  # the 5th has 24.5 hours
]

minutes = st.sampled_from([0, 1, 7, 60, 180, 359, 390, 391, 900, 3000])
lives = st.lists(st.tuples(minutes, st.integers(-200, 400)), min_size=1, max_size=80)
beginnings = st.sampled_from(BEGINNINGS)


def timed(begin, steps):
    at, found = begin.astimezone(UTC), []
    for minutes, tenths in steps:
        at += timedelta(minutes=minutes)
        found.append((at, tenths / 10))
    return found


def heard(means, readings):
    return [over for reading in readings if (over := means.hear(*reading)) is not None]


def plainly(readings, zone):
    """Return each day that is over, if it is known, and its mean: from all the readings at once."""
    first, last = (readings[n][0].astimezone(zone).date() for n in (0, -1))
    found = []
    for n in range((last - first).days):
        day = first + timedelta(days=n)
        begin, end = (
            datetime.combine(each, time(), zone).astimezone(UTC)
            for each in (day, day + timedelta(days=1))
        )
        area = seconds = 0.0
        for (a, u), (b, v) in pairwise(readings):
            low, high = max(a, begin), min(b, end)
            if low < high and b - a <= BRIDGED:
                middle = u + (v - u) * ((low - a) + (high - a)) / 2 / (b - a)
                area += middle * (high - low).total_seconds()
                seconds += (high - low).total_seconds()
        if seconds >= KNOWN.total_seconds():
            found.append((day, area / seconds))
    return found


@given(beginnings, lives)
def test_it_is_what_one_finds_who_has_written_down_everything(begin, steps):
    zone, readings = begin.tzinfo, timed(begin, steps)
    told, expected = heard(DayMeans(zone), readings), plainly(readings, zone)
    assert [day for day, _ in told] == [day for day, _ in expected]
    assert [mean for _, mean in told] == pytest.approx([mean for _, mean in expected], abs=1e-6)


@pytest.mark.parametrize("begin", BEGINNINGS, ids=lambda begin: f"{begin:%m-%d} {begin.tzinfo}")
def test_each_day_has_a_mean_however_many_hours_it_has(begin):
    readings = timed(begin, [(60, 200)] * (24 * 4))
    means = heard(DayMeans(begin.tzinfo), readings)
    assert means == [
        (begin.date() + timedelta(days=n), pytest.approx(20)) for n in range(len(means))
    ]
    assert len(means) >= 3


@given(beginnings, lives, st.integers(0, 80))
def test_a_dump_at_any_moment_changes_nothing(begin, steps, split):
    zone, readings = begin.tzinfo, timed(begin, steps)
    before = DayMeans(zone)
    told = heard(before, readings[:split])
    after = DayMeans(zone, json.loads(json.dumps(before.dump())))
    assert told + heard(after, readings[split:]) == heard(DayMeans(zone), readings)


@given(lives, st.integers(0, 80), st.integers(-9, 9))
def test_a_clock_that_was_wrong_by_whole_days_changes_nothing_but_the_days(steps, split, days):
    readings, by = timed(BEGINNINGS[0], steps), timedelta(days=days)
    plain, moved = DayMeans(TOKYO), DayMeans(TOKYO)
    assert heard(moved, readings[:split]) == heard(plain, readings[:split])
    moved.shift(by)
    told = heard(moved, [(at + by, value) for at, value in readings[split:]])
    assert told == [(day + by, mean) for day, mean in heard(plain, readings[split:])]


@given(beginnings, lives)
def test_a_mean_is_between_the_lowest_and_the_highest(begin, steps):
    readings = timed(begin, steps)
    values = [value for _, value in readings]
    for _, mean in heard(DayMeans(begin.tzinfo), readings):
        assert min(values) - 1e-9 <= mean <= max(values) + 1e-9


def test_a_sensor_that_speaks_every_three_hours_may_lose_a_word_and_be_late():
    begin = BEGINNINGS[0]
    readings = timed(begin, [(0, 200), *[(181, 200)] * 16])
    del readings[3]
    assert heard(DayMeans(TOKYO), readings) == [
        (date(2026, 7, 5), pytest.approx(20)),
        (date(2026, 7, 6), pytest.approx(20)),
    ]


@pytest.mark.parametrize(("silent_hours", "is_known"), [(4, True), (7, False)])
def test_of_a_day_twenty_hours_must_be_heard(silent_hours, is_known):
    begin = BEGINNINGS[0] + timedelta(hours=silent_hours)
    readings = timed(begin, [(0, 200), *[(30, 200)] * 48])
    assert bool(heard(DayMeans(TOKYO), readings)) is is_known


def test_where_clocks_go_back_over_midnight_a_day_that_began_goes_on():
    # Until 2011 the clocks of St. John's went back at 00:01, to 23:01 of the day before.
    zone = ZoneInfo("America/St_Johns")
    readings = timed(datetime(2010, 11, 6, tzinfo=zone), [(1, n) for n in range(49 * 60 + 1)])
    told = heard(DayMeans(zone), readings)
    assert [day for day, _ in told] == [date(2010, 11, 6), date(2010, 11, 7)]
    # The value grows by 0.1 each minute; the second day has 25 hours.
    assert [mean for _, mean in told] == pytest.approx([72, 144 + 75], abs=0.2)


def test_midnight_is_that_of_the_place():
    at = datetime(2026, 7, 5, 16, tzinfo=UTC)
    assert midnight_before(at, TOKYO) == datetime(2026, 7, 5, 15, tzinfo=UTC)
    assert midnight_of(date(2026, 7, 6), TOKYO) == datetime(2026, 7, 5, 15, tzinfo=UTC)


@pytest.mark.parametrize("garbage", ["text", [1], {"a": 1}, 5, [["x", 1], 0, 0], [None, "x", 0]])
def test_garbage_is_refused_as_such(garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        DayMeans(TOKYO, garbage)
