"""What one sensor measures together: the last value of each quantity, judged when all are new.

The temperature of this frame with the humidity of the one before would be a climate that never was.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Final

from drivers.reading import Quantity, Reading
from rules.snapshot import dump_time, load_time, load_time_if_any

RECENT: Final = timedelta(hours=1)
"""What is older says nothing about now."""


class Sample:
    """Of one sensor; bounded by what it measures."""

    __slots__ = ("_before", "_judged", "_last", "_needed", "_new", "_pace")

    def __init__(self, pace: Quantity, needed: AbstractSet[Quantity], dumped: Any = None) -> None:
        """`pace` is a quantity that every frame has; `dumped` is what `dump` returned."""
        self._pace, self._needed = pace, {pace, *needed}
        last, new, before, judged = ([], [], None, None) if dumped is None else dumped
        self._last = {Quantity(q): (load_time(at), float(value)) for q, at, value in last}
        self._new = {Quantity(q) for q in new}
        """What has come since it was complete last."""
        self._before = load_time_if_any(before)
        """When the pace came before it came last."""
        self._judged = load_time_if_any(judged)
        """When it was complete last."""

    def take(self, reading: Reading) -> Mapping[Quantity, float] | None:
        """Take it in; return all that is recent if it was the last of its kind that was missing."""
        if reading.quantity is self._pace:
            self._before = None if self._pace not in self._last else self._last[self._pace][0]
        self._last[reading.quantity] = (reading.at, reading.value)
        self._new.add(reading.quantity)
        recent = self.recent(reading.at)
        # What it did not know to wait for, but what was measured in the same moment, belongs to it.
        is_complete = reading.at == self._judged or not self._awaited(recent) - self._new
        if not is_complete or not self._needed <= recent.keys():
            return None
        self._new.clear()
        self._judged = reading.at
        return recent

    def recent(self, at: datetime) -> dict[Quantity, float]:
        """Return what says something about `at`."""
        return {q: value for q, (then, value) in self._last.items() if at - then <= RECENT}

    def _awaited(self, recent: Mapping[Quantity, float]) -> set[Quantity]:
        """Return what it still measures: what was silent for two of the pace is broken."""
        return {
            quantity
            for quantity, (at, _) in self._last.items()
            if quantity in recent or (self._before is not None and at >= self._before)
        }

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._last = {q: (at + by, value) for q, (at, value) in self._last.items()}
        self._before = None if self._before is None else self._before + by
        self._judged = None if self._judged is None else self._judged + by

    def dump(self) -> list[Any]:
        """Return it as plain data."""
        last = [[q.value, at.isoformat(), value] for q, (at, value) in self._last.items()]
        return [last, sorted(self._new), dump_time(self._before), dump_time(self._judged)]
