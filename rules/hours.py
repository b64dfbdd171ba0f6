"""Hours of the day during which a rule judges: "22:00-05:00" at the place where the sensors are."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Self


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` (included) to `end` (excluded), every day; over midnight if `end` is earlier."""

    begin: time
    end: time
    zone: tzinfo

    def __post_init__(self) -> None:
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

    def contains(self, at: datetime) -> bool:
        """Whether `at` is within the hours."""
        local = at.astimezone(self.zone).time()
        if self.begin < self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end

    def next_edge(self, after: datetime) -> datetime:
        """Return the next moment after `after` at which the hours begin or end."""
        day = after.astimezone(self.zone).date()
        edges = (
            datetime.combine(day + timedelta(days=days), edge, self.zone).astimezone(after.tzinfo)
            for days in (0, 1, 2)
            for edge in (self.begin, self.end)
        )
        # With three days there is always one, also when daylight saving moves an edge.
        return min(edge for edge in edges if edge > after)
