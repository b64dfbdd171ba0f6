"""The only place that asks the machine what time it is, and whether the answer can be trusted.

A Raspberry Pi has no clock battery: after a power cut it wakes up in the past, until the network
sets it right. The kernel knows (adjtimex: STA_UNSYNC), and CLOCK_BOOTTIME never steps.
"""

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

STA_UNSYNC = 0x0040
STATUS_OFFSET = 40
"""Of `status` in the kernel's struct timex on 64-bit Linux, behind modes, offset, freq, errors."""

SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it when it has set the clock."""

NO_STEP = timedelta(0)
STEP_S = 1.0
"""Less is slewing (at most 0.5 ms a second), more is somebody setting the clock."""


def now() -> datetime:
    """Return the wall-clock time, UTC. It may be wrong, and it may step: see Clock."""
    return datetime.now(UTC)


def wall_minus_boottime_s() -> float:
    """Return what changes only when the wall clock is set. Asked at each frame, so: cheap."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Notices when the wall clock steps."""

    def __init__(self, offset_s: Callable[[], float] = wall_minus_boottime_s) -> None:
        self._read_offset_s = offset_s
        self._offset_s = offset_s()

    def stepped(self) -> timedelta:
        """Return how far the wall clock was set forward (or back: below 0) since the last call."""
        offset_s = self._read_offset_s()
        step_s = offset_s - self._offset_s
        if abs(step_s) < STEP_S:
            return NO_STEP
        self._offset_s = offset_s
        return timedelta(seconds=step_s)


def trusted() -> bool:
    """Whether something has set the clock right since the machine woke up."""
    if SYNCHRONISED.exists():
        return True
    timex = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        return False
    status = int.from_bytes(timex.raw[STATUS_OFFSET : STATUS_OFFSET + 4], "little")
    return not status & STA_UNSYNC
