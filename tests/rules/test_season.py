"""Degree days and the mean after heading: against the formulas, and against gaps and restarts."""

import json
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.degree_days import DegreeDays
from rules.conditions.ripening_heat import RipeningHeat
from rules.engine import Engine, Rule
from rules.formulas.rice import (
    RIPE_AT_DEGREE_DAYS,
    RIPENING_DAYS,
    accumulated_temperature_degree_days,
    ripening_mean_celsius,
)
from rules.lifecycle import Verdict

TOKYO = ZoneInfo("Asia/Tokyo")
HEADING = date(2026, 8, 5)
FIRST = HEADING + timedelta(days=1)
LAST_MOMENT = time(23, 59, 59, 999_999)

celsius = st.floats(-10, 40)
heard_days = st.lists(celsius, min_size=1, max_size=40)
perhaps_heard_days = st.lists(st.one_of(st.none(), celsius), min_size=1, max_size=40)


def moment(day, hour):
    """Return a time of the n-th day after heading, which is day 1."""
    return datetime.combine(HEADING + timedelta(days=day), hour, TOKYO).astimezone(UTC)


def readings(means, first=1):
    """Return what a sensor says on days of these means; None: nothing."""
    hours = [*map(time, range(0, 24, 6)), LAST_MOMENT]
    return [
        Reading("field", Quantity.TEMPERATURE_CELSIUS, mean, moment(day, hour))
        for day, mean in enumerate(means, first)
        if mean is not None
        for hour in hours
    ]


def lived(memory, means):
    """Return what the first word of the day after them means, and what speaks for it."""
    verdict = Verdict.UNDECIDED
    for reading in [*readings(means), *readings([20.0], len(means) + 1)[:1]]:
        verdict = memory.judge(reading, None)
    return verdict, memory.evidence(moment(len(means) + 1, time()))


def filled(means):
    """Return them with what is guessed of the days that were not heard, up to the last known."""
    known = [day for day, mean in enumerate(means) if mean is not None]
    found = []
    for day in range(known[-1] + 1 if known else 0):
        before = max((k for k in known if k <= day), default=known[0])
        after = min(k for k in known if k >= day)
        part = (day - before) / (after - before) if after > before else 0
        found.append(means[before] + part * (means[after] - means[before]))
    return found, len(found) - len(known)


def degree_days(target=10_000.0, **settings):
    return DegreeDays(zone=TOKYO, first_day=FIRST, target_degree_days=target, **settings)


def ripening(**settings):
    return RipeningHeat(zone=TOKYO, heading=HEADING, **settings)


@given(heard_days, st.floats(-5, 15))
def test_the_sum_is_that_of_the_formula(means, base):
    _, evidence = lived(degree_days(base_celsius=base).remember(), means)
    expected = accumulated_temperature_degree_days(means, base)
    assert evidence["sum_degree_days"] == pytest.approx(expected, abs=0.06)
    assert evidence["counted_days"] == len(means)
    assert evidence["guessed_days"] == 0


@given(heard_days)
def test_the_mean_after_heading_is_that_of_the_formula(means):
    _, evidence = lived(ripening().remember(), means)
    assert evidence["mean_celsius"] == pytest.approx(ripening_mean_celsius(means), abs=0.06)
    assert evidence["counted_days"] == min(len(means), RIPENING_DAYS)


@given(perhaps_heard_days)
def test_what_was_not_heard_is_guessed_between_its_neighbours(means):
    _, evidence = lived(degree_days().remember(), means)
    expected, guessed = filled(means)
    total = accumulated_temperature_degree_days(expected)
    assert evidence["sum_degree_days"] == pytest.approx(total, abs=0.06)
    assert evidence["counted_days"] == len(expected)
    assert evidence["guessed_days"] == guessed


@given(st.lists(st.one_of(st.none(), celsius), min_size=1, max_size=RIPENING_DAYS))
def test_nothing_is_judged_while_more_is_guessed_than_known(means):
    expected, guessed = filled(means)
    verdict, _ = lived(ripening(least_days=1, limit_celsius=20, margin=0).remember(), means)
    if not expected:
        assert verdict is Verdict.CLEAR
    elif guessed > len(expected) - guessed:
        assert verdict is Verdict.UNDECIDED
    elif abs((mean := ripening_mean_celsius(expected)) - 20) > 1e-3:
        assert verdict is (Verdict.BREACHED if mean > 20 else Verdict.CLEAR)


@pytest.mark.parametrize(("cultivar", "days"), [("コシヒカリ", 42), ("あきたこまち", 38)])
def test_when_rice_is_ripe_at_25_degrees(cultivar, days):
    target, _ = RIPE_AT_DEGREE_DAYS[cultivar]
    memory = degree_days(target).remember()
    verdicts = [(memory.judge(reading, None), reading.at) for reading in readings([25.0] * 60)]
    first = next(at for verdict, at in verdicts if verdict is Verdict.BREACHED)
    assert first == moment(days + 1, time())


@pytest.mark.parametrize(("limit", "verdict"), [(26, Verdict.BREACHED), (27, Verdict.CLEAR)])
def test_the_sources_differ_about_twenty_days_of_26_and_a_half(limit, verdict):
    memory = ripening(limit_celsius=limit, least_days=20).remember()
    assert lived(memory, [29.0, 24.0] * 10)[0] is verdict
    # What comes after them is not the grain's heat any more.
    reading = Reading("field", Quantity.TEMPERATURE_CELSIUS, 38.0, moment(22, time()))
    assert memory.judge(reading, None) is verdict
    assert memory.evidence(reading.at)["mean_celsius"] == 26.5


RULES = [
    Rule("ripe", degree_days(60), ("a", "b"), Quantity.TEMPERATURE_CELSIUS),
    Rule(
        "moth",
        degree_days(30, base_celsius=10, over_after=timedelta(hours=30)),
        ("a", "b"),
        Quantity.TEMPERATURE_CELSIUS,
        timedelta(hours=2),
    ),
    Rule("hot", ripening(least_days=1), ("a", "b")),
    Rule("long hot", ripening(least_days=2, margin=0), ("a", "b"), None, timedelta(days=1)),
]
START = moment(0, time(9))

steps = st.lists(
    st.tuples(
        st.sampled_from([0, 60, 350, 360, 390, 500, 2000]),
        st.sampled_from("ab"),
        st.sampled_from([8.0, 20.0, 26.0, 31.0, 99.0]),
    ),
    max_size=80,
)


def spoken(steps):
    at, found = START, []
    for minutes, sensor, value in steps:
        at += timedelta(minutes=minutes)
        found.append(Reading(sensor, Quantity.TEMPERATURE_CELSIUS, value, at))
    return found


def told(found, *, every=None, restart_after=None):
    """Return what is told until fifty days after the last of these readings."""
    engine, events = Engine(RULES), []
    events += engine.advance(START)
    for n, reading in enumerate(found):
        while every is not None and engine.now + every < reading.at:
            events += engine.advance(engine.now + every)
        events += engine.observe(reading)
        if restart_after is not None and n % restart_after == 0:
            engine = Engine.restore(RULES, json.loads(json.dumps(engine.snapshot())))
    return events + engine.advance(engine.now + timedelta(days=50))


@given(steps, st.integers(10, 900))
def test_how_often_time_is_told_changes_nothing(steps, minutes):
    found = spoken(steps)
    assert told(found, every=timedelta(minutes=minutes)) == told(found)


@given(steps, st.integers(1, 10))
def test_a_restart_at_any_moment_changes_nothing(steps, after):
    found = spoken(steps)
    assert told(found, restart_after=after) == told(found)


@given(steps, st.integers(0, 80), st.integers(-4000, 4000))
def test_a_clock_that_is_set_lets_every_alert_end_once(steps, split, minutes):
    found, by = spoken(steps), timedelta(minutes=minutes)
    engine, events = Engine(RULES), []
    for reading in found[:split]:
        events += engine.observe(reading)
    engine.shift(by)
    for r in found[split:]:
        events += engine.observe(Reading(r.sensor, r.quantity, r.value, r.at + by))
    if engine.now is not None:
        events += engine.advance(engine.now + timedelta(days=70))
    assert not engine.open
    for rule in RULES:
        for sensor in rule.sensors:
            phases = [e.phase for e in events if (e.rule, e.sensor) == (rule.name, sensor)]
            assert phases == ["firing", "quiet"] * (len(phases) // 2)


def firing(rule):
    """Return an engine in which it fires since the end of the third day."""
    engine = Engine([rule])
    for reading in [*readings([30.0] * 3), *readings([30.0], 4)[:1]]:
        engine.observe(reading)
    assert [watch.alert.phase for watch in engine.open] == ["firing"]
    return engine


def test_the_end_of_the_season_stays_where_it_is_when_the_clock_is_set_back():
    engine = firing(Rule("hot", ripening(least_days=3), ("field",)))
    engine.shift(timedelta(hours=-20))
    events = engine.advance(moment(60, time()))
    assert [(event.phase, event.at) for event in events] == [("quiet", moment(31, time()))]


def test_the_end_of_an_alert_moves_with_the_clock():
    ripe = Rule("ripe", degree_days(90), ("field",), Quantity.TEMPERATURE_CELSIUS)
    engine, by = firing(ripe), timedelta(hours=5)
    engine.shift(by)
    events = engine.advance(moment(60, time()))
    assert [(event.phase, event.at) for event in events] == [("quiet", moment(18, time()) + by)]


def test_a_target_that_is_raised_can_be_reached_again():
    reached, higher = (
        Rule("ripe", degree_days(target), ("field",), Quantity.TEMPERATURE_CELSIUS)
        for target in (90, 150)
    )
    engine = Engine.restore([higher], firing(reached).snapshot())
    events = [event for r in readings([30.0] * 30, 4)[1:] for event in engine.observe(r)]
    assert [(event.phase, event.at) for event in events] == [
        ("quiet", moment(4, time(6))),
        ("firing", moment(6, time())),
        ("quiet", moment(20, time())),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (degree_days(90), degree_days(1000)),
        (degree_days(90), DegreeDays(TOKYO, FIRST.replace(year=2027), 90)),
        (degree_days(90), degree_days(90, base_celsius=10)),
        (ripening(least_days=3), RipeningHeat(TOKYO, HEADING.replace(year=2027))),
        (ripening(least_days=3), ripening(least_days=3, limit_celsius=31)),
    ],
)
def test_what_fired_by_other_settings_is_over_with_the_next_word(before, after):
    choice = Quantity.TEMPERATURE_CELSIUS if isinstance(before, DegreeDays) else None
    written = firing(Rule("rice", before, ("field",), choice)).snapshot()
    engine = Engine.restore([Rule("rice", after, ("field",), choice)], written)
    events = engine.observe(readings([30.0], 4)[1])
    assert [event.phase for event in events] == ["quiet"]


def test_what_is_remembered_stays_small():
    memory = degree_days().remember()
    for reading in readings([21.3] * 500):
        memory.judge(reading, None)
    assert len(json.dumps(memory.dump())) < 300


def test_it_ends_after_400_days():
    memory = degree_days().remember()
    lived(memory, [1.0] * 450)
    assert memory.evidence(START)["counted_days"] == 401


@pytest.mark.parametrize("condition", [degree_days(), ripening()], ids=["degree days", "ripening"])
@pytest.mark.parametrize(
    "garbage", ["text", [1], {"a": 1}, 5, [None] * 9, [["x"]] * 5, ["x", 1], [[], "a", "b"]]
)
def test_garbage_is_refused_as_such(condition, garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        condition.remember(garbage)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_degree_days": 0},
        {"target_degree_days": 20_001},
        {"base_celsius": 41},
        {"base_celsius": float("nan")},
        {"over_after": timedelta(minutes=59)},
        {"over_after": timedelta(days=61)},
        {"first_day": date(9999, 12, 31)},
    ],
)
def test_degree_days_refuse_what_makes_no_sense(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        DegreeDays(**{"zone": TOKYO, "first_day": FIRST, "target_degree_days": 1050, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"limit_celsius": 19},
        {"limit_celsius": float("nan")},
        {"margin": -1},
        {"least_days": 0},
        {"least_days": 21},
        {"heading": date(1, 1, 1)},
    ],
)
def test_ripening_heat_refuses_what_makes_no_sense(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        RipeningHeat(**{"zone": TOKYO, "heading": HEADING, **settings})
