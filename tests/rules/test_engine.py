"""What the engine promises for all rules and all readings, and the odd things that happen to it."""

import copy
import json
from dataclasses import replace
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
    [
        Above(5),
        Above(5, margin=1),
        Below(5),
        Outside(3, 7, margin=1),
        Opened(),
        Silent(),
        Inactive(),
    ]
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


def lived(engine, readings, until=None):
    """Return all events of a story and of two days after it."""
    events = engine.advance(START)
    for reading in readings:
        events += engine.observe(reading)
    return events + engine.advance(until or end_of(readings))


def end_of(readings):
    return readings[-1].at + timedelta(days=2)


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
    events = engine.advance(START)
    for n, each in enumerate(readings):
        if n >= split:
            engine = rebuilt(engine, rules)
        events += engine.observe(each)
    events += rebuilt(engine, rules).advance(end_of(readings))
    assert events == lived(Engine(rules, HOME), readings)


@settings(max_examples=60)
@given(rule_lists(), stories(), st.integers(0, 39))
def test_a_copy_and_its_original_go_their_own_ways(rules, readings, split):
    engine = Engine(rules, HOME)
    before = engine.advance(START)
    before += [e for each in readings[:split] for e in engine.observe(each)]
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
        events = lived(Engine(rules), own, until=end_of(readings))
        assert [e for e in events if e.sensor == sensor] == [
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
    return replace(event, at=event.at + by, since=event.since + by)


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
    together = {rule.name for rule in rules if rule.condition.together}
    for event in lived(engine, readings):
        alert = (event.rule, "" if event.rule in together else event.sensor)
        told.setdefault(alert, []).append(event.phase)
    for phases in told.values():
        assert phases == ([FIRING, QUIET] * len(phases))[: len(phases)]
    still_firing = [watch for watch in engine.open if watch.alert.phase is FIRING]
    assert len(still_firing) == sum(phases[-1] is FIRING for phases in told.values())


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
    others = [replace(r, name=f"other {n}") for n, r in enumerate(others)]
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


# What an event says.


def test_an_event_says_which_rule_which_sensor_since_when_and_the_value_that_was_judged():
    rule = Rule("too warm", Above(5), ("shed",), TEMPERATURE, timedelta(minutes=10))
    engine = Engine([replace(rule, severity=Severity.DANGER)])
    events = engine.observe(reading(0, "shed", TEMPERATURE, 6.0))
    events += engine.observe(reading(8, "shed", TEMPERATURE, 7.0))
    events += engine.observe(reading(20, "shed", TEMPERATURE, 5.0))
    common = {
        "rule": "too warm",
        "sensor": "shed",
        "since": START,
        "severity": Severity.DANGER,
        "condition": "above",
        "quantity": TEMPERATURE,
        "evidence": (("hold_s", 600.0), ("limit", 5.0), ("margin", 0.0)),
    }
    assert events == [
        AlertEvent(phase=FIRING, at=at_minute(10), value=7.0, **common),
        AlertEvent(phase=QUIET, at=at_minute(20), value=5.0, **common),
    ]


def test_an_alert_that_nobody_caused_has_no_value():
    engine = Engine([Rule("silent", Silent(), ("shed",), hold_for=timedelta(hours=1))])
    engine.advance(START)
    [event] = engine.advance(at_minute(60))
    assert (event.sensor, event.value) == ("shed", None)


def test_open_alerts_are_those_that_wait_or_fire():
    rule = Rule("open", Opened(), ("door", "shed"), hold_for=timedelta(minutes=5))
    engine = Engine([rule])
    assert engine.open == []
    engine.observe(reading(0, "door", CONTACT, 1.0))
    engine.observe(reading(5, "shed", CONTACT, 1.0))
    assert [(w.rule, w.sensor, w.alert.phase, w.value) for w in engine.open] == [
        (rule, "door", FIRING, 1.0),
        (rule, "shed", Phase.PENDING, 1.0),
    ]


# Time.


def test_event_time_is_the_newest_time_told_and_never_goes_back():
    engine = Engine([])
    assert engine.now is None
    for minute, now in ((5, 5), (3, 5), (7, 7)):
        assert engine.advance(at_minute(minute)) == []
        assert engine.now == at_minute(now)


@pytest.mark.parametrize(
    ("late_by", "late", "phase"), [(TOLERANCE, 0, QUIET), (TOLERANCE * 1.001, 1, FIRING)]
)
def test_a_reading_that_is_too_late_is_counted_and_not_judged(late_by, late, phase):
    engine = Engine([Rule("warm", Above(5), ("shed",), TEMPERATURE)])
    engine.observe(reading(1, "shed", TEMPERATURE, 6.0))
    engine.observe(Reading("shed", TEMPERATURE, 4.0, at_minute(1) - late_by))
    assert engine.late == late
    assert [w.alert.phase for w in engine.open] == ([FIRING] if phase is FIRING else [])


def test_a_time_without_zone_is_refused_before_it_does_harm():
    engine = Engine([])
    with pytest.raises(ValueError, match="no time zone"):
        engine.advance(datetime(2026, 1, 5))  # noqa: DTZ001
    engine.advance(START)
    assert engine.now == START


def test_a_leap_of_fifty_six_years_is_lived_through_at_once():
    rules = [
        Rule("night", Opened(), ("door",), hold_for=timedelta(hours=1), hours=NIGHT),
        Rule("away", Opened(), ("door",), hours=NIGHT, presence=Presence.AWAY),
        Rule("silent", Silent(), ("shed",), hold_for=timedelta(days=1)),
    ]
    engine = Engine(rules)
    first = datetime(1970, 1, 1, tzinfo=UTC)
    engine.observe(Reading("door", CONTACT, 1.0, first))
    # 22:00 in Tokyo is 13:00.
    assert [(e.rule, e.at - first) for e in engine.advance(START)] == [
        ("night", timedelta(hours=14)),
        ("silent", timedelta(days=1)),
    ]


def test_a_clock_that_is_set_before_anything_was_heard_disturbs_nothing():
    engine = Engine([Rule("silent", Silent(), ("shed",), hold_for=timedelta(hours=1))])
    engine.shift(timedelta(days=20_000))
    engine.advance(START)
    assert minutes_of(engine.advance(at_minute(90))) == [(60, FIRING)]


def test_a_clock_that_is_set_back_out_of_the_hours_stops_the_waiting_time():
    engine = Engine([Rule("r", Opened(), ("door",), hold_for=timedelta(minutes=30), hours=DAY)])
    engine.observe(reading(0, "door", CONTACT, 1.0))
    engine.shift(timedelta(hours=-6))  # It is not noon but six in the morning.
    assert minutes_of(engine.advance(at_minute(0))) == [(-210, FIRING)]


# Memory.


def test_signs_of_life_leave_no_heap_of_timers():
    engine = Engine([Rule("silent", Silent(), ("shed",), hold_for=timedelta(hours=1))])
    for n in range(20_000):
        engine.observe(Reading("shed", TEMPERATURE, 1.0, START + timedelta(seconds=n)))
    assert len(engine._timers) <= 2


def test_coming_and_going_all_day_leaves_no_heap_of_timers_and_none_is_lost():
    # The shed stands open, but nobody stays at home long enough for it to be told.
    hold_for = timedelta(seconds=15)
    rule = Rule("open", Opened(), ("shed",), None, hold_for, DAY, Presence.HOME)
    silent = Rule("silent", Silent(), ("shed",), hold_for=timedelta(days=30))
    engine = Engine([silent, rule], PresenceSensors({"door"}, {"kitchen"}, timedelta(seconds=2)))
    engine.observe(reading(0, "shed", CONTACT, 1.0))
    engine.observe(reading(0, "door", CONTACT, 1.0))
    for n in range(400):
        assert engine.observe(reading(n, "kitchen", Quantity.BUTTON_EVENT, 1.0)) == []
        assert engine.observe(reading(n + 0.1, "door", CONTACT, float(n % 2))) == []
        assert len(engine._timers) <= 4
        stayed = copy.deepcopy(engine)
        stayed.observe(reading(n + 0.5, "kitchen", Quantity.BUTTON_EVENT, 1.0))
        assert minutes_of(stayed.advance(at_minute(n + 1))) == [(n + 0.75, FIRING)]


def test_sensors_that_no_rule_watches_are_not_remembered():
    engine = Engine([Rule("warm", Above(5), ("shed",), TEMPERATURE)], HOME)
    engine.observe(reading(0, "shed", TEMPERATURE, 1.0))
    before = engine.snapshot()
    for n in range(1000):
        assert engine.observe(reading(0, f"stranger {n}", TEMPERATURE, 99.0)) == []
    assert engine.snapshot() == before


def test_sensors_that_are_watched_no_more_are_forgotten_with_a_restart():
    engine = Engine([Rule("warm", Above(5), ("shed",), TEMPERATURE)])
    engine.observe(reading(0, "shed", TEMPERATURE, 1.0))
    assert rebuilt(engine, [], None).snapshot()["values"] == []


# Restarts with another configuration.


HOUR = timedelta(hours=1)
SILENT = Rule("silent", Silent(), ("shed",), hold_for=HOUR)


def test_a_rule_that_is_new_begins_when_the_gateway_listens_again():
    engine = Engine([])
    engine.advance(START)
    engine = rebuilt(engine, [SILENT], listening_from=at_minute(600))
    assert minutes_of(engine.advance(at_minute(900))) == [(660, FIRING)]


def test_a_rule_that_is_removed_is_forgotten():
    engine = Engine([SILENT])
    engine.advance(START)
    engine = rebuilt(rebuilt(engine, []), [SILENT], listening_from=at_minute(30))
    assert minutes_of(engine.advance(at_minute(900))) == [(90, FIRING)]


def test_a_rule_that_judges_something_else_today_begins_anew():
    warm = Rule("shed", Above(5), ("shed",), TEMPERATURE, HOUR)
    engine = Engine([replace(SILENT, name="shed")])
    engine.advance(START)
    engine = rebuilt(engine, [warm])
    assert engine.advance(at_minute(600)) == []
    engine = rebuilt(engine, [replace(SILENT, name="shed")])
    assert minutes_of(engine.advance(at_minute(900))) == [(660, FIRING)]


def test_a_sensor_that_is_added_to_a_rule_has_an_alert_of_its_own_from_now_on():
    engine = Engine([SILENT])
    engine.advance(START)
    engine = rebuilt(engine, [replace(SILENT, sensors=("kitchen", "shed"))], listening_from=START)
    events = engine.observe(reading(30, "shed", TEMPERATURE, 1.0))
    events += engine.advance(at_minute(80))
    assert [(e.sensor, e.at) for e in events] == [("kitchen", at_minute(60))]


def test_a_rule_that_has_no_hours_any_more_sees_the_door_that_is_open():
    night = Rule("open", Opened(), ("door",), hold_for=HOUR, hours=NIGHT)
    engine = Engine([night])
    engine.observe(reading(0, "door", CONTACT, 1.0))
    engine = rebuilt(engine, [replace(night, hours=None)])
    assert minutes_of(engine.advance(at_minute(200))) == [(60, FIRING)]


@pytest.mark.parametrize("set_back", [0, 20])
def test_rules_with_shorter_hold_times_fire_when_those_were_over_and_in_that_order(set_back):
    rule = Rule("open", Opened(), ("door",), hold_for=10 * HOUR)
    engine = Engine([rule, replace(rule, name="other", hold_for=2 * HOUR)])
    engine.observe(reading(0, "door", CONTACT, 1.0))
    engine.advance(at_minute(100))
    rules = [replace(rule, hold_for=HOUR), replace(rule, name="other", hold_for=HOUR / 2)]
    events = rebuilt(engine, rules, listening_from=at_minute(100 - set_back)).advance(
        at_minute(101)
    )
    assert [(e.rule, e.at) for e in events] == [
        ("other", at_minute(30 - set_back)),
        ("open", at_minute(60 - set_back)),
    ]


def test_where_presence_is_not_told_any_more_nobody_stays_away_for_ever():
    still = Rule("still", Inactive(), ("kitchen",), hold_for=HOUR, presence=Presence.HOME)
    engine = Engine([still], HOME)
    engine.observe(reading(0, "door", CONTACT, 0.0))
    engine.observe(reading(1, "door", CONTACT, 1.0))
    engine.advance(at_minute(30))
    assert engine.presence is Presence.AWAY
    engine = rebuilt(engine, [still], None)
    assert engine.presence is Presence.UNKNOWN
    assert minutes_of(engine.advance(at_minute(900))) == [(90, FIRING)]


def test_nobody_is_away_because_nobody_listened():
    engine = Engine([], HOME)
    for minute, value in ((0, 0.0), (1, 1.0)):
        engine.observe(reading(minute, "door", CONTACT, value))
    engine = rebuilt(engine, [], listening_from=at_minute(60))
    engine.advance(at_minute(69))
    assert engine.presence is Presence.UNKNOWN
    engine.advance(at_minute(70))
    assert engine.presence is Presence.AWAY


def test_a_clock_that_wakes_up_in_the_past_and_is_set_right_leaves_nobody_deaf():
    rules = [Rule("warm", Above(5), ("shed",), TEMPERATURE)]
    engine = Engine(rules)
    engine.observe(reading(60, "shed", TEMPERATURE, 1.0))
    engine = rebuilt(engine, rules, listening_from=at_minute(10))
    assert minutes_of(engine.observe(reading(12, "shed", TEMPERATURE, 6.0))) == [(12, FIRING)]
    engine.shift(timedelta(minutes=53))
    assert minutes_of(engine.observe(reading(66, "shed", TEMPERATURE, 1.0))) == [(66, QUIET)]
    assert engine.late == 0


def test_before_anything_was_heard_there_is_nothing_to_restore():
    engine = rebuilt(Engine([SILENT]), [SILENT], listening_from=START)
    assert engine.now is None
    engine.advance(START)
    assert minutes_of(engine.advance(at_minute(90))) == [(60, FIRING)]


# What cannot be right.


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"sensors": ()}, "watches no sensor"),
        ({"sensors": ("shed", "shed")}, "names a sensor twice"),
        ({"hold_for": timedelta(seconds=-1)}, "below 0"),
        ({"hold_for": timedelta(0)}, "needs a hold time"),
        ({"hold_for": timedelta(hours=8), "hours": NIGHT}, "would never fire"),
    ],
)
def test_a_rule_that_could_never_be_right_is_refused(wrong, problem):
    with pytest.raises(ValueError, match=f"rule 'silent' .*{problem}"):
        replace(SILENT, **wrong)


def test_a_hold_time_as_long_as_the_hours_can_just_be_over():
    rule = Rule("open", Opened(), ("door",), hold_for=NIGHT.length, hours=NIGHT)
    engine = Engine([rule])
    engine.observe(reading(0, "door", CONTACT, 1.0))
    # From 22:00 to 05:00 the next morning.
    assert minutes_of(engine.advance(at_minute(3000))) == [(17 * 60, FIRING)]


def test_a_rule_that_names_nothing_to_judge_is_refused():
    with pytest.raises(ValueError, match="names no quantity"):
        Engine([Rule("warm", Above(5), ("shed",))])


def test_two_rules_of_the_same_name_are_refused_because_their_alerts_would_mix():
    with pytest.raises(ValueError, match="two rules are called 'silent'"):
        Engine([SILENT, replace(SILENT, hold_for=2 * HOUR)])


@pytest.mark.parametrize(
    "settings_of",
    [
        lambda: Above(5, -1),
        lambda: Below(5, -1),
        lambda: Outside(7, 3),
        lambda: Outside(3, 7, -1),
        lambda: Outside(3, 7, 2.1),
    ],
)
def test_a_margin_below_0_or_a_band_that_leaves_nothing_is_refused(settings_of):
    with pytest.raises(ValueError, match="margin"):
        settings_of()


def full_engine():
    rules = [SILENT, Rule("night", Opened(), ("door",), hold_for=HOUR, hours=NIGHT)]
    rules.append(Rule("still", Inactive(), SENSORS, hold_for=HOUR, presence=Presence.HOME))
    engine = Engine(rules, HOME)
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    engine.observe(reading(0, "door", CONTACT, 0.0))
    engine.observe(reading(1, "door", CONTACT, 1.0))
    return engine, rules


@pytest.mark.parametrize("garbage", [None, 5, "now", [], {}, {"now": "2026-01-05T00:00:00+00:00"}])
def test_what_is_no_snapshot_at_all_is_refused(garbage):
    with pytest.raises(ValueError):
        Engine.restore([SILENT], garbage)


@pytest.mark.parametrize(
    ("part", "garbage"),
    [
        ("now", 5),
        ("now", "yesterday"),
        ("now", "2026-01-05T00:00:00"),
        ("now", "9999-12-31T23:59:59+00:00"),
        ("late", "many"),
        ("late", None),
        ("late", float("inf")),
        ("presence", {}),
        ("presence", ["abroad", None, None]),
        ("presence", ["home", 5, None]),
        ("values", 5),
        ("values", [["shed", "temperature_celsius"]]),
        ("values", [["shed", "colour", 5.0]]),
        ("values", [[[], "temperature_celsius", 5.0]]),
        ("watches", []),
        ("watches", {"silent\nSilent\nshed": []}),
        ("watches", {"silent\nSilent\nshed": ["asleep", "", True, "", "shed", None]}),
        ("watches", {"silent\nSilent\nshed": [["pending"], None, True, None, "shed", None]}),
    ],
)
def test_a_snapshot_with_a_part_that_cannot_be_is_refused(part, garbage):
    engine, rules = full_engine()
    with pytest.raises(ValueError):
        Engine.restore(rules, engine.snapshot() | {part: garbage}, HOME)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def damaged(draw, body):
    """Return the snapshot with one thing in it, or all of it, replaced."""
    if not isinstance(body, dict | list) or not body or draw(st.integers(0, 5)) == 0:
        return draw(json_values)
    key = draw(st.sampled_from(sorted(body) if isinstance(body, dict) else range(len(body))))
    body = copy.copy(body)
    if draw(st.integers(0, 9)) == 0:
        del body[key]
    else:
        body[key] = damaged(draw, body[key])
    return body


@settings(max_examples=150)
@given(st.data(), st.sampled_from([None, START, at_minute(600), at_minute(-600)]))
def test_a_snapshot_that_is_damaged_is_refused_or_can_be_lived_with(data, listening_from):
    engine, rules = full_engine()
    snapshot = damaged(data.draw, engine.snapshot())
    try:
        engine = Engine.restore(rules, snapshot, HOME, listening_from=listening_from)
    except ValueError:
        return
    engine.observe(reading(700, "kitchen", MOTION, 1.0))
    engine.advance(at_minute(5000))
    json.dumps(engine.snapshot())
