"""A sensor says the very same number for days: a broken probe, a wet plug, a frozen float.

It has to go on speaking, or else it is silent and not stuck. Where a value usually stands still for
long (soil in winter, an empty channel), that is learned from the times when it changed again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import STATES, Quantity, Reading
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.longest import Longest
from rules.snapshot import dump_time, load_time_if_any

FEWEST: Final = 12
"""So many times it must have said it: thrice the same may be chance."""

ROOM: Final = 2
"""How many times as long as the second longest standstill of all days known it must last."""

GAPS: Final = 3
"""A silence of this part of `unchanged_for` ends the count: nobody knows what it was meanwhile."""

EVENTS: Final = frozenset(quantity for quantity in Quantity if quantity.is_event)


@dataclass(frozen=True)
class Stuck:
    """Breached when a number has not changed at all for `unchanged_for`; clear when it does."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    about_equipment: ClassVar[bool] = True
    choices: ClassVar[frozenset[Quantity]] = (
        frozenset(Quantity) - STATES - EVENTS - {Quantity.PACKET_ID}
    )

    unchanged_for: timedelta = timedelta(days=3)
    """The shortest standstill that counts, 1 hour to 90 days."""

    def __post_init__(self) -> None:
        if not timedelta(hours=1) <= self.unchanged_for <= timedelta(days=90):
            raise ValueError(f"unchanged_for {self.unchanged_for} is not from 1 h to 90 d")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one sensor's value."""
        return _Value(self.unchanged_for, dumped)


class _Value(Memory):
    """Since when it is what it is, and how long that lasts usually."""

    __slots__ = ("_last", "_since", "_standstills", "_times", "_unchanged_for", "_value")

    def __init__(self, unchanged_for: timedelta, dumped: Any) -> None:
        value, since, last, times, standstills = dumped or (None, None, None, 0, None)
        self._unchanged_for = unchanged_for
        self._value = None if value is None else float(value)
        self._since = load_time_if_any(since)
        self._last = load_time_if_any(last)
        self._times = int(times)
        """How often the value was said since then."""
        self._standstills = Longest(standstills)

    @property
    def _limit(self) -> timedelta:
        second = self._standstills.second
        return max(self._unchanged_for, timedelta(0) if second is None else ROOM * second)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Compare with what it said before."""
        at, since, last = reading.at, self._since, self._last
        self._last = at
        is_heard = last is not None and at - last <= self._unchanged_for / GAPS
        if since is None or reading.value != self._value:
            if since is not None and is_heard:
                self._standstills.add(at - since, at)
            self._begin(reading)
            return Verdict.CLEAR
        if not is_heard:
            self._begin(reading)
            return Verdict.UNDECIDED
        self._times += 1
        is_stuck = at - since >= self._limit and self._times >= FEWEST
        return Verdict.BREACHED if is_stuck else Verdict.UNDECIDED

    def _begin(self, reading: Reading) -> None:
        self._value, self._since, self._times = reading.value, reading.at, 1

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it has stood still, and how long it may."""
        found = {"limit_s": self._limit.total_seconds()}
        if self._since is not None:
            found["unchanged_s"] = (at - self._since).total_seconds()
        if (usual := self._standstills.usual) is not None:
            found["usual_s"] = usual.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._since = None if self._since is None else self._since + by
        self._last = None if self._last is None else self._last + by
        self._standstills.skip(by)

    def dump(self) -> Any:
        """Return it as plain data."""
        return [
            self._value,
            dump_time(self._since),
            dump_time(self._last),
            self._times,
            self._standstills.dump(),
        ]
