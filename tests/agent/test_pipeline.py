"""From frames to records, with clocks that are set, a journal that cannot be written, and kills."""

import json
from datetime import timedelta

import pytest

from agent import pipeline as pipeline_module
from agent.clock import EPOCH, MICROSECOND
from agent.journal.block import Stamp, is_event
from drivers.reading import Quantity
from rules.conditions.above import Above
from rules.conditions.inactive import Inactive
from rules.conditions.opened import Opened
from rules.conditions.silent import Silent
from rules.engine import Engine, Rule
from rules.lifecycle import Phase
from tests.agent import home as homes
from tests.agent.home import AT, OPENED, after, door, meter, points, press
from tests.agent.journals import Desk, kill

HOURS_12 = timedelta(hours=12)
STILL = Rule("no sign of life", Inactive(), ("door", "button"), hold_for=HOURS_12)
DEAF = Rule("sensor is silent", Silent(), ("door", "meter"), hold_for=HOURS_12)
LEFT_OPEN = Rule("door left open", Opened(), ("door",), hold_for=timedelta(minutes=10))
WARM = Rule("warm", Above(30), ("meter",), Quantity.TEMPERATURE_CELSIUS)
YEARS = timedelta(days=20_000)
DOUBTFUL = Stamp("kernel", 0, settled=False)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", tmp_path / "tail")


@pytest.fixture
def journal(desk):
    journal = desk.open()
    yield journal
    kill(journal)


def pipeline(journal, *rules, on_urgent=lambda: None, listening_from=None):
    """Return a pipeline that goes on where the journal was left, as the daemon makes it."""
    engine = Engine(rules)
    if (snapshot := journal.state("engine")) is not None:
        engine = Engine.restore(rules, json.loads(snapshot))
    found = homes.pipeline(engine=engine, journal=journal, on_urgent=on_urgent)
    if (sampled := journal.state("sampler")) is not None:
        found.intake.sampler.load(sampled)
    found.catch_up(journal.since_state())
    if listening_from is not None and found.engine.now is not None:
        snapshot = found.engine.snapshot()
        found.engine = Engine.restore(rules, snapshot, listening_from=listening_from)
    return found


def celsius(lines):
    return [point.fields["temperature_celsius"] for point in points(lines)]


def told(lines):
    """Return (rule, phase, time) of each alert event."""
    return [
        (p.tags["rule"], p.tags["phase"], EPOCH + p.time_ns // 1000 * MICROSECOND)
        for p in points(line for line in lines if is_event(line))
    ]


def measured(lines):
    return [line for line in lines if not is_event(line)]


def taken(home):
    block = home.take()
    return [] if block is None else list(block.lines)


def committed(home, journal):
    """Commit all that waits, and return it."""
    found = []
    while (block := home.take()) is not None:
        journal.commit(block)
        found += block.lines
        if not journal.waiting:
            break
    return found


def on_card(desk):
    return [line for block in desk.blocks() for line in block.lines]


def test_a_frame_becomes_a_line_and_what_its_rule_says_of_it(journal):
    home = pipeline(journal, OPENED)
    home.receive(door(1))
    lines = taken(home)
    (point,) = points(measured(lines))
    assert (point.measurement, point.tags, point.fields) == (
        "contact",
        {"gateway": "g1", "sensor": "door"},
        {"contact_open": 1},
    )
    assert told(lines) == [("door is open", "firing", AT)]
    assert home.waiting == 0


def test_the_state_is_of_the_moment_after_the_last_record(journal):
    home = pipeline(journal, OPENED)
    home.receive(door(1))
    states = home.take().states
    again = Engine.restore([OPENED], json.loads(states["engine"]))
    assert [watch.alert.phase for watch in again.open] == [Phase.FIRING]
    home.intake.sampler.load(states["sampler"])


def test_nothing_is_committed_when_nothing_was_heard(journal):
    assert pipeline(journal, OPENED).take() is None


def test_doors_buttons_and_alerts_are_urgent_and_numbers_are_not(journal):
    urgent = []
    home = pipeline(journal, WARM, on_urgent=lambda: urgent.append(1))
    home.receive(meter(20))
    assert len(urgent) == 0
    home.receive(door(1))
    home.receive(press())
    assert len(urgent) == 2
    home.receive(meter(31, after(60)))
    assert len(urgent) == 3


def test_a_heap_of_numbers_is_urgent(journal):
    urgent = []
    home = pipeline(journal, on_urgent=lambda: urgent.append(1))
    number = 0
    while not journal.wants_commit:
        assert not urgent
        number += 1
        home.receive(meter(number % 30, after(number)))
    assert urgent


def test_what_is_due_by_passing_time_is_urgent(journal):
    urgent = []
    home = pipeline(journal, LEFT_OPEN, on_urgent=lambda: urgent.append(1))
    home.receive(door(1))
    urgent.clear()
    home.advance(after(599))
    assert not urgent
    home.advance(after(700))
    assert urgent
    assert told(taken(home)) == [("door left open", "firing", after(600))]


def test_two_presses_within_a_microsecond_are_two_records(journal):
    home = pipeline(journal)
    home.receive(press())
    home.receive(press())
    assert len({point.time_ns for point in points(taken(home))}) == 2


def test_two_alerts_at_one_moment_are_two_points(journal):
    home = pipeline(journal, OPENED)
    home.advance(after(9))
    for is_open, seconds in ((1, 1), (0, 2), (1, 3), (0, 4)):
        home.receive(door(is_open, after(seconds)))  # late: all are judged as if they came now
    lines = taken(home)
    assert [phase for _, phase, _ in told(lines)] == ["firing", "quiet"] * 2
    assert len({(phase, at) for _, phase, at in told(lines)}) == 4


# The journal cannot be written


def test_what_could_not_be_committed_comes_first_again(journal):
    home = pipeline(journal, OPENED)
    home.receive(meter(1))
    home.receive(door(1, after(1)))
    failed = home.take()
    home.receive(meter(2, after(2)))
    home.receive(door(0, after(3)))
    home.commit_failed(failed)
    block = home.take()
    lines = list(block.lines)
    assert [p.measurement for p in points(measured(lines))] == ["air", "contact", "air", "contact"]
    assert [phase for _, phase, _ in told(lines)] == ["firing", "quiet"]
    assert list(block.numbers) == [(1, 6)]
    assert block.states


def test_a_commit_has_a_limit_and_the_rest_follows(journal, monkeypatch):
    monkeypatch.setattr("agent.journal.waiting.COMMIT_BYTES", 250)
    home = pipeline(journal)
    for n in range(8):
        home.receive(meter(n, after(n)))
    blocks = [home.take() for _ in range(3)]
    assert [celsius(b.lines) for b in blocks] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [bool(b.states) for b in blocks] == [False, False, True]
    home.commit_failed(blocks[2])
    home.commit_failed(blocks[1])
    assert celsius(home.take().lines) == [3, 4, 5]


def test_at_the_limit_the_oldest_readings_are_dropped_and_counted_and_alerts_never(
    journal, monkeypatch
):
    monkeypatch.setattr("agent.journal.waiting.MAX_WAITING", 250)
    home = pipeline(journal, WARM)
    for n in range(0, 200, 2):
        home.receive(meter(31, after(n)))
        home.receive(meter(n / 10, after(n + 1)))
        home.commit_failed(home.take())
    lines = taken(home)
    assert [phase for _, phase, _ in alerts_of(lines)] == ["firing", "quiet"] * 100
    kept = [p for p in points(lines) if p.measurement == "air"]
    assert journal.lost == 200 - len(kept) > 0
    assert kept[-1].fields["temperature_celsius"] == 19.8


# The clock is set


@pytest.mark.parametrize("step", [YEARS, -YEARS, timedelta(hours=5), timedelta(hours=-5)])
def test_rules_go_on_undisturbed_when_the_clock_is_set(journal, step):
    home = pipeline(journal, STILL, DEAF, LEFT_OPEN)
    home.receive(door(1, after(0)))
    home.receive(meter(20, after(1)))
    home.advance(after(2))
    home.shift(step)
    home.receive(meter(21, after(2.5) + step))
    home.advance(after(3) + step)
    assert told(taken(home)) == []
    home.advance(after(700) + step)
    assert told(taken(home)) == [("door left open", "firing", after(600) + step)]
    assert home.engine.late == 0


def test_a_clock_that_is_set_is_urgent_and_takes_the_state_along(journal):
    urgent = []
    home = pipeline(journal, STILL, on_urgent=lambda: urgent.append(1))
    home.advance(AT)
    home.take()
    home.advance(after(1))
    assert home.take() is None
    home.shift(timedelta(hours=1))
    assert urgent
    assert home.take().states


def test_an_alert_whose_time_is_not_known_says_so(journal):
    journal.set_stamp(DOUBTFUL)
    home = pipeline(journal, OPENED)
    home.receive(door(1))
    (alert,) = [p for p in points(taken(home)) if p.measurement == "alert"]
    assert alert.fields["time_uncertain"] == 1


# The next start


def test_hours_of_silence_that_were_listened_to_count_after_a_power_cut(desk):
    journal = desk.open()
    home = pipeline(journal, STILL)
    home.receive(door(1))
    committed(home, journal)
    for minutes in range(11 * 60):
        home.advance(after(minutes * 60))
        committed(home, journal)
    kill(journal)
    desk.power_cut()
    journal = desk.open()
    home = pipeline(journal, STILL, listening_from=after(11 * 3600 + 120))
    home.advance(after(11.9 * 3600))
    committed(home, journal)
    assert alerts_of(on_card(desk)) == []
    home.advance(after(12.3 * 3600))
    committed(home, journal)
    assert [rule for rule, _, _ in alerts_of(on_card(desk))] == ["no sign of life"]
    kill(journal)


def alerts_of(lines):
    return told(line for line in lines if line.startswith(b"alert,"))


def test_the_state_of_the_rules_is_kept_though_nothing_is_heard(journal):
    home = pipeline(journal, STILL)
    home.advance(AT)
    assert home.take().states  # from when on it listens
    every_s = int(pipeline_module.STATE_EVERY.total_seconds())
    for seconds in range(0, every_s, 10):
        home.advance(after(seconds))
        assert home.take() is None
    home.advance(after(every_s))
    block = home.take()
    assert list(block.lines) == []
    assert block.states


def test_the_state_is_kept_more_often_where_there_is_much_to_judge_again(journal, monkeypatch):
    monkeypatch.setattr(pipeline_module, "STATE_EVERY_RECORDS", 100)
    home = pipeline(journal)
    states = 0
    for n in range(1_000):
        home.receive(meter(n % 30, after(n / 10)))
        states += bool(home.take().states)
    assert 5 <= states <= 12


def test_a_state_that_could_not_be_committed_is_offered_again(journal):
    home = pipeline(journal, STILL)
    home.advance(AT)
    home.commit_failed(home.take())
    assert home.take().states
    assert home.take() is None


@pytest.mark.parametrize("step", [YEARS, -YEARS])
def test_the_state_is_kept_also_after_the_clock_was_set(journal, step):
    home = pipeline(journal, STILL)
    home.advance(after(0))
    home.take()
    home.shift(step)
    kept = []
    for seconds in range(0, 1_900, 10):
        home.advance(after(seconds) + step)
        kept += [seconds] if home.take() else []
    assert kept == [0, 600, 1_200, 1_800]


def test_an_alert_that_was_told_before_a_kill_is_not_told_again(desk):
    journal = desk.open()
    home = pipeline(journal, OPENED)
    home.receive(door(0))
    committed(home, journal)
    home.receive(
        door(1, after(1))
    )  # and killed before the commit: record and alert are in the tail
    kill(journal)
    journal = desk.open()
    home = pipeline(journal, OPENED)
    home.advance(after(2))
    committed(home, journal)
    assert [phase for _, phase, _ in alerts_of(on_card(desk))] == ["firing"]
    assert [watch.alert.phase for watch in home.engine.open] == [Phase.FIRING]
    kill(journal)


def test_an_alert_that_came_due_before_a_kill_is_not_told_again(desk):
    journal = desk.open()
    home = pipeline(journal, LEFT_OPEN)
    home.receive(door(1))
    committed(home, journal)
    home.advance(after(700))
    kill(journal)
    journal = desk.open()
    home = pipeline(journal, LEFT_OPEN)
    home.advance(after(701))
    home.receive(door(0, after(702)))
    committed(home, journal)
    assert [(phase, at) for _, phase, at in alerts_of(on_card(desk))] == [
        ("firing", after(600)),
        ("quiet", after(702)),
    ]
    kill(journal)


def test_an_alert_for_a_reading_that_came_late_is_not_told_again(desk):
    journal = desk.open()
    home = pipeline(journal, OPENED)
    home.advance(after(5))
    committed(home, journal)
    home.receive(door(1, after(1)))  # judged as if it came at second 5
    assert alerts_of(list(journal._waiting._lines)) == [("door is open", "firing", after(5))]
    journal._files.write(journal.take())  # without the state
    kill(journal)
    journal = desk.open()
    home = pipeline(journal, OPENED)
    committed(home, journal)
    assert len(alerts_of(on_card(desk))) == 1
    kill(journal)


def test_an_alert_that_a_kill_cut_off_is_told_with_the_time_it_belongs_to(desk):
    journal = desk.open(kernel="kernel")
    journal.set_stamp(Stamp("kernel", 77, settled=False))
    home = pipeline(journal, OPENED)
    home.receive(door(0))
    committed(home, journal)
    block_lines = home._lines.readings("door", {Quantity.CONTACT_OPEN: 1}, after(1))
    journal.append(block_lines)  # and killed before the rules have seen it
    kill(journal)
    journal = desk.open(kernel="other kernel")
    home = pipeline(journal, OPENED)
    ((_, alert, stamp),) = journal._waiting._everything.numbered()
    assert told([alert]) == [("door is open", "firing", after(1))]
    assert b"time_uncertain=1" in alert
    assert stamp == Stamp("kernel", 77, settled=False)
    kill(journal)


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@pytest.mark.parametrize("heard_before", [True, False])
def test_a_clock_that_was_set_before_a_kill_is_not_felt_when_it_is_judged_again(
    desk, step, heard_before
):
    def stamp(of):
        return Stamp("kernel", of // MICROSECOND, settled=False)

    journal = desk.open(kernel="kernel")
    journal.set_stamp(stamp(timedelta(0)))
    home = pipeline(journal, LEFT_OPEN, DEAF)
    home.receive(door(1))
    home.receive(meter(1))
    committed(home, journal)
    if heard_before:
        home.receive(meter(2, after(1)))
    # The card takes nothing any more: the state after the step is never written.
    home.shift(step)
    journal.set_stamp(stamp(step))
    home.receive(meter(3, after(2) + step))
    kill(journal)
    journal = desk.open(kernel="kernel")
    home = pipeline(journal, LEFT_OPEN, DEAF)
    assert home.engine.now == after(2) + step
    home.advance(after(599) + step)
    assert alerts_of(journal._waiting._lines) == []
    home.advance(after(601) + step)
    assert alerts_of(journal._waiting._lines) == [("door left open", "firing", after(600) + step)]
    kill(journal)
