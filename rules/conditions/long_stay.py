"""Somebody went into the bathroom or the toilet, and has not been heard since, there or elsewhere.

Who leaves is seen in another room. Most falls of old people that nobody notices happen here, and
the bath is where people faint. In real homes such a silence lasted longer than 60 minutes up to 3
times a month, and longer than 90 minutes up to 2 times, mostly because a motion sensor had missed
somebody who left: 60 minutes are for asking the resident, 90 for sending a helper.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.condition import Evidence, Memory, SensorName
from rules.lifecycle import Verdict
from rules.passing import Passing
from rules.snapshot import dump_time, load_time_if_any

SHORTEST: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(hours=12)


@dataclass(frozen=True)
class LongStay:
    """Breached `stay` after the last sign, if that was in the room; clear at any sign."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    room: tuple[SensorName, ...]
    """The sensors in the room, its door among them; the rule's others are the rest of the home."""

    stay: timedelta = timedelta(minutes=90)
    """How long is too long, 5 minutes to 12 hours; power cuts do not count."""

    def __post_init__(self) -> None:
        if not self.room:
            raise ValueError("room names no sensor: which of them are in the room?")
        if not SHORTEST <= self.stay <= LONGEST:
            raise ValueError(f"stay {self.stay} is not from 5 min to 12 h")

    def remember(self, dumped: Any = None) -> Memory:
        """Return whether somebody is in the room."""
        return _Stay(self, dumped)


class _Stay(Passing):
    """Since when nothing was heard after a sign in the room."""

    __slots__ = ("_last", "_settings")

    def __init__(self, settings: LongStay, dumped: Any) -> None:
        due, last = (None, None) if dumped is None else dumped
        super().__init__(settings.stay, due)
        self._settings = settings
        self._last = load_time_if_any(last)
        """The last sign, if it was in the room."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Wait from now on, or no more."""
        is_there = reading.sensor in self._settings.room
        if is_activity(reading, previous):
            self.end()
            self._last = None
            if is_there:
                self._begin(reading.at)
            return Verdict.CLEAR
        # Who moves all the time is seen to begin once, and was moving until it ended.
        ended = reading.quantity is Quantity.MOTION_DETECTED and previous and not reading.value
        if is_there and ended and self.is_on:
            self._begin(reading.at)
        return Verdict.UNDECIDED

    def _begin(self, at: datetime) -> None:
        self._last = at
        self.begin(at)

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say that it is too long."""
        self.end()
        return Verdict.BREACHED

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it has been still since the last sign in the room."""
        return {} if self._last is None else {"still_s": (at - self._last).total_seconds()}

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        super().shift(by)
        self._last = None if self._last is None else self._last + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [super().dump(), dump_time(self._last)]
