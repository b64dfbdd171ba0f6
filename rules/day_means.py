"""The mean of each day of one value, as it is heard: from local midnight to midnight.

The value is taken to go straight from one reading to the next, which for the air's temperature errs
by up to 0.3 °C in the mean of a clear day that was heard every 6 hours, by 0.1 if every 3, and by
nothing that matters if it was heard each hour. Of a longer silence nothing is known.
"""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from rules.snapshot import load_time

BRIDGED: Final = timedelta(hours=6, minutes=30)
"""The longest way from one reading to the next that is taken to be straight: 6 hours, such as one
lost word of a sensor that speaks every 3, and what such a sensor is late."""

KNOWN: Final = timedelta(hours=20)
"""So much of a day must be heard: the mean of a morning is none of a day."""


class DayMeans:
    """Of one sensor. It keeps one sum, however much is heard."""

    __slots__ = ("_area", "_day", "_heard_s", "_last", "zone")

    def __init__(self, zone: tzinfo, dumped: Any = None) -> None:
        """`dumped` is what `dump` returned."""
        self.zone = zone
        last, area, heard_s = (None, 0.0, 0.0) if dumped is None else dumped
        self._last = None if last is None else (load_time(last[0]), float(last[1]))
        self._area, self._heard_s = float(area), float(heard_s)
        """The value times the seconds in which it was heard, and these, since midnight."""
        self._day = None if self._last is None else self._date(self._last[0])

    def hear(self, at: datetime, value: float) -> tuple[date, float] | None:
        """Take in a value; return the day that is over by it and its mean, if that is known."""
        begin, self._last = self._last, (at, value)
        day, today = self._day, self._date(at)
        # Where clocks go back over midnight, what then comes of yesterday belongs to today.
        self._day = today if day is None or today > day else day
        if begin is not None and at - begin[0] > BRIDGED:
            begin = None
        if self._day == day:
            if begin is not None:
                self._add(begin, (at, value))
            return None
        middle = None if begin is None else self._at_midnight(begin, (at, value))
        if begin is not None and middle is not None:
            self._add(begin, middle)
        over = self._close(day)
        if middle is not None:
            self._add(middle, (at, value))
        return over

    def _close(self, day: date | None) -> tuple[date, float] | None:
        area, heard_s = self._area, self._heard_s
        self._area = self._heard_s = 0.0
        if day is None or heard_s < KNOWN.total_seconds():
            return None
        return day, area / heard_s

    def _add(self, begin: tuple[datetime, float], end: tuple[datetime, float]) -> None:
        seconds = (end[0] - begin[0]).total_seconds()
        self._area += seconds * (begin[1] + end[1]) / 2
        self._heard_s += seconds

    def _at_midnight(
        self, begin: tuple[datetime, float], end: tuple[datetime, float]
    ) -> tuple[datetime, float]:
        midnight = midnight_before(end[0], self.zone)
        part = (midnight - begin[0]) / (end[0] - begin[0])
        return midnight, begin[1] + part * (end[1] - begin[1])

    def _date(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`; what was heard is of the day it is now."""
        if self._last is not None:
            self._last = (self._last[0] + by, self._last[1])
            self._day = self._date(self._last[0])

    def dump(self) -> Any:
        """Return it as plain data."""
        last = None if self._last is None else [self._last[0].isoformat(), self._last[1]]
        return [last, self._area, self._heard_s]


def midnight_of(day: date, zone: tzinfo) -> datetime:
    """Return when the day begins."""
    return datetime.combine(day, time.min, zone)


def midnight_before(at: datetime, zone: tzinfo) -> datetime:
    """Return when the day of `at` began."""
    return midnight_of(at.astimezone(zone).date(), zone).astimezone(at.tzinfo)
