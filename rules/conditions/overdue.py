"""A sensor is silent for longer than is usual for it: a fault of equipment, never of a person.

A meter that speaks every minute is missed within the hour; a door contact that speaks only when
somebody goes through it is given days. What is usual is learned, sensor by sensor, from the longest
silence of each day:

    heartbeat    it is usually 5 h or less: the sensor speaks by itself
                 limit = 3 x the usual one, `at_least` or more
    events only  it is usually longer: the sensor speaks when something happens
                 limit = `at_most`, or more
    both         limit = 1.5 x the second longest one of all days known, or more

5 h is a heartbeat every 4 h, the slowest that is common, and somewhat late. The contacts of a real
home were silent for 20 to 190 hours, and well. `at_most` is 72 hours, as in radio alarms (a report
every 4 h, a fault after 18 missed), and stands until seven days are known. For a cupboard that is
opened once a week, by a contact that does not speak by itself, it has to be set longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.longest import Longest
from rules.snapshot import dump_time, load_time_if_any

HEARTBEAT: Final = timedelta(hours=5)
MISSED: Final = 3
ROOM: Final = 1.5
"""How much longer than the second longest silence it may be."""


@dataclass(frozen=True)
class Overdue:
    """Breached when nothing was heard for the learned limit, whatever would have been said."""

    watches: ClassVar[frozenset[Quantity]] = frozenset(Quantity)
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    about_equipment: ClassVar[bool] = True

    at_least: timedelta = timedelta(minutes=30)
    """The shortest limit, however often it speaks; 5 minutes or more."""

    at_most: timedelta = timedelta(hours=72)
    """The longest limit, unless longer silences were usual, and the limit until that is known; up
    to 30 days."""

    def __post_init__(self) -> None:
        if not timedelta(minutes=5) <= self.at_least <= self.at_most <= timedelta(days=30):
            raise ValueError(
                f"at_least {self.at_least} and at_most {self.at_most} are not from 5 min to 30 d, "
                "the smaller one first"
            )

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one sensor."""
        return _Sensor(self, dumped)


class _Sensor(Memory):
    """When it spoke last, and how long it is silent usually."""

    __slots__ = ("_last", "_settings", "_silences", "due")

    def __init__(self, settings: Overdue, dumped: Any) -> None:
        last, silences, is_told = (None, None, False) if dumped is None else dumped
        self._settings = settings
        self._last = load_time_if_any(last)
        """When it spoke last, or the listening began; moved by the time when nobody listened."""
        self._silences = Longest(silences)
        self.due: datetime | None = None
        if self._last is not None and not is_told:
            self.due = self._last + self._limit

    @property
    def _limit(self) -> timedelta:
        usual, second = self._silences.usual, self._silences.second
        at_least, at_most = self._settings.at_least, self._settings.at_most
        if usual is None or second is None:
            return at_most
        least = max(at_least, MISSED * usual) if usual <= HEARTBEAT else at_most
        return max(min(least, at_most), ROOM * second)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Learn how long it was silent, and wait anew."""
        if self._last is not None and reading.at > self._last:
            self._silences.add(reading.at - self._last, reading.at)
        self._last = reading.at
        self.due = reading.at + self._limit
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say that it is overdue, until it speaks."""
        self.due = None
        return Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait from now on, or go on waiting: who did not listen has missed nothing."""
        if self._last is None or since is None:
            self._last = at
            self.due = at + self._limit
            return
        self.shift(at - since)

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it has been silent, and how long it may be."""
        found = {"limit_s": self._limit.total_seconds()}
        if self._last is not None:
            found["silent_s"] = (at - self._last).total_seconds()
        if (usual := self._silences.usual) is not None:
            found["usual_s"] = usual.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._silences.skip(by)
        self._last = None if self._last is None else self._last + by
        self.due = None if self.due is None else self.due + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [dump_time(self._last), self._silences.dump(), self.due is None]
