"""What the gateway takes for the time, on machines whose clocks are wrong, set, lost and found."""

import ctypes
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import (
    ASK_AFTER_US,
    EPOCH,
    MICROSECOND,
    RIGHT_FOR_US,
    STA_UNSYNC,
    STATUS_OFFSET,
    Anchor,
    Clock,
    System,
    now,
)
from tests.agent.machines import HOUR_US, SECOND_US, TRUE_US, Machine, error, nearly

NO_STEP = timedelta(0)
HOUR = timedelta(hours=1)


def at(true_us):
    return EPOCH + true_us * MICROSECOND


def test_now_is_in_utc():
    assert now().tzinfo is UTC
    assert abs(now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_machine_is_asked_what_the_kernel_knows():
    system = System()
    timex = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).adjtimex(timex)
    status = int.from_bytes(timex.raw[STATUS_OFFSET : STATUS_OFFSET + 4], "little")
    assert system.synchronised() is not bool(status & STA_UNSYNC)
    assert abs(system.wall_s() - datetime.now(UTC).timestamp()) < 5
    assert len(system.boot_id()) == 36
    assert system.boottime_s() <= system.boottime_s()


def test_the_status_is_where_this_c_library_puts_it():
    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
        )

    assert Timex.status.offset == STATUS_OFFSET


def test_a_real_clock_that_runs_does_not_step():
    clock = Clock(always_right=True)
    assert [clock.look() for _ in range(1_000)] == [NO_STEP] * 1_000
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=1)


def test_in_1970_nothing_is_known():
    machine = Machine(wall_us=0)
    clock = Clock(machine)
    assert (clock.anchor, clock.is_right, clock.wants_time) == (None, False, True)
    machine.run(60)
    assert clock.look() == NO_STEP
    assert clock.now() == at(60 * SECOND_US)


def test_ntp_sets_it_right_once_and_for_as_long_as_it_is_there():
    machine = Machine(wall_us=0, drift_ppm=80)
    clock = Clock(machine)
    machine.run(30)
    machine.reach_ntp()
    # 2.4 ms are what the crystal has lost since the start.
    assert abs(clock.look() - timedelta(seconds=TRUE_US / 1e6)) < timedelta(milliseconds=3)
    assert (clock.is_right, clock.wants_time) == (True, False)
    for _ in range(100):
        machine.run(3_600)
        assert clock.look() == NO_STEP
        assert abs(error(clock, machine)) < timedelta(milliseconds=1)
    assert clock.is_right


def test_without_ntp_it_is_right_for_3_hours_and_asks_after_one():
    machine = Machine(drift_ppm=100)
    machine.reach_ntp()
    clock = Clock(machine)
    machine.lose_ntp()
    while machine.boottime_us < RIGHT_FOR_US - SECOND_US:
        clock.look()
        assert clock.is_right
        assert clock.wants_time is (machine.boottime_us > ASK_AFTER_US)
        assert abs(error(clock, machine)) < timedelta(seconds=1.1)
        machine.run(600)
    machine.run(2 * 86_400)
    clock.look()
    assert (clock.is_right, clock.wants_time) == (False, True)
    machine.reach_ntp()
    assert abs(clock.look()) > timedelta(seconds=15)
    assert clock.is_right
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)


@pytest.mark.parametrize("step", [HOUR, -5 * HOUR, timedelta(days=-20_000), timedelta(seconds=2)])
def test_a_step_that_nobody_vouches_for_is_not_followed_once_the_time_was_known(step):
    machine = Machine()
    machine.reach_ntp()
    clock = Clock(machine)
    machine.lose_ntp()
    machine.run(60)
    machine.set_by_hand(step)
    assert clock.look() == NO_STEP
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)


@pytest.mark.parametrize("step", [HOUR, -5 * HOUR, timedelta(days=20_000)])
def test_a_clock_that_is_set_by_hand_where_nothing_is_known_is_followed_once(step):
    machine = Machine(wall_us=TRUE_US - 7 * HOUR_US)
    clock = Clock(machine)
    machine.set_by_hand(step)
    before = clock.now()
    assert nearly(clock.look(), step)
    assert nearly(clock.now() - before, step)
    assert clock.look() == NO_STEP
    assert clock.anchor is None


def test_a_hand_sets_the_time_and_not_by_how_much_it_goes_on():
    machine = Machine(wall_us=0)
    clock = Clock(machine)
    clock.not_before(TRUE_US - HOUR_US)
    machine.run(10)
    machine.set_by_hand(timedelta(microseconds=TRUE_US))
    assert nearly(clock.look(), HOUR)
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)


def test_a_hand_does_not_set_it_back_behind_what_was_recorded():
    machine = Machine(wall_us=0)
    clock = Clock(machine)
    clock.not_before(TRUE_US)
    machine.run(10)
    machine.set_by_hand(timedelta(days=100))
    clock.look()
    assert clock.now() >= at(TRUE_US)


def test_the_machines_clock_may_creep_and_that_is_no_step():
    machine = Machine(wall_us=0)
    clock = Clock(machine)
    before = clock.offset_us
    for _ in range(10):
        machine.set_by_hand(timedelta(seconds=0.4))
        assert clock.look() == NO_STEP
    assert clock.offset_us == before


def test_a_machine_that_is_always_right_is_followed_also_where_it_steps():
    machine = Machine()
    clock = Clock(machine, always_right=True)
    machine.set_by_hand(-HOUR)
    assert nearly(clock.look(), -HOUR)
    assert clock.is_right
    assert clock.learn(at(0)) == NO_STEP


def test_an_ingester_is_believed_where_ntp_is_not():
    machine = Machine(wall_us=0, drift_ppm=-50)
    clock = Clock(machine)
    machine.run(100)
    assert abs(clock.learn(at(machine.true_us))) > HOUR
    assert clock.is_right
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)
    machine.run(2 * 3_600)
    assert clock.wants_time
    assert clock.learn(at(machine.true_us)) == NO_STEP
    assert not clock.wants_time
    machine.reach_ntp()
    clock.look()
    assert clock.learn(at(0)) == NO_STEP
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)


def test_a_restart_of_the_daemon_goes_on_with_what_was_known():
    machine = Machine()
    machine.reach_ntp()
    clock = Clock(machine)
    machine.lose_ntp()
    machine.set_by_hand(HOUR)
    machine.run(600)
    again = Clock(machine)
    assert again.anchor is None
    again.resume(clock.offset_us, clock.anchor)
    assert again.is_right
    assert abs(error(again, machine)) < timedelta(milliseconds=1)
    assert again.look() == NO_STEP


def test_what_the_machine_knows_by_itself_is_better_than_what_was_known():
    machine = Machine()
    machine.reach_ntp()
    clock = Clock(machine)
    clock.resume(0, Anchor(0, 0))
    clock.not_before(TRUE_US + HOUR_US)
    assert abs(error(clock, machine)) < timedelta(milliseconds=1)


def test_it_never_goes_back_behind_what_was_recorded():
    machine = Machine(wall_us=0)
    clock = Clock(machine)
    clock.not_before(TRUE_US)
    assert clock.now() == at(TRUE_US)
    machine.run(5)
    clock.not_before(TRUE_US)
    assert clock.now() == at(TRUE_US + 5 * SECOND_US)
