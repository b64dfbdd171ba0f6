"""No reading leaves with a wrong time: real clock, journal and timekeeper in simulated worlds."""

import random
from datetime import timedelta

import pytest

from agent.clock import EPOCH, MICROSECOND, Clock
from agent.journal.block import time_us
from agent.timekeeper import Timekeeper
from cloud_sync.spans import Spans
from cloud_sync.wire import parse_line
from tests.agent.journals import Desk, kill, offered
from tests.agent.machines import HOUR_US, SECOND_US, TRUE_US, Machine, nearly

HOUR = timedelta(hours=1)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", tmp_path / "tail", {"segment_bytes": 20_000})


class Gateway:
    """A daemon that records what it hears, with the time that it believes, on some machine."""

    def __init__(self, desk, machine):
        self.desk, self.machine = desk, machine
        self.truth = {}
        """Number of a record to its true time, in microseconds."""
        self.sent = {}
        """(boot, number) to the bytes that were offered first."""
        self.said = 0
        self.steps = []
        self.start()

    def start(self):
        self.clock = Clock(self.machine)
        self.journal = self.desk.open(kernel=self.machine.boot_id(), write_loss=None)
        self.hurried = False
        self.keeper = Timekeeper(
            self.clock,
            self.journal,
            self.machine.boot_id(),
            on_step=self.steps.append,
            on_settled=self.hurry,
        )

    def hurry(self):
        self.hurried = True

    def hear(self, family="air"):
        self.said += 1
        self.truth[self.said] = self.machine.true_us
        at_us = (self.clock.now() - EPOCH) // MICROSECOND
        doubt = "" if self.journal.stamp.settled or family != "alert" else ",time_uncertain=1"
        says = f"{family},gateway=g,sensor=s value={self.said}{doubt} {at_us}000\n"
        self.journal.append([says.encode()])

    def run(self, seconds, family="air"):
        """Let time pass and hear something, looking at the clock in between."""
        self.machine.run(seconds)
        self.keeper.look()
        self.hear(family)

    def commit(self):
        self.hurried = False
        while (block := self.journal.take()) is not None:
            self.journal.commit(block)
            if not self.journal.waiting:
                break

    def settle(self):
        """Let everything come to the card that has to do with the time."""
        for _ in range(4):
            self.keeper.look()
            self.commit()

    def kill(self):
        kill(self.journal)
        self.start()

    def reboot(self, machine, *, by_power_cut):
        if by_power_cut:
            kill(self.journal)
        else:
            self.commit()
            self.journal.close()
        self.desk.power_cut()
        self.machine = machine
        self.start()

    def offered(self):
        found = offered(self.journal.cursor("uplink"))
        for boot, number, line in found:
            assert self.sent.setdefault((boot, number), line) == line, "settled differently"
        return found

    def readings(self):
        """Return (said, time, uncertainty in seconds) of all readings that are offered."""
        points = [parse_line(line) for _, _, line in self.offered() if line.startswith(b"air")]
        return [
            (p.fields["value"], p.time_ns // 1000, p.fields.get("time_uncertain_seconds", 0))
            for p in points
        ]

    def check(self):
        """No reading that is offered has a wrong time, or is further off than it says."""
        for said, at_us, doubt_s in self.readings():
            off_us = abs(at_us - self.truth[said])
            # An anchor of 3 hours ago may be a second off; so may what is put right with it.
            assert off_us <= (doubt_s + 2.2) * SECOND_US, (said, off_us / 1e6, doubt_s)

    def corrections(self):
        lines = [line for _, _, line in self.offered() if line.startswith(b"alert")]
        doubtful = [line for line in lines if b"time_uncertain=1" in line]
        return doubtful, [line for line in lines if b"time_uncertain=0" in line]


def test_what_was_stamped_in_1970_leaves_when_the_time_is_known_with_its_true_time(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    for _ in range(5):
        gateway.run(60)
    gateway.commit()
    assert gateway.readings() == []
    gateway.machine.reach_ntp()
    gateway.run(60)
    assert gateway.hurried
    gateway.settle()
    found = gateway.readings()
    assert [said for said, _, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all(abs(at - gateway.truth[said]) < 10 and not doubt for said, at, doubt in found)
    assert [step > 365 * 24 * HOUR for step in gateway.steps] == [True]
    kill(gateway.journal)


def test_nothing_is_settled_before_the_anchor_is_on_the_card(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    gateway.run(60)
    gateway.commit()
    gateway.machine.reach_ntp()
    gateway.keeper.look()
    gateway.keeper.look()
    assert gateway.journal.manifest.settlements == []
    gateway.commit()
    gateway.keeper.look()
    gateway.keeper.look()
    gateway.commit()
    assert len(gateway.journal.manifest.settlements) == 1
    kill(gateway.journal)


def test_after_two_days_without_ntp_times_are_put_right_from_both_ends(desk):
    machine = Machine(drift_ppm=90)
    machine.reach_ntp()
    gateway = Gateway(desk, machine)
    gateway.run(60)
    machine.lose_ntp()
    for _ in range(200):
        gateway.run(900)
        gateway.commit()
    gateway.check()
    assert len(gateway.readings()) < 20
    machine.reach_ntp()
    gateway.run(1)
    gateway.settle()
    found = gateway.readings()
    assert len(found) == 202
    # By now 16 s wrong, and put right to where a steady crystal leaves them.
    assert max(abs(at - gateway.truth[said]) for said, at, _ in found) < 1.2 * SECOND_US
    kill(gateway.journal)


def test_an_ingester_that_answers_settles_it_too(desk):
    gateway = Gateway(desk, Machine(wall_us=TRUE_US - 7 * HOUR_US))
    gateway.run(60)
    gateway.commit()
    gateway.keeper.learn(EPOCH + gateway.machine.true_us * MICROSECOND)
    gateway.settle()
    gateway.check()
    assert len(gateway.readings()) == 1
    kill(gateway.journal)


def test_a_doubtful_alert_leaves_at_once_and_is_corrected_once(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    gateway.run(60, "alert")
    gateway.commit()
    doubtful, corrected = gateway.corrections()
    assert (len(doubtful), corrected) == (1, [])
    gateway.machine.reach_ntp()
    gateway.run(60)
    gateway.settle()
    (before,), (after,) = gateway.corrections()
    happened_us = parse_line(after).fields["happened_seconds"] * 1e6
    assert abs(happened_us - gateway.truth[1]) < SECOND_US
    assert (parse_line(after).tags, time_us(after)) == (parse_line(before).tags, time_us(before))
    for _ in range(3):
        gateway.kill()
        gateway.settle()
    assert len(gateway.corrections()[1]) == 1
    kill(gateway.journal)


def test_a_kill_between_correction_and_settlement_corrects_once(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    gateway.run(60, "alert")
    gateway.machine.reach_ntp()
    gateway.keeper.look()
    gateway.commit()
    gateway.keeper.look()  # the correction is in the tail, the settlement only in memory
    assert gateway.journal.waiting == 1
    gateway.kill()
    gateway.settle()
    assert len(gateway.corrections()[1]) == 1
    gateway.check()
    kill(gateway.journal)


def test_a_stretch_that_grows_while_it_is_settled_is_settled_to_its_end_and_corrected_once(
    desk, monkeypatch
):
    monkeypatch.setattr("agent.journal.waiting.COMMIT_BYTES", 150)
    gateway = Gateway(desk, Machine(wall_us=0))
    for _ in range(5):
        gateway.run(60, "alert")
        gateway.run(60)
    gateway.machine.reach_ntp()
    for _ in range(20):
        gateway.keeper.look()
        if (block := gateway.journal.take()) is not None:
            gateway.keeper.learn(EPOCH)
            gateway.journal.commit(block)
    doubtful, corrected = gateway.corrections()
    assert (len(doubtful), len(corrected)) == (5, 5)
    assert len(gateway.readings()) == 5
    gateway.check()
    kill(gateway.journal)


def test_a_restart_of_the_daemon_goes_on_in_the_same_time(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    gateway.machine.set_by_hand(5 * HOUR)
    gateway.run(60)
    before = gateway.clock.now()
    gateway.commit()
    gateway.kill()
    assert gateway.clock.now() == before
    gateway.machine.set_by_hand(HOUR)
    gateway.run(1)
    assert gateway.steps[-1] == HOUR
    kill(gateway.journal)


def test_rules_are_told_by_a_start_that_finds_the_clock_right_already(desk):
    gateway = Gateway(desk, Machine(wall_us=0))
    gateway.run(60)
    gateway.commit()
    gateway.machine.reach_ntp()
    gateway.kill()
    assert [nearly(step, timedelta(microseconds=TRUE_US)) for step in gateway.steps] == [True]
    gateway.kill()
    gateway.run(60)
    gateway.kill()
    gateway.settle()
    gateway.check()
    kill(gateway.journal)


def test_rules_are_not_shifted_again_by_the_next_start(desk):
    machine = Machine(wall_us=0)
    gateway = Gateway(desk, machine)
    gateway.run(60)
    gateway.commit()
    machine.reach_ntp()
    gateway.keeper.look()
    # The rules were shifted, and their state is on the card, before anything else is heard.
    gateway.journal.commit(gateway.journal.take({"engine": b"shifted"}))
    assert len(gateway.steps) == 1
    gateway.kill()
    assert len(gateway.steps) == 1
    kill(gateway.journal)


def test_after_a_power_cut_the_time_never_goes_back_behind_the_journal(desk):
    machine = Machine()
    machine.reach_ntp()
    gateway = Gateway(desk, machine)
    gateway.run(60)
    gateway.commit()
    newest = gateway.clock.now()
    gateway.reboot(Machine("second", true_us=TRUE_US + 9 * HOUR_US, wall_us=0), by_power_cut=True)
    assert gateway.clock.now() >= newest - timedelta(seconds=1)
    gateway.run(60)
    gateway.commit()
    assert [said for said, _, _ in gateway.readings()] == [1]
    gateway.machine.reach_ntp()
    gateway.run(60)
    gateway.settle()
    assert len(gateway.readings()) == 3
    gateway.check()
    kill(gateway.journal)


def test_what_is_wanted_again_is_the_same_bytes(desk):
    gateway = Gateway(desk, Machine(wall_us=0, drift_ppm=70))
    for _ in range(30):
        gateway.run(3_000)
    gateway.machine.reach_ntp()
    gateway.run(60)
    gateway.settle()
    first = {n: line for _, n, line in gateway.offered()}
    cursor = gateway.journal.cursor("uplink")
    cursor.confirm(gateway.journal.boot, Spans([(1, gateway.journal.newest)]))
    gateway.machine.run(40_000)
    gateway.settle()
    gateway.kill()
    cursor = gateway.journal.cursor("uplink")
    cursor.reopen(Spans([(1, gateway.journal.newest)]))
    again = {n: line for _, n, line in offered(cursor)}
    assert again == first
    kill(gateway.journal)


# Whole worlds


def another_machine(rnd, gateway, number):
    """Return the machine after an outage: its clock is where it was left, or in 1970."""
    before = gateway.machine
    true_us = before.true_us + rnd.choice([10, 600, 9_000, 90_000]) * SECOND_US
    believed_us = before.boottime_us + before.offset_us
    wall_us = rnd.choice([0, min(believed_us, true_us)])
    return Machine(
        f"kernel{number}", true_us=true_us, wall_us=wall_us, drift_ppm=rnd.uniform(-100, 100)
    )


STEPS = {
    "run": 40,
    "alert": 10,
    "long": 10,
    "ntp": 5,
    "lost": 6,
    "answer": 3,
    "kill": 8,
    "power": 4,
    "stop": 3,
    "drift": 6,
}
"""What happens, and how often."""


def live(gateway, rnd, number):
    """Let one thing happen."""
    machine = gateway.machine
    match rnd.choices(list(STEPS), list(STEPS.values()))[0]:
        case "run":
            gateway.run(rnd.choice([1, 60, 600]))
        case "alert":
            gateway.run(rnd.choice([1, 60]), "alert")
        case "long":
            gateway.run(rnd.choice([4_000, 20_000]))
        case "ntp":
            machine.reach_ntp()
        case "lost":
            machine.lose_ntp()
        case "answer":
            gateway.keeper.learn(EPOCH + machine.true_us * MICROSECOND)
        case "drift":
            machine.drift_ppm = rnd.uniform(-100, 100)
        case how:
            end(gateway, rnd, number, how)


def end(gateway, rnd, number, how):
    """Let the daemon end, and the next one start."""
    if how == "kill":
        gateway.kill()
        return
    gateway.commit()  # so that what is said and what is recorded stay the same
    machine = another_machine(rnd, gateway, number)
    gateway.reboot(machine, by_power_cut=how == "power")


@pytest.mark.parametrize("seed", [*range(40), 213, 314, 328, 350, 368, 399, 407, 507])
def test_in_any_world_no_reading_leaves_with_a_wrong_time(desk, seed):
    rnd = random.Random(seed)
    first = Machine("kernel0", wall_us=TRUE_US - 3 * HOUR_US, drift_ppm=rnd.uniform(-100, 100))
    gateway = Gateway(desk, first)
    for number in range(1, 160):
        live(gateway, rnd, number)
        if gateway.hurried or rnd.random() < 0.4:
            gateway.commit()
        if rnd.random() < 0.2:
            gateway.check()
    gateway.machine.reach_ntp()
    gateway.run(1)
    gateway.settle()
    gateway.check()
    assert gateway.journal.manifest.unsettled == []
    doubtful, corrected = gateway.corrections()
    assert sorted(map(value_of, doubtful)) == sorted(map(corrected_value(doubtful), corrected))
    readings = [said for said, _, _ in gateway.readings()]
    alerts = [value_of(line) for _, _, line in gateway.offered() if is_alert(line)]
    assert sorted([*readings, *alerts]) == sorted(gateway.truth)
    kill(gateway.journal)


def is_alert(line):
    return line.startswith(b"alert") and b"value=" in line


def value_of(line):
    return parse_line(line).fields["value"]


def corrected_value(doubtful):
    """Return a function from a correction to what it corrects: the alert at the same point."""
    at_point = {time_us(line): value_of(line) for line in doubtful}
    assert len(at_point) == len(doubtful)
    return lambda line: at_point[time_us(line)]
