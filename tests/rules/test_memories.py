"""What every condition that remembers promises: however it is looked at, the answer is the same."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.bath_cold import BathCold
from rules.conditions.cold_water import ColdWater
from rules.conditions.drying_out import DryingOut
from rules.conditions.frost import Frost
from rules.conditions.heat import Heat
from rules.conditions.leak import Leak
from rules.conditions.left_open import LeftOpen
from rules.conditions.long_stay import LongStay
from rules.conditions.night_exit import NightExit
from rules.conditions.no_effect import NoEffect
from rules.conditions.not_home_from_field import NotHomeFromField
from rules.conditions.not_returned import NotReturned
from rules.conditions.not_risen import NotRisen
from rules.conditions.overdue import Overdue
from rules.conditions.pressed import Pressed
from rules.conditions.routine import Routine
from rules.conditions.stuck import Stuck
from rules.conditions.trap_sprung import TrapSprung
from rules.engine import TOLERANCE, Engine, Rule
from rules.presence import PresenceSensors

START = datetime(2026, 7, 5, tzinfo=UTC)
HOURS = timedelta(hours=2)
NUMBER = Quantity.TEMPERATURE_CELSIUS

PRESENCE = PresenceSensors(frozenset("a"), frozenset("b"))

BY_THE_CLOCK = [
    Rule("still", Routine(UTC, frozenset("a")), ("a", "b")),
    Rule("field", NotHomeFromField(UTC, 34.2, 131.5), ("a", "b")),
    Rule("frost", Frost(34.2, 131.5), ("a", "b")),
    Rule("morning", NotRisen(UTC), ("a", "b")),
    Rule("night", NightExit(UTC, ("a",), again_after=HOURS), ("a", "b")),
]
"""What is meant in hours of the day, which do not move when the clock is set."""

IN_ANY_TIME = [
    Rule("call", Pressed(cleared_by=("b",), over_after=HOURS), ("a", "b")),
    Rule("heat", Heat(limit_celsius=28), ("a", "b")),
    Rule("bath", BathCold(limit_celsius=20), ("a", "b")),
    Rule("late", Overdue(at_most=timedelta(hours=5)), ("a", "b")),
    Rule("stay", LongStay(("a",)), ("a", "b")),
    Rule("open", LeftOpen(), ("a", "b")),
    Rule("out", NotReturned(), ("a", "b")),
    Rule("stuck", Stuck(unchanged_for=timedelta(hours=3)), ("a", "b"), NUMBER),
    Rule("dry suction", NoEffect("a", within=timedelta(minutes=10)), ("a", "b")),
    Rule("leak", Leak("a", fall_within=timedelta(hours=2)), ("a", "b")),
    Rule("trap", TrapSprung(motion=("b",)), ("a", "b")),
    Rule("two traps", TrapSprung(), ("a", "b")),
    # All that happens is within their days.
    Rule("cold water", ColdWater(UTC, date(2026, 8, 25), 60, 0), ("a", "b")),
    Rule("drying-out", DryingOut(UTC, date(2026, 6, 25), date(2026, 8, 20), 1, 2), ("a", "b")),
]
RULES = [*IN_ANY_TIME, *BY_THE_CLOCK]

VALUES = {
    Quantity.TEMPERATURE_CELSIUS: [10.0, 19.0, 27.0, 34.0, 99.0],
    Quantity.HUMIDITY_PERCENT: [20.0, 60.0, 95.0],
    Quantity.GLOBE_TEMPERATURE_CELSIUS: [25.0, 60.0],
    Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE: [0.0, 900.0],
    Quantity.MOTION_DETECTED: [0.0, 1.0],
    Quantity.CONTACT_OPEN: [0.0, 1.0],
    Quantity.BUTTON_EVENT: [1.0, 4.0],
    Quantity.SWITCHED_ON: [0.0, 1.0],
    Quantity.TRAP_SPRUNG: [0.0, 1.0],
    Quantity.WATER_FLOW_LITRE_PER_MINUTE: [0.0, 20.0],
    Quantity.WATER_LEVEL_MILLIMETRE: [-20.0, 60.0, 155.0, 170.0],
}
said = st.sampled_from([(quantity, v) for quantity, values in VALUES.items() for v in values])
steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 5, 20, 60, 400]), st.sampled_from("ab"), said), max_size=60
)


def readings(steps):
    at, found = START, []
    for minutes, sensor, (quantity, value) in steps:
        at += timedelta(minutes=minutes)
        found.append(Reading(sensor, quantity, value, at))
    return found


def again(engine):
    return Engine.restore(RULES, json.loads(json.dumps(engine.snapshot())), PRESENCE)


def lived(found, *, every=None, restart_after=None, end=None):
    """Return what is told until a day after the last of these readings, or after `end`."""
    engine, events = Engine(RULES, PRESENCE), []
    events += engine.advance(START)
    for n, reading in enumerate(found):
        while every is not None and engine.now + every < reading.at:
            events += engine.advance(engine.now + every)
        events += engine.observe(reading)
        if restart_after is not None and n % restart_after == 0:
            engine = again(engine)
    return events + engine.advance((end or engine.now) + timedelta(days=1))


@given(steps, st.integers(1, 90))
def test_how_often_time_is_told_changes_nothing(steps, minutes):
    found = readings(steps)
    assert lived(found, every=timedelta(minutes=minutes)) == lived(found)


@given(steps, st.integers(1, 10))
def test_a_restart_at_any_moment_changes_nothing(steps, after):
    found = readings(steps)
    assert lived(found, restart_after=after) == lived(found)


@given(steps, st.integers(0, 60), said)
def test_what_is_too_late_changes_nothing(steps, place, late):
    found = readings(steps)
    place = min(place, len(found))
    then = found[place - 1].at if place else START
    word = Reading("a", *late, then - TOLERANCE - timedelta(seconds=1))
    assert lived([*found[:place], word, *found[place:]]) == lived(found)


@given(steps, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 300), said), max_size=30))
def test_what_another_sensor_says_disturbs_nobody(steps, others):
    found = readings(steps)
    strangers = [
        Reading("c", *what, found[n % len(found)].at + timedelta(seconds=seconds))
        for n, seconds, what in others
        if found
    ]
    both = sorted([*found, *strangers], key=lambda reading: reading.at)
    end = both[-1].at if both else None
    assert lived(both, end=end) == lived(found, end=end)


@given(steps, st.integers(-3000, 3000))
def test_a_clock_that_is_set_changes_nothing_but_the_times(steps, minutes):
    found, by = readings(steps), timedelta(minutes=minutes)
    plain, moved = Engine(IN_ANY_TIME, PRESENCE), Engine(IN_ANY_TIME, PRESENCE)
    plain.advance(START)
    moved.advance(START)
    moved.shift(by)
    for reading in found:
        told = [(e.rule, e.sensor, e.phase, e.at + by) for e in plain.observe(reading)]
        late = Reading(reading.sensor, reading.quantity, reading.value, reading.at + by)
        assert [(e.rule, e.sensor, e.phase, e.at) for e in moved.observe(late)] == told


def test_what_is_remembered_stays_small():
    engine, at = Engine(RULES, PRESENCE), START
    for n in range(20_000):
        at += timedelta(seconds=n % 400)
        for quantity, values in VALUES.items():
            engine.observe(Reading("ab"[n % 2], quantity, values[n % len(values)], at))
    assert len(json.dumps(engine.snapshot())) < 50_000


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize(
    "garbage", ["text", [1], {"a": 1}, 5, [None] * 9, [["x"]] * 5, ["x", 1], [[], "a", "b"]]
)
def test_garbage_is_refused_as_such(rule, garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        rule.condition.remember(garbage)
