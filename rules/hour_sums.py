"""What was heard in each hour of the day: its mean or its sum, and how much of the hour is known.

Hours are those of the clock on the wall, counted from 1970 on. Where a clock changes to summer time
one hour is missing or lies over another, twice a year.
"""

import math
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

HOUR: Final = timedelta(hours=1)
ENOUGH: Final = 0.5
"""So much of an hour must be known."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001
"""As the clock on the wall shows it."""


def wall_hours(at: datetime, zone: tzinfo) -> float:
    """Return the hours since 1970 on the wall; exact at each full hour."""
    return (at.astimezone(zone).replace(tzinfo=None) - _EPOCH) / HOUR


class HourSums:
    """Of one quantity. It grows by each hour: who keeps it forgets what is too old."""

    __slots__ = ("_hours",)

    def __init__(self, dumped: Any = None) -> None:
        """`dumped` is what `dump` returned."""
        self._hours: dict[int, tuple[float, float]] = {}
        """The hour: how much of it is known (1: all), and the value times that."""
        for hour, known, amount in dumped or []:
            self._hours[int(hour)] = (float(known), float(amount))

    def copy(self) -> "HourSums":
        """Return one that goes its own way."""
        return HourSums(self.dump())

    def line(self, begin: float, first: float, end: float, last: float) -> None:
        """Let the value go straight from `first` at `begin` to `last` at `end`, in wall hours."""
        place = begin
        while place < end:
            stop = min(end, math.floor(place) + 1.0)
            middle = ((place + stop) / 2 - begin) / (end - begin)
            value = first + (last - first) * middle
            self._add(math.floor(place), stop - place, value * (stop - place))
            place = stop

    def drop(self, place: float, amount: float) -> None:
        """Let this amount fall at once, at this wall hour."""
        self._add(math.floor(place), 0.0, amount)

    def _add(self, hour: int, known: float, amount: float) -> None:
        before = self._hours.get(hour, (0.0, 0.0))
        self._hours[hour] = (before[0] + known, before[1] + amount)

    def mean(self, hour: int) -> float | None:
        """Return the mean of the hour, if enough of it is known."""
        known, amount = self._hours.get(hour, (0.0, 0.0))
        return amount / known if known >= ENOUGH else None

    def amount(self, hour: int) -> float | None:
        """Return what fell in the hour, if enough of it is known."""
        known, amount = self._hours.get(hour, (0.0, 0.0))
        return amount if known >= ENOUGH else None

    def forget(self, before: int) -> list[tuple[int, float]]:
        """Drop the hours before this one; return those that were known, and their means."""
        old = [hour for hour in self._hours if hour < before]
        found = [(hour, mean) for hour in old if (mean := self.mean(hour)) is not None]
        for hour in old:
            del self._hours[hour]
        return found

    def shift(self, hours: int) -> None:
        """Go on with a clock that was wrong by so many hours."""
        self._hours = {hour + hours: held for hour, held in self._hours.items()}

    def dump(self) -> Any:
        """Return it as plain data."""
        return [[hour, *held] for hour, held in self._hours.items()]
