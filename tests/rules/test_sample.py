"""What is measured together is judged together, whatever order a sensor says it in."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.sample import RECENT, Sample

AIR = Quantity.TEMPERATURE_CELSIUS
HUMIDITY = Quantity.HUMIDITY_PERCENT
SUN = Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE
ALL = [AIR, HUMIDITY, SUN]
START = datetime(2026, 7, 5, tzinfo=UTC)

lives = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 5, 30, 61, 200]), st.sampled_from(ALL), st.integers(0, 99)),
    max_size=60,
)


def timed(steps):
    at, found = START, []
    for minutes, quantity, value in steps:
        at += timedelta(minutes=minutes)
        found.append(Reading("s", quantity, float(value), at))
    return found


def taken(sample, readings):
    return [sample.take(reading) for reading in readings]


def new(dumped=None):
    return Sample(AIR, {HUMIDITY}, dumped)


@given(lives)
def test_what_is_judged_is_complete_recent_and_the_last_of_each(steps):
    sample, heard = new(), {}
    for reading in timed(steps):
        heard[reading.quantity] = reading
        measured = sample.take(reading)
        recent = {q: r.value for q, r in heard.items() if reading.at - r.at <= RECENT}
        assert sample.recent(reading.at) == recent
        if measured is not None:
            assert measured == recent
            assert measured.keys() >= {AIR, HUMIDITY}


@given(lives)
def test_a_value_is_judged_once_but_for_what_comes_in_the_same_moment(steps):
    sample, fresh, judged = new(), set(), None
    for reading in timed(steps):
        fresh.add(reading.quantity)
        if sample.take(reading) is not None:
            assert fresh >= {AIR, HUMIDITY} or reading.at == judged
            fresh, judged = set(), reading.at


@given(
    st.lists(st.tuples(*[st.integers(0, 99)] * 3), min_size=2, max_size=9),
    st.permutations(ALL),
    st.sampled_from([1, 5, 60, 300]),
)
def test_from_the_second_word_on_each_is_judged_at_its_end_and_by_itself(words, order, minutes):
    sample = new()
    for n, word in enumerate(words):
        at, values = START + n * timedelta(minutes=minutes), dict(zip(ALL, word, strict=True))
        results = taken(sample, [Reading("s", q, float(values[q]), at) for q in order])
        assert results[-1] == values
        if n:
            assert results[:-1] == [None, None]


@given(lives, st.sampled_from([1, 20, 60, 300]))
def test_whatever_was_before_what_is_needed_is_judged_in_the_end(steps, minutes):
    sample = new()
    taken(sample, timed(steps))
    at = START + timedelta(days=9)
    for n in range(4 + RECENT // timedelta(minutes=minutes)):
        at += timedelta(minutes=minutes)
        values = {AIR: float(n), HUMIDITY: 50.0}
        results = taken(sample, [Reading("s", q, value, at) for q, value in values.items()])
    assert results == [None, values]


@given(lives, st.integers(0, 60))
def test_a_dump_at_any_moment_changes_nothing(steps, split):
    readings, before = timed(steps), new()
    told = taken(before, readings[:split])
    after = new(json.loads(json.dumps(before.dump())))
    assert told + taken(after, readings[split:]) == taken(new(), readings)


@given(lives, st.integers(0, 60), st.integers(-3000, 3000))
def test_a_clock_that_is_set_changes_nothing(steps, split, minutes):
    readings, by, sample = timed(steps), timedelta(minutes=minutes), new()
    told = taken(sample, readings[:split])
    sample.shift(by)
    moved = [Reading(r.sensor, r.quantity, r.value, r.at + by) for r in readings[split:]]
    assert told + taken(sample, moved) == taken(new(), readings)


@pytest.mark.parametrize(
    "garbage", ["text", [1], {"a": 1}, 5, [[["x", "y", 1]], [], None, None], [[], ["x"], None, 1]]
)
def test_garbage_is_refused_as_such(garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        new(garbage)
