"""From frames to commits, with clocks that are set and a journal that cannot be written."""

import json
from datetime import timedelta

import pytest

from agent import pipeline as pipeline_module
from agent.clock import Clock
from cloud_sync.wire import EPOCH
from drivers.reading import Quantity
from rules.conditions.above import Above
from rules.conditions.inactive import Inactive
from rules.conditions.opened import Opened
from rules.conditions.silent import Silent
from rules.engine import Engine, Rule
from rules.lifecycle import Phase
from tests.agent.home import AT, OPENED, after, celsius, door, meter, pipeline, points, press

HOURS_12 = timedelta(hours=12)
STILL = Rule("no sign of life", Inactive(), ("door", "button"), hold_for=HOURS_12)
DEAF = Rule("sensor is silent", Silent(), ("door", "meter"), hold_for=HOURS_12)
LEFT_OPEN = Rule("door left open", Opened(), ("door",), hold_for=timedelta(minutes=10))
WARM = Rule("warm", Above(30), ("meter",), Quantity.TEMPERATURE_CELSIUS)
YEARS = timedelta(days=20_000)


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self):
        self.set_by = timedelta(0)
        self.clock = Clock(self.offset_s)

    def offset_s(self):
        return self.set_by.total_seconds()

    def now(self, seconds):
        return after(seconds) + self.set_by


@pytest.fixture
def wall():
    return Wall()


def told(commit):
    """Return (rule, phase, time) of each alert event."""
    return [
        (p.tags["rule"], p.tags["phase"], EPOCH + timedelta(microseconds=p.time_ns // 1000))
        for p in points(commit.events)
    ]


def test_a_frame_becomes_a_line_and_what_its_rule_says_of_it():
    home = pipeline(OPENED)
    home.receive(door(1))
    commit = home.take()
    (point,) = points(commit.readings)
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
    state = home.take().state
    again = Engine.restore([OPENED], json.loads(state["engine"]))
    assert [watch.alert.phase for watch in again.open] == [Phase.FIRING]
    home.intake.sampler.load(state["sampler"])


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
    assert len({point.time_ns for point in points(home.take().readings)}) == 2


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
    assert [p.measurement for p in points(commit.readings)] == ["air", "contact", "air", "contact"]
    assert [phase for _, phase, _ in told(commit)] == ["firing", "quiet"]


def test_a_commit_has_a_limit_and_the_rest_follows(monkeypatch):
    monkeypatch.setattr(pipeline_module, "MAX_COMMIT_READINGS", 3)
    home = pipeline()
    for n in range(8):
        home.receive(meter(n, after(n)))
    commits = [home.take() for _ in range(3)]
    assert [celsius(c.readings) for c in commits] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    home.commit_failed(commits[2])
    home.commit_failed(commits[1])
    assert celsius(home.take().readings) == [3, 4, 5]


def test_at_the_limit_the_oldest_readings_are_dropped_and_counted_and_alerts_never(monkeypatch):
    monkeypatch.setattr(pipeline_module, "MAX_WAITING_READINGS", 10)
    home = pipeline(WARM)
    for n in range(0, 200, 2):
        home.receive(meter(31, after(n)))
        home.receive(meter(n / 10, after(n + 1)))
        home.commit_failed(home.take())
    assert home.dropped == 190
    commit = home.take()
    assert celsius(commit.readings)[1::2] == [19.0, 19.2, 19.4, 19.6, 19.8]
    assert [phase for _, phase, _ in told(commit)] == ["firing", "quiet"] * 100


def test_up_to_the_limit_nothing_is_dropped(monkeypatch):
    monkeypatch.setattr(pipeline_module, "MAX_WAITING_READINGS", 10)
    home = pipeline()
    for n in range(10):
        home.receive(meter(n, after(n)))
        home.commit_failed(home.take())
    assert (home.dropped, celsius(home.take().readings)) == (0, list(range(10)))


# The clock is set


@pytest.mark.parametrize("step", [YEARS, -YEARS, timedelta(hours=5), timedelta(hours=-5)])
def test_a_frame_right_after_the_clock_was_set_finds_the_rules_undisturbed(wall, step):
    home = pipeline(STILL, DEAF, LEFT_OPEN, clock=wall.clock)
    home.receive(door(1, wall.now(0)))
    home.receive(meter(20, wall.now(1)))
    home.advance(wall.now(2))
    wall.set_by = step
    home.receive(meter(21, wall.now(2.5)))  # before anybody has told the rules the time
    home.advance(wall.now(3))
    assert told(home.take()) == []
    home.advance(wall.now(700))
    assert told(home.take()) == [("door left open", "firing", wall.now(600))]
    assert home.engine.late == 0


@pytest.mark.parametrize("step", [YEARS, -YEARS])
def test_rules_go_on_judging_after_the_clock_was_set(wall, step):
    home = pipeline(OPENED, clock=wall.clock)
    home.receive(door(0, wall.now(0)))
    wall.set_by = step
    home.receive(door(1, wall.now(1)))
    home.receive(door(0, wall.now(2)))
    assert [phase for _, phase, _ in told(home.take())] == ["firing", "quiet"]


def test_a_clock_that_is_set_twice_is_followed_twice(wall):
    home = pipeline(LEFT_OPEN, clock=wall.clock)
    home.receive(door(1, wall.now(0)))
    for step in (YEARS, timedelta(0), -YEARS):
        wall.set_by = step
        home.advance(wall.now(60))
    home.advance(wall.now(601))
    assert told(home.take()) == [("door left open", "firing", wall.now(600))]


# Power cuts


def power_cut(rules, committed, back_at):
    """Return the pipeline of the next start, made from what is on the card."""
    snapshot = json.loads(committed.state["engine"])
    engine = Engine.restore(rules, snapshot, listening_from=back_at)
    return pipeline(engine=engine)


def test_the_state_of_the_rules_is_kept_though_nothing_is_heard():
    home = pipeline(STILL)
    home.advance(AT)
    assert home.take().state  # from when on it listens
    for seconds in range(0, 299, 10):
        home.advance(after(seconds))
        assert home.take() is None
    home.advance(after(300))
    commit = home.take()
    assert (commit.readings, commit.events) == ([], [])
    assert commit.state


def test_a_state_that_could_not_be_committed_is_offered_again():
    home = pipeline(STILL)
    home.advance(AT)
    home.commit_failed(home.take())
    assert home.take().state
    assert home.take() is None


@pytest.mark.parametrize("step", [YEARS, -YEARS])
def test_the_state_is_kept_also_after_the_clock_was_set(wall, step):
    home = pipeline(STILL, clock=wall.clock)
    home.advance(wall.now(0))
    home.take()
    wall.set_by = step
    kept = []
    for seconds in range(0, 1000, 10):
        home.advance(wall.now(seconds))
        kept += [seconds] if home.take() else []
    assert len(kept) >= 3


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
