"""The resident left home at night and is not back: who wanders off in the cold needs help soon.

An outer door is opened or closed in the night, and no sensor inside shows anybody for a while. Who
only looked out, took the cat in or came home late is seen inside within minutes. The closing counts
as well as the opening: the sensor in the hall often sees the very person who is leaving, between
the two.

What presence says is not asked: somebody who comes home at night and falls behind the door looks
as if away, and is told of here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.condition import Evidence, Memory, SensorName
from rules.hours import Hours
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time_if_any

SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(hours=12)


@dataclass(frozen=True)
class NightExit:
    """Breached when a door was used at night and nobody seen inside; clear at a sign inside."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({Quantity.CONTACT_OPEN}),)

    zone: tzinfo

    doors: tuple[SensorName, ...]
    """The contacts on the doors that lead outside; the rule's other sensors are inside."""

    night: str = "23:00-05:00"
    """When nobody is expected to leave. The rule's `hours` would not do: they say when an alert may
    begin, and not when a door was opened."""

    back_within: timedelta = timedelta(minutes=10)
    """How long after the door somebody has to be seen inside; 1 minute or more."""

    again_after: timedelta = timedelta(minutes=30)
    """How long after the door it is told a second time; longer than `back_within`, up to 12 h."""

    def __post_init__(self) -> None:
        if not self.doors:
            raise ValueError("doors names no sensor: which of them lead outside?")
        Hours.parse(self.night, self.zone)
        if not SHORTEST <= self.back_within < self.again_after <= LONGEST:
            raise ValueError(
                f"back_within {self.back_within} and again_after {self.again_after} are not from "
                "1 min to 12 h, the shorter one first"
            )

    def remember(self, dumped: Any = None) -> Memory:
        """Return whether somebody has left."""
        return _Leaving(self, dumped)


class _Leaving(Memory):
    """Since when a door was used at night without a sign inside after it."""

    __slots__ = ("_is_told", "_left", "_night", "_settings", "due")

    def __init__(self, settings: NightExit, dumped: Any) -> None:
        left, due, is_told = (None, None, False) if dumped is None else dumped
        self._settings = settings
        self._night = Hours.parse(settings.night, settings.zone)
        self._left = load_time_if_any(left)
        self._is_told = bool(is_told)
        self.due: datetime | None = load_time_if_any(due)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Tell a door from a sign inside."""
        if not is_activity(reading, previous):
            return Verdict.UNDECIDED
        if reading.sensor not in self._settings.doors:
            self._left = self.due = None
            return Verdict.CLEAR
        # What moves in front of a door is neither inside nor the door.
        if reading.quantity is not Quantity.CONTACT_OPEN or self._left is not None:
            return Verdict.UNDECIDED
        if not self._night.contains(reading.at):
            return Verdict.UNDECIDED
        self._left, self._is_told = reading.at, False
        self.due = reading.at + self._settings.back_within
        # Nothing is wrong yet; if it will be, this door is what people read of.
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:
        """Say that nobody came back, and say it once more."""
        if self._is_told:
            self.due = None
            return Verdict.REPEATED
        self._is_told = True
        self.due = at + self._settings.again_after - self._settings.back_within
        return Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait longer: a sign inside could not be heard while nobody listened."""
        if since is not None and self.due is not None:
            self.due += at - since

    def evidence(self, at: datetime) -> Evidence:
        """Return how long ago the door was used."""
        return {} if self._left is None else {"since_door_s": (at - self._left).total_seconds()}

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._left = None if self._left is None else self._left + by
        self.due = None if self.due is None else self.due + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [dump_time(self._left), dump_time(self.due), self._is_told]
