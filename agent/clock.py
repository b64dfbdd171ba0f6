"""What time it is, and whether anybody knows: the only place that asks the machine.

A Raspberry Pi has no clock battery: after a power cut it wakes up in the past, until the network
sets it right, and then its time jumps. So the gateway goes by a clock of its own, CLOCK_BOOTTIME,
which never steps, plus an offset. Readings are stamped with it, and rules live in it. The offset is
known ("anchored") as soon as the kernel says that the machine's clock is in step with NTP
(adjtimex: not STA_UNSYNC), or when an ingester has answered what time it is. A step of the
machine's clock that nobody vouches for is not followed once it was known before.

    UNKNOWN ── anchor ──► RIGHT ── no anchor for 3 hours ──► DRIFTING ── anchor ──► RIGHT

Only in RIGHT are times final. What was stamped before is put right later (settling.py).
"""

import ctypes
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

STA_UNSYNC = 0x0040
STATUS_OFFSET = 5 * ctypes.sizeof(ctypes.c_long)
"""Of `status` in the C library's struct timex, behind modes, offset, freq and two errors."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

STEP_US = 1_000_000
"""Less is slewing (at most 0.5 ms a second), more is somebody setting the clock."""

DRIFT = 100e-6
"""How wrong the clock of a Raspberry Pi goes at most when nobody corrects it: 100 ppm, 8.6 s a day
(its crystal is specified with ±50 ppm, and temperature adds to it)."""

RIGHT_FOR_US = 3 * 3_600_000_000
"""So long after an anchor a time is still good to a second, by DRIFT."""

ASK_AFTER_US = 3_600_000_000
"""From then on a gateway that NTP does not reach asks the ingester again."""


def now() -> datetime:
    """Return the machine's own time, UTC, right or wrong: for what runs beside the daemon."""
    return datetime.now(UTC)


class System:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def wall_s(self) -> float:
        """Return the wall-clock time in seconds since 1970; it may be wrong, and it may step."""
        return time.time()

    def boottime_s(self) -> float:
        """Return the seconds since the machine started, suspension included. Never steps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def synchronised(self) -> bool:
        """Whether the kernel knows that its wall clock is right. False also if nobody can tell."""
        timex = ctypes.create_string_buffer(256)
        if self._libc.adjtimex(timex) < 0:
            return False
        status = int.from_bytes(timex.raw[STATUS_OFFSET : STATUS_OFFSET + 4], "little")
        return not status & STA_UNSYNC

    def boot_id(self) -> str:
        """Return what is different after each start of the machine."""
        return BOOT_ID.read_text(encoding="ascii").strip()


class Anchor(NamedTuple):
    """A moment at which the time was known."""

    at_us: int
    """On CLOCK_BOOTTIME, in microseconds."""
    offset_us: int
    """What has to be added to CLOCK_BOOTTIME to get the time."""


class Clock:
    """The gateway's own clock. Ask `look` about once a second."""

    def __init__(self, system: "Machine | None" = None, *, always_right: bool = False) -> None:
        """`always_right`: the machine's clock has a battery, or a host that sets it."""
        self._system = system or System()
        self._always_right = always_right
        self.anchor: Anchor | None = None
        """The newest one; None until the time is known."""
        self._machine_us = self._machine_offset_us()
        self.offset_us = self._machine_us
        """What is added to CLOCK_BOOTTIME, in microseconds."""
        self._floor_us = 0
        """A time that is over, in microseconds since 1970."""
        self.look()

    def boottime_us(self) -> int:
        """Return CLOCK_BOOTTIME in microseconds."""
        return int(self._system.boottime_s() * 1_000_000)

    def now(self) -> datetime:
        """Return the time, UTC, as far as it is known. It steps only within `look` and `learn`."""
        return EPOCH + (self.boottime_us() + self.offset_us) * MICROSECOND

    def look(self) -> timedelta:
        """Follow the machine's clock if it deserves it; returns how far our own was set by that."""
        machine_us = self._machine_offset_us()
        stepped_us, self._machine_us = machine_us - self._machine_us, machine_us
        if self._always_right or self._system.synchronised():
            return self._set(machine_us, is_anchor=True)
        if self.anchor is None and abs(stepped_us) >= STEP_US:
            # Somebody set it by hand, where no network is: they know better than we do.
            step = self._set(machine_us, is_anchor=False)
            return step + self.not_before(self._floor_us)
        return timedelta(0)

    def learn(self, at: datetime) -> timedelta:
        """Believe an ingester, unless the machine knows by itself; returns how far we were set."""
        if self._always_right or self._system.synchronised():
            return timedelta(0)
        return self._set((at - EPOCH) // MICROSECOND - self.boottime_us(), is_anchor=True)

    def resume(self, offset_us: int, anchor: Anchor | None) -> None:
        """Go on as the daemon before did, in the same start of the machine."""
        if self.anchor is None:
            self.offset_us, self.anchor = offset_us, anchor

    def not_before(self, time_us: int) -> timedelta:
        """Believe that this time, in microseconds since 1970, is over, if nothing else is known.

        Returns how far our own clock was set by that.
        """
        self._floor_us = max(self._floor_us, time_us)
        least_us = self._floor_us - self.boottime_us()
        if self.anchor is not None or self.offset_us >= least_us:
            return timedelta(0)
        return self._set(least_us, is_anchor=False)

    @property
    def is_right(self) -> bool:
        """Whether the time is known to a second."""
        return self.anchor is not None and self._age_us() < RIGHT_FOR_US

    @property
    def wants_time(self) -> bool:
        """Whether an ingester should be asked what time it is."""
        return self.anchor is None or self._age_us() > ASK_AFTER_US

    def _age_us(self) -> int:
        return self.boottime_us() - self.anchor.at_us if self.anchor else 0

    def _machine_offset_us(self) -> int:
        return int((self._system.wall_s() - self._system.boottime_s()) * 1_000_000)

    def _set(self, offset_us: int, *, is_anchor: bool) -> timedelta:
        step_us = offset_us - self.offset_us
        self.offset_us = offset_us
        if is_anchor:
            self.anchor = Anchor(self.boottime_us(), offset_us)
        return step_us * MICROSECOND if abs(step_us) >= STEP_US else timedelta(0)


class Machine(Protocol):
    """What a Clock asks of the machine: see System."""

    def wall_s(self) -> float: ...
    def boottime_s(self) -> float: ...
    def synchronised(self) -> bool: ...
    def boot_id(self) -> str: ...
