"""How long a thing usually lasts at most: learned from the longest span of each day.

A day is 24 hours of listening. Days without a span do not count, so that what happens once a week
is learned too, only more slowly. One day that is like no other (a radio that hung, a battery that
was dead for a week) changes neither what is usual nor the second longest.
"""

from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from rules.snapshot import dump_time, load_time_if_any

DAYS: Final = 28
"""How many are remembered."""

ENOUGH_DAYS: Final = 7
"""Before so many are known, nothing is."""

DAY: Final = timedelta(days=1)


class Longest:
    """Of one sensor. At most DAYS figures, however much is heard."""

    __slots__ = ("_begin", "_days_s", "_known", "_today_s")

    def __init__(self, dumped: Any = None) -> None:
        """`dumped` is what `dump` returned."""
        days, today_s, begin = ([], 0.0, None) if dumped is None else dumped
        self._days_s = [float(span) for span in days][-DAYS:]
        self._today_s = float(today_s)
        self._begin = load_time_if_any(begin)
        """Of the day that is not over yet."""
        self._learn()

    def add(self, span: timedelta, at: datetime) -> None:
        """Learn that it lasted so long, and ended at `at`."""
        if self._begin is None:
            self._begin = at
        elif at - self._begin >= DAY:
            if self._today_s:
                self._days_s = [*self._days_s, self._today_s][-DAYS:]
                self._learn()
            self._today_s = 0.0
            self._begin += (at - self._begin) // DAY * DAY
        self._today_s = max(self._today_s, span.total_seconds())

    @property
    def usual(self) -> timedelta | None:
        """The median of the days; None: too few are known."""
        return self._known[0]

    @property
    def longest(self) -> timedelta | None:
        """The longest of all days; None: too few are known."""
        return self._known[1]

    @property
    def second(self) -> timedelta | None:
        """What was exceeded on one day at most; None: too few are known."""
        return self._known[2]

    def _learn(self) -> None:
        """Reckon it once a day, not at each reading."""
        self._known: tuple[timedelta | None, timedelta | None, timedelta | None]
        if len(self._days_s) < ENOUGH_DAYS:
            self._known = None, None, None
            return
        *_, second_s, longest_s = sorted(self._days_s)
        usual_s = median(self._days_s)
        self._known = (
            timedelta(seconds=usual_s),
            timedelta(seconds=longest_s),
            timedelta(seconds=second_s),
        )

    def skip(self, gap: timedelta) -> None:
        """Go on after a gap that does not count, or with a clock that was wrong by `gap`."""
        if self._begin is not None:
            self._begin += gap

    def dump(self) -> Any:
        """Return it as plain data."""
        return [list(self._days_s), self._today_s, dump_time(self._begin)]
