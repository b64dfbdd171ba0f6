"""Hours of the day during which a rule judges: "22:00-05:00" at the place where the sensors are.

Where clocks change in summer and winter, a begin or an end may be skipped or shown twice on that
day. It is then taken so that the hours are longer, never shorter: rather one look too many.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Self, TypeAlias

Span: TypeAlias = tuple[datetime, datetime]
"""From (included) and to (excluded), UTC."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` (included) to `end` (excluded), every day; over midnight if `end` is earlier."""

    begin: time
    end: time
    zone: tzinfo

    def __post_init__(self) -> None:
        if self.begin.tzinfo or self.end.tzinfo:
            raise ValueError("hours are without offsets: they are meant in the site's time zone")
        if self.begin == self.end:
            raise ValueError("hours begin and end at the same time: leave them out for all day")

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> Self:
        """Return the hours written as "22:00-05:00"."""
        try:
            begin, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
        except ValueError:
            raise ValueError(f"{text!r} is not hours such as 22:00-05:00") from None
        return cls(begin, end, zone)

    @property
    def length(self) -> timedelta:
        """How long they are on a day on which the clocks do not change."""
        begin, end = (datetime.combine(date.min, edge) for edge in (self.begin, self.end))
        return (end - begin) % timedelta(days=1)

    def contains(self, at: datetime) -> bool:
        """Whether `at` is within the hours."""
        return any(begin <= at < end for begin, end in self._spans_around(at))

    def next_edge(self, after: datetime) -> datetime:
        """Return the next moment after `after` at which the hours begin or end."""
        return min(edge for span in self._spans_around(after) for edge in span if edge > after)

    def _spans_around(self, at: datetime) -> tuple[Span, ...]:
        return _spans(self, at.astimezone(self.zone).date())


@lru_cache(maxsize=64)
def _spans(hours: Hours, day: date) -> tuple[Span, ...]:
    """Return the hours of the days about `day`; kept, as the same day is asked for all day long."""
    return tuple(_span(hours, day + timedelta(days=offset)) for offset in (-1, 0, 1))


def _span(hours: Hours, day: date) -> Span:
    end_day = day if hours.begin < hours.end else day + timedelta(days=1)
    return (
        min(_shown(day, hours.begin, hours.zone)),
        max(_shown(end_day, hours.end, hours.zone)),
    )


def _shown(day: date, clock: time, zone: tzinfo) -> Span:
    """Return when the clock shows this on that day: twice the same, but for daylight saving."""
    local = datetime.combine(day, clock, zone)
    return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)
