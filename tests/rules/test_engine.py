"""What the engine promises for all rules and all readings, and the odd things that happen to it."""

import copy
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.alert import AlertEvent, Severity
from rules.conditions.above import Above
from rules.conditions.below import Below
from rules.conditions.inactive import Inactive
from rules.conditions.opened import Opened
from rules.conditions.outside import Outside
from rules.conditions.silent import Silent
from rules.engine import TOLERANCE, Engine, Rule
from rules.hours import Hours
from rules.lifecycle import Phase
from rules.presence import Presence, PresenceSensors

START = datetime(2026, 1, 5, 3, tzinfo=UTC)
"""Noon in Tokyo."""

TOKYO = ZoneInfo("Asia/Tokyo")
NIGHT, DAY = Hours.parse("22:00-05:00", TOKYO), Hours.parse("08:00-20:00", TOKYO)
CONTACT, MOTION = Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED
TEMPERATURE, BATTERY = Quantity.TEMPERATURE_CELSIUS, Quantity.BATTERY_PERCENT
SENSORS = ("door", "kitchen", "shed")
HOME = PresenceSensors(frozenset({"door"}), frozenset({"kitchen", "shed"}))
FIRING, QUIET = Phase.FIRING, Phase.QUIET

conditions = st.sampled_from(
    [Above(5), Above(5, margin=1), Below(5), Outside(3, 7, margin=1), Opened(), Silent(), Inactive()]
)
holds = st.sampled_from([timedelta(minutes=n) for n in (0, 1, 5, 30, 180, 600)])
saying = st.one_of(
    st.tuples(st.just(TEMPERATURE), st.integers(0, 10).map(float)),
    st.tuples(st.sampled_from([CONTACT, MOTION]), st.sampled_from([0.0, 1.0])),
    st.just((Quantity.BUTTON_EVENT, 1.0)),
)
gaps = st.sampled_from([0, 1, 60, 300, 301, 1800, 3600, 4 * 3600, 15 * 3600])


@st.composite
def rule_lists(draw, *, alone=False, hours=(None, None, NIGHT, DAY)):
    """Return rules of all kinds; `alone`: none that looks at more than one sensor at a time."""
    return [_rule(draw, f"rule {n}", hours, alone=alone) for n in range(draw(st.integers(1, 6)))]


def _rule(draw, name, hours, *, alone):
    condition = draw(conditions.filter(lambda c: not (alone and c.together)))
    during, hold = draw(st.sampled_from(hours)), draw(holds)
    if condition.from_silence and not hold:
        hold = timedelta(minutes=7)
    return Rule(
        name,
        condition,
        tuple(draw(st.lists(st.sampled_from(SENSORS), min_size=1, unique=True))),
        TEMPERATURE if condition.watches is None else None,
        min(hold, during.length) if during else hold,
        during,
        None if alone else draw(st.sampled_from([None, None, Presence.HOME, Presence.AWAY])),
    )


@st.composite
def stories(draw):
    """Return readings in the order of time."""
    at, readings = START, []
    for gap, sensor, (quantity, value) in draw(
        st.lists(st.tuples(gaps, st.sampled_from(SENSORS), saying), min_size=1, max_size=40)
    ):
        at += timedelta(seconds=gap)
        readings.append(Reading(sensor, quantity, value, at))
    return readings


def lived(engine, readings, *, days=2):
    """Return all events of a story and of two days after it."""
    events = engine.advance(START)
    for reading in readings:
        events += engine.observe(reading)
    return events + engine.advance(end_of(readings, days))


def end_of(readings, days=2):
    return readings[-1].at + timedelta(days=days)


def rebuilt(engine, rules, presence=HOME, **options):
    """Return the engine as it comes back after a restart."""
    return Engine.restore(rules, json.loads(json.dumps(engine.snapshot())), presence, **options)


def reading(minutes, sensor, quantity, value):
    return Reading(sensor, quantity, value, START + timedelta(minutes=minutes))


def minutes_of(events):
    """Return events as (minute, phase)."""
    return [((e.at - START) / timedelta(minutes=1), e.phase) for e in events]


def at_minute(minutes):
    return START + timedelta(minutes=minutes)


# What holds for all rules and all readings.


@settings(max_examples=60)
@given(rule_lists(), stories(), st.data())
def test_how_often_and_when_time_is_told_changes_nothing(rules, readings, data):
    engine, events = Engine(rules, HOME), []
    events += engine.advance(START)
    for each in readings:
        for share in sorted(data.draw(st.lists(st.floats(0, 1), max_size=3))):
            events += engine.advance(engine.now + (each.at - engine.now) * share)
        events += engine.observe(each)
    events += engine.advance(end_of(readings))
    assert events == lived(Engine(rules, HOME), readings)


@settings(max_examples=60)
@given(rule_lists(), stories(), st.integers(0, 39))
def test_a_restart_at_any_moment_changes_nothing(rules, readings, split):
    engine = Engine(rules, HOME)
    events = lived(engine, readings[:1], days=0)
    for n, each in enumerate(readings[1:]):
        if n >= split:
            engine = rebuilt(engine, rules)
        events += engine.observe(each)
    events += rebuilt(engine, rules).advance(end_of(readings))
    assert events == lived(Engine(rules, HOME), readings)


@settings(max_examples=60)
@given(rule_lists(), stories(), st.integers(0, 39))
def test_a_copy_and_its_original_go_their_own_ways(rules, readings, split):
    engine = Engine(rules, HOME)
    before = [e for each in readings[:split] for e in engine.observe(each)]
    twin, expected = copy.deepcopy(engine), lived(Engine(rules, HOME), readings)
    for each in (twin, engine):
        rest = [e for reading in readings[split:] for e in each.observe(reading)]
        assert before + rest + each.advance(end_of(readings)) == expected


@settings(max_examples=60)
@given(rule_lists(alone=True), stories())
def test_readings_of_one_sensor_never_change_an_alert_on_another(rules, readings):
    together = lived(Engine(rules), readings)
    for sensor in SENSORS:
        own = [each for each in readings if each.sensor == sensor]
        alone = Engine(rules)
        events = lived(alone, own) if own else alone.advance(START)
        events += alone.advance(end_of(readings))
        assert [e for e in events if e.sensor == sensor and e.at <= end_of(readings)] == [
            e for e in together if e.sensor == sensor
        ]


@settings(max_examples=60)
@given(
    rule_lists(hours=(None,)),
    stories(),
    st.integers(0, 39),
    st.timedeltas(timedelta(days=-30), timedelta(days=20_000)),
)
def test_a_clock_that_is_set_right_tells_the_same_story_on_another_clock(
    rules, readings, split, by
):
    check_shifted(rules, readings, split, by)


@settings(max_examples=60)
@given(rule_lists(), stories(), st.integers(0, 39), st.integers(-30, 30).map(timedelta))
def test_a_clock_that_is_set_by_whole_days_does_not_disturb_hours_either(
    rules, readings, split, by
):
    check_shifted(rules, readings, split, by)


def check_shifted(rules, readings, split, by):
    engine, expected = Engine(rules, HOME), Engine(rules, HOME)
    for each in readings[:split]:
        assert engine.observe(each) == expected.observe(each)
    engine.shift(by)
    later = [Reading(r.sensor, r.quantity, r.value, r.at + by) for r in readings[split:]]
    shifted = [e for each in later for e in engine.observe(each)]
    shifted += engine.advance(end_of(readings) + by)
    same = [e for each in readings[split:] for e in expected.observe(each)]
    same += expected.advance(end_of(readings))
    assert shifted == [moved(event, by) for event in same]


def moved(event, by):
    rest = (event.severity, event.value)
    return AlertEvent(event.rule, event.sensor, event.phase, event.at + by, event.since + by, *rest)


@settings(max_examples=60)
@given(rule_lists(), stories())
def test_events_of_one_call_are_in_the_order_of_time(rules, readings):
    engine = Engine(rules, HOME)
    engine.advance(START)
    calls = [engine.observe(each) for each in readings]
    calls.append(engine.advance(end_of(readings)))
    events = [event for call in calls for event in call]
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert all(START <= e.since <= e.at <= end_of(readings) for e in events)


@settings(max_examples=60)
@given(rule_lists(), stories())
def test_an_alert_fires_and_is_over_in_turn(rules, readings):
    engine, told = Engine(rules, HOME), {}
    place = {r.name: (lambda e: "") if r.condition.together else (lambda e: e.sensor) for r in rules}
    for event in lived(engine, readings):
        told.setdefault((event.rule, place[event.rule](event)), []).append(event.phase)
    for phases in told.values():
        assert phases == [FIRING, QUIET] * (len(phases) // 2) + [FIRING] * (len(phases) % 2)
    fire = {key for key, phases in told.items() if phases[-1] is FIRING}
    assert fire == {
        (w.rule.name, "" if w.rule.condition.together else w.sensor)
        for w in engine.open
        if w.alert.phase is FIRING
    }


@settings(max_examples=60)
@given(rule_lists(), stories())
def test_no_timer_is_missing_looking_at_every_alert_all_the_time_changes_nothing(rules, readings):
    engine, events = Engine(rules, HOME), []
    events += engine.advance(START)
    for each in [*readings, None]:
        until = each.at if each else end_of(readings)
        while engine.now < until:
            now = min(until, engine.now + timedelta(minutes=30))
            for watch in engine._watches:
                engine._look_at(watch, now)
            events += engine.advance(now)
        events += engine.observe(each) if each else []
    assert events == lived(Engine(rules, HOME), readings)


@settings(max_examples=60)
@given(rule_lists(), rule_lists(), stories(), st.integers(0, 39))
def test_rules_that_come_and_go_with_a_restart_leave_the_others_alone(
    rules, others, readings, split
):
    others = [copy.replace(r, name=f"other {n}") for n, r in enumerate(others)]
    engine = Engine([*others, *rules], HOME)
    events = engine.advance(START)
    for n, each in enumerate(readings):
        if n == split:
            engine = rebuilt(engine, [*rules, *others[:1]])
        events += engine.observe(each)
    events += engine.advance(end_of(readings))
    names = {rule.name for rule in rules}
    assert [e for e in events if e.rule in names] == lived(Engine(rules, HOME), readings)


@settings(max_examples=60)
@given(rule_lists(), stories())
def test_no_story_fills_the_memory_with_timers(rules, readings):
    engine = Engine(rules, HOME)
    for each in readings:
        engine.observe(each)
        assert len(engine._timers) <= 2 * len(engine._watches)
