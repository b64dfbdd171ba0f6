"""Rules for days of the calendar: those days are changed, or the clock is put right."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from drivers.reading import Quantity, Reading
from rules.conditions.cold_water import ColdWater
from rules.conditions.drying_out import DryingOut
from rules.engine import Engine, Rule
from rules.lifecycle import Phase

TOKYO = ZoneInfo("Asia/Tokyo")
START = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def cold_water(last):
    return ColdWater(TOKYO, heading=last, from_days_before=20, until_days_before=0)


def drying_out(last):
    return DryingOut(TOKYO, date(2026, 6, 25), last, least_days=1, most_days=2)


MAKERS = pytest.mark.parametrize("make", [cold_water, drying_out])


def rule(condition):
    return [Rule("rule", condition, ("air", "paddy") if condition.together else ("paddy",))]


def fired(condition):
    """Return an engine in which it fires since a day after START."""
    engine, told = Engine(rule(condition)), []
    for hours in range(0, 25, 4):
        at = START + timedelta(hours=hours)
        engine.observe(Reading("air", Quantity.TEMPERATURE_CELSIUS, 12.0, at))
        told += engine.observe(Reading("paddy", Quantity.WATER_LEVEL_MILLIMETRE, 0.0, at))
    assert [event.phase for event in told] == [Phase.FIRING]
    return engine


def ends(day):
    return datetime(day.year, day.month, day.day, tzinfo=TOKYO) + DAY


@MAKERS
@pytest.mark.parametrize("last", [date(2026, 7, 8), date(2026, 7, 12)])
def test_it_is_over_at_the_end_of_the_days_as_they_are_now(make, last):
    before = fired(make(date(2026, 7, 8))).snapshot()
    after = Engine.restore(rule(make(last)), before)
    (event,) = after.advance(START + 20 * DAY)
    assert (event.phase, event.at) == (Phase.QUIET, ends(last))


@MAKERS
def test_it_is_over_with_the_next_word_if_the_days_are_over_already(make):
    last = date(2026, 7, 8)
    engine = fired(make(last))
    engine.advance(ends(last) - DAY)
    after = Engine.restore(rule(make(last - 3 * DAY)), engine.snapshot())
    (event,) = after.observe(Reading("paddy", Quantity.WATER_LEVEL_MILLIMETRE, 0.0, after.now))
    assert (event.phase, event.at) == (Phase.QUIET, after.now)


@MAKERS
@pytest.mark.parametrize("by", [-DAY, timedelta(hours=1), DAY])
def test_the_days_stay_where_they_are_when_the_clock_is_put_right(make, by):
    last = date(2026, 7, 8)
    engine = fired(make(last))
    engine.shift(by)
    (event,) = engine.advance(START + 20 * DAY)
    assert event.at == ends(last)
