"""What the rule learns from which nights, and that a sensor with gaps neither teaches nor ends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from drivers.reading import Quantity, Reading
from rules.conditions.frost import Frost
from rules.engine import Engine, Rule

FROST = Frost(34.18, 131.47)
RULES = [Rule("frost", FROST, ("air",))]
NOON = datetime(2026, 11, 10, 3, tzinfo=UTC)
SUNSET = datetime(2026, 11, 10, 8, 14, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def readings(begin, hours, coldest=2.0):
    """Yield a clear day and night, in quarters of an hour: warmest at three, coldest at six."""
    for n in range(int(hours * 4)):
        at = begin + n * QUARTER
        since_three = (at - NOON) / timedelta(hours=24) % 1 * 24 - 3
        fall = since_three / 15 if 0 <= since_three <= 15 else 1 - (since_three % 24 - 15) / 9
        celsius = 14 - (14 - coldest) * fall
        yield Reading("air", Quantity.TEMPERATURE_CELSIUS, round(celsius, 2), at)
        yield Reading("air", Quantity.HUMIDITY_PERCENT, 70.0, at)


def learned(engine):
    (watch,) = engine._watches
    return watch.memory.evidence(engine.now)["learned_nights"]


def lived(*parts):
    engine, told = Engine(RULES), []
    for part in parts:
        for reading in part:
            told += engine.observe(reading)
    return engine, told


def test_each_night_that_was_heard_teaches_one():
    engine, _ = lived(readings(NOON, 24 * 5 + 1))
    assert learned(engine) == 5


@pytest.mark.parametrize(("hours", "nights"), [(13, 0), (17, 1)])
def test_a_night_of_which_half_is_missing_teaches_nothing(hours, nights):
    engine, _ = lived(readings(NOON, hours), readings(NOON + timedelta(hours=24), 1))
    assert learned(engine) == nights


def test_a_night_without_humidity_teaches_nothing_but_frost_now_is_told():
    air = [r for r in readings(NOON, 25, coldest=-2) if r.quantity is Quantity.TEMPERATURE_CELSIUS]
    engine, told = lived(air)
    assert learned(engine) == 0
    assert [event.phase for event in told] == ["firing", "quiet"]
    assert dict(told[0].evidence)["now_celsius"] <= 0
    assert "forecast_minimum_celsius" not in dict(told[0].evidence)


def test_a_hollow_that_is_colder_than_the_evening_promises_is_told_sooner_each_night():
    """Each night ends at -2 °C; how early that is told is what the nights taught."""
    engine, told = lived(readings(NOON, 24 * 40, coldest=-2))
    begins = [event.at for event in told if event.phase == "firing"]
    first = {at.date(): at for at in reversed(begins)}
    after_noon = [at - NOON for at in first.values()]
    hours = [gone % timedelta(days=1) for gone in after_noon]
    assert hours[0] < hours[-1]  # reversed: the last night first
    assert learned(engine) == 39


def test_what_is_learned_survives_a_restart_in_the_night():
    found = list(readings(NOON, 24 * 4, coldest=-2))
    whole, told = lived(found)
    engine, again = Engine(RULES), []
    for n, reading in enumerate(found):
        again += engine.observe(reading)
        if n % 7 == 0:
            engine = Engine.restore(RULES, json.loads(json.dumps(engine.snapshot())))
    assert again == told
    assert engine.snapshot() == whole.snapshot()


def test_the_forecast_is_never_warmer_than_it_was_already():
    engine, _ = lived(readings(NOON, 17, coldest=1))
    (watch,) = engine._watches
    found = watch.memory.evidence(engine.now)
    assert found["forecast_minimum_celsius"] <= round(found["coldest_celsius"], 1)


def test_it_remembers_as_much_after_two_years_as_after_one():
    sizes = []
    engine = Engine(RULES)
    for day in range(0, 720, 3):
        for reading in readings(NOON + timedelta(days=day), 24):
            engine.observe(reading)
        sizes.append(len(json.dumps(engine.snapshot())))
    assert max(sizes[120:]) < 1.05 * max(sizes[:120]) < 20_000
