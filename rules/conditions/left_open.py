"""A door, a window, a fridge or a lid is open for longer than is usual for it.

How long it usually stands open is learned, sensor by sensor, from the longest opening of each day:
1.5 times the second longest one of the last 28 days with one, from `at_least` to `at_most`. Until
seven such days are known it is `at_least`. A door to the garden that is open all summer is left in
peace, and a front door that is never open for more than a minute is told of after an hour. (In real
homes openings of more than an hour came 0 to 15 times a month, so one fixed time does not do.)

For shorter times at night or in the cold there is `opened`, with a hold time and hours.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.longest import Longest
from rules.snapshot import dump_time, load_time_if_any

ROOM: Final = 1.5
"""How much longer than the second longest opening it may be."""

GRACE: Final = timedelta(minutes=5)
"""When the time ran out while nobody listened, the sensor has as long to say that it is closed. If
nobody listened for less, it was not closed and opened again meanwhile."""


@dataclass(frozen=True)
class LeftOpen:
    """Breached when the contact has been open for the learned limit; clear when it is closed."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.CONTACT_OPEN})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    at_least: timedelta = timedelta(minutes=60)
    """The shortest limit, and the limit until it is known what is usual; 1 minute or more."""

    at_most: timedelta = timedelta(hours=12)
    """The longest limit, however long it is open usually; up to 7 days."""

    def __post_init__(self) -> None:
        if not timedelta(minutes=1) <= self.at_least <= self.at_most <= timedelta(days=7):
            raise ValueError(
                f"at_least {self.at_least} and at_most {self.at_most} are not from 1 min to 7 d, "
                "the smaller one first"
            )

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one door."""
        return _Door(self, dumped)


class _Door(Memory):
    """Since when it is open, and how long it is open at most."""

    __slots__ = ("_is_whole", "_openings", "_settings", "_since", "due")

    def __init__(self, settings: LeftOpen, dumped: Any) -> None:
        since, openings, due, is_whole = (None, None, None, True) if dumped is None else dumped
        self._settings = settings
        self._since = load_time_if_any(since)
        """When it was opened, or first found open; None: it is closed, or never heard."""
        self._openings = Longest(openings)
        self._is_whole = bool(is_whole)
        """Whether it was heard all the time since then."""
        self.due: datetime | None = load_time_if_any(due)

    @property
    def _limit(self) -> timedelta:
        second = self._openings.second
        at_least = self._settings.at_least
        limit = at_least if second is None else max(at_least, ROOM * second)
        return min(limit, self._settings.at_most)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Begin to wait with the first word that it is open; learn when it is closed."""
        if reading.value:
            if self._since is not None:
                return Verdict.UNDECIDED
            self._since, self._is_whole = reading.at, True
            self.due = reading.at + self._limit
            # It is open, but not for long yet.
            return Verdict.CLEAR
        if self._since is not None and self._is_whole:
            self._openings.add(reading.at - self._since, reading.at)
        self._since = self.due = None
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say that it is too long."""
        self.due = None
        return Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Go on with a door that was seen open, but give it the time to say otherwise."""
        if since is None or at - since <= GRACE:
            return
        self._is_whole = False
        if self.due is not None and self.due <= at:
            self.due = at + GRACE

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it is open, how long it may be, and how long it usually is at most."""
        found = {"limit_s": self._limit.total_seconds()}
        if self._since is not None:
            found["open_s"] = (at - self._since).total_seconds()
        if (usual := self._openings.usual) is not None:
            found["usual_s"] = usual.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._openings.skip(by)
        self._since = None if self._since is None else self._since + by
        self.due = None if self.due is None else self.due + by

    def dump(self) -> Any:
        """Return it as plain data."""
        times = dump_time(self._since), self._openings.dump(), dump_time(self.due)
        return [*times, self._is_whole]
