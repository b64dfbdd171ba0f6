"""The sliding lowest value: against the plain way to find it, and within its memory."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.change import SLOTS, Change
from rules.lifecycle import Verdict

START = datetime(2026, 1, 5, tzinfo=UTC)
WITHIN = timedelta(minutes=30)
SLOT = WITHIN / SLOTS
BY = 5.0


def timed(steps):
    at, found = START, []
    for seconds, value in steps:
        at += timedelta(seconds=seconds)
        found.append(Reading("s", Quantity.TEMPERATURE_CELSIUS, float(value), at))
    return found


lives = st.lists(
    st.tuples(st.integers(0, 400), st.integers(-20, 40)), min_size=1, max_size=200
).map(timed)


def judged(change, readings):
    return [change.judge(reading, None) for reading in readings]


def lowest(readings, last, within):
    return min(r.value for r in readings if last.at - within <= r.at)


@given(lives)
def test_what_rises_that_far_is_found_and_nothing_else(readings):
    change = Change(BY, WITHIN, 0.0, is_fall=False)
    for n, reading in enumerate(readings, 1):
        verdict = change.judge(reading, None)
        heard = readings[:n]
        # Of a value in the first slot of the window it may be known or forgotten.
        least = reading.value - lowest(heard, reading, WITHIN - 2 * SLOT)
        most = reading.value - lowest(heard, reading, WITHIN)
        if verdict is Verdict.BREACHED:
            assert most >= BY
        else:
            assert least < BY
        assert len(change._low) <= SLOTS + 2


@given(lives, st.integers(0, 200))
def test_a_dump_at_any_moment_changes_nothing(readings, split):
    whole = judged(Change(BY, WITHIN, 2.0, is_fall=True), readings)
    before = Change(BY, WITHIN, 2.0, is_fall=True)
    told = judged(before, readings[:split])
    after = Change(BY, WITHIN, 2.0, is_fall=True, dumped=before.dump())
    assert told + judged(after, readings[split:]) == whole


@given(lives, st.integers(-1000, 1000))
def test_a_clock_that_is_set_changes_nothing(readings, minutes):
    by, split = timedelta(minutes=minutes), len(readings) // 2
    whole = judged(Change(BY, WITHIN, 0.0, is_fall=False), readings)
    change = Change(BY, WITHIN, 0.0, is_fall=False)
    told = judged(change, readings[:split])
    change.shift(by)
    moved = [Reading(r.sensor, r.quantity, r.value, r.at + by) for r in readings[split:]]
    assert told + judged(change, moved) == whole


@given(lives)
def test_a_fall_is_the_rise_of_the_negative_value(readings):
    negative = [Reading(r.sensor, r.quantity, -r.value, r.at) for r in readings]
    risen = judged(Change(BY, WITHIN, 1.0, is_fall=False), readings)
    assert judged(Change(BY, WITHIN, 1.0, is_fall=True), negative) == risen
