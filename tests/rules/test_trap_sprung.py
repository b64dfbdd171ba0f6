"""Whether something is in a trap: said only by those who can know."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.trap_sprung import ALIVE, GONE, TrapSprung
from rules.engine import Engine, Rule
from rules.lifecycle import Phase

START = datetime(2026, 7, 5, tzinfo=UTC)
EYES = ("eye", "far eye")
RULE = Rule("trap", TrapSprung(motion=EYES), ("trap", *EYES))
WATCH_FOR = RULE.condition.watch_for


def told(words, until):
    """Return what is told of a trap that springs at START; `words` are (s after it, eye, moves)."""
    engine, events = Engine([RULE]), []
    readings = [
        Reading(eye, Quantity.MOTION_DETECTED, float(moves), START + timedelta(seconds=seconds))
        for seconds, eye, moves in words
    ]
    readings.append(Reading("trap", Quantity.TRAP_SPRUNG, 1.0, START))
    for reading in sorted(readings, key=lambda reading: reading.at):
        events += engine.observe(reading)
    events += engine.advance(START + until)
    return [(event, dict(event.evidence).get("caught")) for event in events]


@pytest.mark.parametrize(
    ("words", "caught"),
    [
        ([], None),
        ([(-60, "eye", 0)], None),
        ([(-60, "eye", 0), (-60, "far eye", 0)], 0),
        ([(-60, "eye", 0), (-ALIVE.total_seconds(), "far eye", 0)], None),
        ([(-60, "eye", 0), (400, "far eye", 0)], 0),
        ([(-60, "eye", 1)], 1),
        ([(-ALIVE.total_seconds(), "eye", 1)], None),
    ],
)
def test_empty_is_said_only_if_every_motion_sensor_works(words, caught):
    ((event, found),) = told(words, timedelta(hours=1))
    assert (event.at, found) == (START + WATCH_FOR, caught)


words = st.lists(st.tuples(st.integers(-3600, 3600), st.sampled_from(EYES), st.booleans()))


@given(words)
def test_it_is_told_in_any_case_and_in_time(words):
    found = told(words, timedelta(hours=2))
    assert {event.phase for event, _ in found} == {Phase.FIRING}
    assert GONE <= found[0][0].at - START <= WATCH_FOR
    # Once more at most, and only because something moves after all.
    assert [caught for _, caught in found[1:]] in ([], [1])
