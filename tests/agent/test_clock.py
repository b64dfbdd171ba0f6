"""The clock tells when it was set, and whether it can be believed."""

import ctypes
from datetime import UTC, datetime, timedelta

import pytest

from agent import clock
from agent.clock import Clock, now, trusted

TIME_ERROR = 5
"""What the C library's ntp_gettime returns while nothing has set the clock right."""


def steps(*offsets_s):
    """Return what is told at each look at a clock with these offsets, after the first."""
    offsets = iter(offsets_s)
    watched = Clock(lambda: next(offsets))
    return [watched.stepped().total_seconds() for _ in offsets_s[1:]]


def test_now_is_in_utc():
    assert now().tzinfo is UTC
    assert abs(now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_clock_that_runs_does_not_step():
    real = Clock()
    assert [real.stepped() for _ in range(1000)] == [timedelta(0)] * 1000


@pytest.mark.parametrize("step_s", [1.0, 3600.0, 56 * 365 * 86_400.0, -1.0, -5 * 3600.0])
def test_each_step_is_told_once(step_s):
    assert steps(100.0, 100.0, 100.0 + step_s, 100.0 + step_s) == [0.0, step_s, 0.0]


def test_less_than_a_second_is_no_step_until_it_adds_up():
    assert steps(0.0, 0.4, 0.8, 1.2, 1.6) == [0.0, 0.0, 1.2, 0.0]


def test_a_step_forward_and_back_is_two_steps():
    assert steps(0.0, 1e9, 0.0) == [1e9, -1e9]


def test_the_clock_is_trusted_if_the_kernel_says_that_it_was_set(monkeypatch, tmp_path):
    monkeypatch.setattr(clock, "SYNCHRONISED", tmp_path / "nothing")
    kernel_says = ctypes.CDLL(None).ntp_gettime(ctypes.create_string_buffer(256))
    assert trusted() is (kernel_says not in (TIME_ERROR, -1))


def test_the_clock_is_trusted_if_systemd_has_set_it(monkeypatch, tmp_path):
    monkeypatch.setattr(clock, "SYNCHRONISED", tmp_path / "synchronized")
    clock.SYNCHRONISED.touch()
    assert trusted()
