"""A machine whose clocks do what a test says, and the world's true time beside it."""

from datetime import timedelta

from agent.clock import EPOCH, MICROSECOND

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
TRUE_US = 1_795_392_000 * SECOND_US
"""2026-11-23: when a test begins."""


class Machine:
    """CLOCK_BOOTTIME of a crystal that is a little wrong, and a wall clock that may be anything."""

    def __init__(self, name="kernel", *, true_us=TRUE_US, wall_us=None, drift_ppm=0.0):
        self.name, self.drift_ppm = name, drift_ppm
        self.true_us = true_us
        self.boottime_us = 0
        self.offset_us = true_us if wall_us is None else wall_us
        """Wall clock minus boottime."""
        self.ntp = False

    def run(self, seconds):
        """Let time pass."""
        self.true_us += round(seconds * SECOND_US)
        self.boottime_us += round(seconds * SECOND_US * (1 + self.drift_ppm / 1e6))
        if self.ntp:
            self.offset_us = self.true_us - self.boottime_us

    def reach_ntp(self):
        self.ntp = True
        self.run(0)

    def lose_ntp(self):
        self.ntp = False

    def set_by_hand(self, step):
        self.offset_us += step // MICROSECOND

    # What a Clock asks.

    def wall_s(self):
        return (self.boottime_us + self.offset_us) / 1e6

    def boottime_s(self):
        return self.boottime_us / 1e6

    def synchronised(self):
        return self.ntp

    def boot_id(self):
        return self.name


def error(clock, machine):
    """Return how far the clock is from the truth."""
    return clock.now() - (EPOCH + machine.true_us * MICROSECOND)


def nearly(step, expected):
    return abs(step - expected) < timedelta(milliseconds=1)
