"""The days of one home as they were lived: how long it was still, at which time of day.

A day is 144 spaces of ten minutes. Each is two bytes, in steps of five minutes:

    still   the longest that the home had been still by then with somebody in it, or UNKNOWN: nobody
            at home, nobody listening, or a silence so long that it was more likely a dead radio
    begun   the longest silence that began then, as long as it became; 0: none did

What is unknown teaches nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Self

from rules.snapshot import dump_time, load_time_if_any

SPACES_PER_DAY = 144
SPACE_MINUTES = 10
STEP_MINUTES = 5
UNKNOWN = 255
KEPT_DAYS = 28

SHORT = timedelta(minutes=30)
"""Every home is as still as that, all day long: it is not written down."""

NEVER_USUAL = timedelta(hours=16)
KNOWN_SPACES = 36
"""A day counts if for six hours somebody was known to be at home."""


@dataclass
class Day:
    """Two bytes for each space."""

    still: bytearray = field(default_factory=lambda: bytearray([UNKNOWN]) * SPACES_PER_DAY)
    begun: bytearray = field(default_factory=lambda: bytearray(SPACES_PER_DAY))

    def dump(self) -> str:
        """Return it as plain data."""
        return (self.still + self.begun).hex()

    @classmethod
    def load(cls, text: str) -> Self:
        """Return what was dumped. Raises ValueError."""
        day = bytearray.fromhex(text)
        if len(day) != 2 * SPACES_PER_DAY:
            raise ValueError(f"a day has {2 * SPACES_PER_DAY} bytes, not {len(day)}")
        return cls(day[:SPACES_PER_DAY], day[SPACES_PER_DAY:])


class Days:
    """Takes in signs of life, in order, and keeps the last 28 days that count."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.closed: list[Day] = []
        """Oldest first. Today is not among them."""
        self.count = 0
        """How many days ever counted: while it stays the same, nothing new was learned."""
        self._number: int | None = None
        """Of today, in the calendar."""
        self._today = Day()
        self._since: datetime | None = None
        """The last sign of life."""
        self._settled: datetime | None = None
        """All before this is written; from here to `_since` there was life."""
        self._midnight: datetime | None = None
        self._out = False
        self._ignored = False

    def moved(self, at: datetime) -> None:
        """Somebody is at home, and not still. A time before the last one changes nothing."""
        since, midnight = self._since, self._midnight
        if since is None or midnight is None:
            self._begin(at)
        elif at - since >= SHORT or at >= midnight or self._out or self._ignored:
            if at >= since:
                self._settle(since, at)
                self._begin(at)
        elif at > since:
            self._since = at

    def left(self, at: datetime) -> None:
        """The home is empty from now on, until somebody moves."""
        self.moved(at)
        self._out = True

    def ignore(self) -> None:
        """What goes on now, until somebody moves, is not usual: an illness, a fall."""
        self._ignored = True

    def unheard(self, begin: datetime, end: datetime) -> None:
        """Nobody listened from `begin` to `end`; both are in the past or now."""
        if self._since is not None and end > self._since:
            out, ignored, begin = self._out, self._ignored, max(begin, self._since)
            self._settle(self._since, begin, is_over=False)
            self._begin(end, alive=False)
            self._out, self._ignored = out, ignored

    def shift(self, by: timedelta) -> None:
        """The clock was wrong by `by`. Days that are written stay as they are."""
        if self._since is not None and self._settled is not None:
            self._since += by
            self._settled += by
            self._midnight = self._midnight_after(self._since)

    def dump(self) -> dict[str, Any]:
        """Return plain data for JSON, from which `load` makes the same again."""
        return {
            "closed": [day.dump() for day in self.closed],
            "count": self.count,
            "number": self._number,
            "today": self._today.dump(),
            "since": dump_time(self._since),
            "settled": dump_time(self._settled),
            "out": self._out,
            "ignored": self._ignored,
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Become what was dumped. Raises KeyError, TypeError or ValueError if it was not."""
        self.closed = [Day.load(text) for text in dumped["closed"]][-KEPT_DAYS:]
        self.count = int(dumped["count"])
        self._number = None if dumped["number"] is None else int(dumped["number"])
        self._today = Day.load(dumped["today"])
        self._since, self._settled = (
            load_time_if_any(dumped[name]) for name in ("since", "settled")
        )
        self._midnight = None if self._since is None else self._midnight_after(self._since)
        self._out, self._ignored = bool(dumped["out"]), bool(dumped["ignored"])

    def _begin(self, at: datetime, *, alive: bool = True) -> None:
        self._since = self._settled = at
        self._midnight = self._midnight_after(at)
        self._out = self._ignored = False
        if alive:
            self._write(at, at, still=False)

    def _settle(self, since: datetime, at: datetime, *, is_over: bool = True) -> None:
        """Write what was between `_settled` and `at`: life until `since`, then none."""
        length = at - since
        self._write(self._settled or since, since, still=False)
        if not self._out and not self._ignored and length < NEVER_USUAL:
            if is_over and length >= SHORT:
                space = self._minute(since) % (24 * 60) // SPACE_MINUTES
                self._today.begun[space] = max(self._today.begun[space], _steps(length))
            self._write(since, at, still=True)

    def _write(self, begin: datetime, end: datetime, *, still: bool) -> None:
        """Write each space that this touches: of what a space saw, the stillest is kept."""
        first, last = self._minute(begin), self._minute(end)
        length = end - begin
        for number in range(first // SPACE_MINUTES, last // SPACE_MINUTES + 1):
            day, space = divmod(number, SPACES_PER_DAY)
            if self._number is None or day > self._number:
                self._turn(day)
            # Where clocks are put back over midnight, yesterday comes again: it is written.
            if day != self._number:
                continue
            by_then = timedelta(minutes=min(last, (number + 1) * SPACE_MINUTES) - first)
            by_then = min(by_then, length)
            steps = _steps(by_then) if still and by_then >= SHORT else 0
            before = self._today.still[space]
            self._today.still[space] = steps if before == UNKNOWN else max(before, steps)

    def _turn(self, day: int) -> None:
        """Begin another day; today is over, and counts if enough of it is known."""
        known = sum(steps != UNKNOWN for steps in self._today.still)
        if known >= KNOWN_SPACES:
            self.closed = [*self.closed, self._today][-KEPT_DAYS:]
            self.count += 1
        self._number, self._today = day, Day()

    def _minute(self, at: datetime) -> int:
        local = at.astimezone(self.zone)
        return (local.toordinal() * 24 + local.hour) * 60 + local.minute

    def _midnight_after(self, at: datetime) -> datetime:
        tomorrow = at.astimezone(self.zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time.min, self.zone).astimezone(at.tzinfo)


def space_of(local: datetime) -> int:
    """Return which space of the day this local time is in."""
    return (local.hour * 60 + local.minute) // SPACE_MINUTES


def _steps(length: timedelta) -> int:
    return min(UNKNOWN - 1, -(-length // timedelta(minutes=STEP_MINUTES)))
