"""From frames to commits, with clocks that are set and power that is cut."""

import json
from datetime import timedelta

import pytest

from agent import pipeline as pipeline_module
from cloud_sync.wire import EPOCH
from drivers.reading import Quantity
from rules.conditions.above import Above
from rules.conditions.inactive import Inactive
from rules.conditions.opened import Opened
from rules.conditions.silent import Silent
from rules.engine import Engine, Rule
from rules.lifecycle import Phase
from tests.agent.home import (
    AT,
    OPENED,
    after,
    door,
    events_in,
    meter,
    pipeline,
    points,
    press,
    readings_in,
)

HOURS_12 = timedelta(hours=12)
STILL = Rule("no sign of life", Inactive(), ("door", "button"), hold_for=HOURS_12)
DEAF = Rule("sensor is silent", Silent(), ("door", "meter"), hold_for=HOURS_12)
LEFT_OPEN = Rule("door left open", Opened(), ("door",), hold_for=timedelta(minutes=10))
WARM = Rule("warm", Above(30), ("meter",), Quantity.TEMPERATURE_CELSIUS)
YEARS = timedelta(days=20_000)


def told(commit):
    """Return (rule, phase, time) of each alert event."""
    return [
        (p.tags["rule"], p.tags["phase"], EPOCH + timedelta(microseconds=p.time_ns // 1000))
        for p in points(events_in(commit))
    ]


def test_a_frame_becomes_a_line_and_what_its_rule_says_of_it():
    home = pipeline(OPENED)
    home.receive(door(1))
    commit = home.take()
    (point,) = points(readings_in(commit))
    assert (point.measurement, point.tags, point.fields) == (
        "contact",
        {"gateway": "g1", "sensor": "door"},
        {"contact_open": 1},
    )
    assert told(commit) == [("door is open", "firing", AT)]
    assert home.waiting == 0


def test_the_state_is_of_the_moment_after_the_last_record():
    home = pipeline(OPENED)
    home.receive(door(1))
    states = home.take().states
    again = Engine.restore([OPENED], json.loads(states["engine"]))
    assert [watch.alert.phase for watch in again.open] == [Phase.FIRING]
    home.intake.sampler.load(states["sampler"])


def test_nothing_is_committed_when_nothing_was_heard():
    assert pipeline(OPENED).take() is None


def test_doors_buttons_and_alerts_are_urgent_and_numbers_are_not():
    urgent = []
    home = pipeline(WARM, on_urgent=lambda: urgent.append(1))
    home.receive(meter(20))
    assert len(urgent) == 0
    home.receive(door(1))
    home.receive(press())
    assert len(urgent) == 2
    home.receive(meter(31, after(60)))
    assert len(urgent) == 3


def test_what_is_due_by_passing_time_is_urgent():
    urgent = []
    home = pipeline(LEFT_OPEN, on_urgent=lambda: urgent.append(1))
    home.receive(door(1))
    urgent.clear()
    home.advance(after(599))
    assert not urgent
    home.advance(after(700))
    assert urgent
    assert told(home.take()) == [("door left open", "firing", after(600))]


def test_two_presses_within_a_microsecond_are_two_records():
    home = pipeline()
    home.receive(press())
    home.receive(press())
    assert len({point.time_ns for point in points(readings_in(home.take()))}) == 2


# The journal cannot be written


def test_what_could_not_be_committed_comes_first_again():
    home = pipeline(OPENED)
    home.receive(meter(1))
    home.receive(door(1, after(1)))
    failed = home.take()
    home.receive(meter(2, after(2)))
    home.receive(door(0, after(3)))
    home.commit_failed(failed)
    commit = home.take()
    assert [p.measurement for p in points(readings_in(commit))] == [
        "air",
        "contact",
        "air",
        "contact",
    ]
    assert [phase for _, phase, _ in told(commit)] == ["firing", "quiet"]


# The clock is set


@pytest.mark.parametrize("step", [YEARS, -YEARS, timedelta(hours=5), timedelta(hours=-5)])
def test_rules_go_on_undisturbed_when_the_clock_was_set(step):
    home = pipeline(STILL, DEAF, LEFT_OPEN)
    home.receive(door(1))
    home.receive(meter(20, after(1)))
    home.advance(after(2))
    home.shift(step)
    home.receive(meter(21, after(2.5) + step))
    home.advance(after(3) + step)
    assert told(home.take()) == []
    home.advance(after(700) + step)
    assert told(home.take()) == [("door left open", "firing", after(600) + step)]
    assert home.engine.late == 0


def test_a_clock_that_is_set_is_urgent_and_the_state_is_written_at_once():
    urgent = []
    home = pipeline(STILL, on_urgent=lambda: urgent.append(1))
    home.advance(AT)
    assert home.take().states
    assert home.take() is None
    home.shift(YEARS)
    assert urgent
    assert home.take().states


# Power cuts


def power_cut(rules, committed, back_at):
    """Return the pipeline of the next start, made from what is on the card."""
    snapshot = json.loads(committed.states["engine"])
    engine = Engine.restore(rules, snapshot, listening_from=back_at)
    return pipeline(engine=engine)


def test_the_state_of_the_rules_is_kept_though_nothing_is_heard():
    home = pipeline(STILL)
    home.advance(AT)
    assert home.take().states  # from when on it listens
    for seconds in range(0, 599, 10):
        home.advance(after(seconds))
        assert home.take() is None
    home.advance(after(600))
    commit = home.take()
    assert list(commit.lines) == []
    assert commit.states


def test_a_state_that_could_not_be_committed_is_offered_again():
    home = pipeline(STILL)
    home.advance(AT)
    home.commit_failed(home.take())
    assert home.take().states
    assert home.take() is None


def test_hours_of_silence_that_were_listened_to_count_after_a_power_cut():
    home = pipeline(STILL)
    home.receive(door(1))
    kept = home.take()
    for minutes in range(11 * 60):
        home.advance(after(minutes * 60))
        kept = home.take() or kept
    home = power_cut([STILL], kept, after(11 * 3600 + 120))
    home.advance(after(11.9 * 3600))
    assert home.waiting == 0
    home.advance(after(12.2 * 3600))
    assert [rule for rule, _, _ in told(home.take())] == ["no sign of life"]


# After a restart


def test_what_came_after_the_state_is_judged_again_and_nothing_is_told_twice():
    journal = pipeline()._journal
    home = pipeline(OPENED, LEFT_OPEN, journal=journal)
    home.receive(door(0))
    journal.commit(home.take())
    home.receive(door(1, after(10)))  # the state is not written along: nobody took it
    journal.commit(journal.take())
    again = pipeline(OPENED, LEFT_OPEN, engine=_restored(journal), journal=journal)
    again.catch_up(journal.since_state())
    assert again.waiting == 0
    again.advance(after(700))
    assert told(again.take()) == [("door left open", "firing", after(610))]
    assert again.intake.sampler.taken["door"].at == after(10)


def test_an_alert_that_was_not_written_any_more_is_told_by_the_next_start():
    journal = pipeline()._journal
    home = pipeline(journal=journal)
    home.receive(door(0))
    home.receive(door(1, after(10)))
    journal.commit(journal.take())
    again = pipeline(OPENED, journal=journal)
    again.catch_up(journal.since_state())
    assert told(again.take()) == [("door is open", "firing", after(10))]


def test_late_readings_that_are_judged_at_one_moment_make_events_of_different_moments():
    home = pipeline(OPENED)
    home.advance(after(5))
    for n in range(4):
        home.receive(door((n + 1) % 2, after(n / 10)))
    events = told(home.take())
    assert [phase for _, phase, _ in events] == ["firing", "quiet"] * 2
    assert len(set(events)) == 4


def test_after_many_records_the_state_is_written_whatever_the_time(monkeypatch):
    monkeypatch.setattr(pipeline_module, "STATE_EVERY_RECORDS", 5)
    home = pipeline()
    with_state = []
    for n in range(20):
        home.receive(meter(n, after(n)))
        with_state += [n] if home.take().states else []
    assert with_state == [0, 6, 12, 18]


def _restored(journal):
    return Engine.restore([OPENED, LEFT_OPEN], json.loads(journal.state("engine")))
