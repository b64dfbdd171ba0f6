"""The daily means from a first day on: what a condition remembers that judges how a crop has grown.

A day of which too little was heard lies on the straight way from the last known day to the next, as
soon as that is known; days before the first known one count like it. As long as more days are
guessed than known, nothing is judged.
"""

from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from drivers.reading import Reading
from rules.condition import Memory
from rules.day_means import DayMeans
from rules.formulas.ranges import AIR_CELSIUS
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time_if_any

ONE_DAY = timedelta(days=1)


def require_day(name: str, day: date) -> None:
    """Raise ValueError unless it is a day of this century."""
    if not 2000 <= day.year < 2100:
        raise ValueError(f"{name} {day} is not from 2000 to 2099")


class Season(Memory):
    """Of one sensor: a sum, however long it is. Woken when an alert is over by itself."""

    __slots__ = (
        "_base_celsius",
        "_first_day",
        "_guessed",
        "_last_day",
        "_mean",
        "_means",
        "_next",
        "_sum",
        "due",
    )

    def __init__(
        self,
        first_day: date,
        last_day: date,
        base_celsius: float,
        zone: tzinfo,
        dumped: Any = None,
    ) -> None:
        """From `first_day` to `last_day`, of each day what its mean is above the base.

        `dumped` is what `dump` returned; of another season or base only today is taken.
        """
        self._base_celsius = base_celsius
        self._first_day, self._last_day = first_day, last_day
        self._next = first_day
        """The first day that does not count yet."""
        self._sum, self._guessed = 0.0, 0
        self._mean: float | None = None
        """Of the last known day."""
        self.due: datetime | None = None
        means = None
        if dumped is not None:
            season, following, total, guessed, mean, due, means = dumped
            if season == self._named:
                self._next = date.fromisoformat(following)
                self._sum, self._guessed = float(total), int(guessed)
                self._mean = None if mean is None else float(mean)
                self.due = load_time_if_any(due)
        self._means = DayMeans(zone, means)

    @property
    def _named(self) -> list[Any]:
        """What a sum is of."""
        return [self._first_day.isoformat(), self._base_celsius]

    @property
    def degree_days(self) -> float:
        """What the days were above the base, all together."""
        return self._sum

    @property
    def days(self) -> int:
        """How many count by now."""
        return (self._next - self._first_day).days

    @property
    def guessed_days(self) -> int:
        """How many of these were not heard."""
        return self._guessed

    @property
    def is_known(self) -> bool:
        """Whether at least as much is known as guessed."""
        return 0 < self.days >= 2 * self._guessed

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take in a temperature, and judge by the days that are over."""
        coldest, hottest = AIR_CELSIUS
        if not coldest <= reading.value <= hottest:
            return Verdict.UNDECIDED
        over = self._means.hear(reading.at, reading.value)
        if over is not None:
            self._count(*over)
        return self.verdict(reading.at)

    def verdict(self, at: datetime) -> Verdict:
        """Say what the days mean."""
        raise TypeError(f"{type(self).__name__} cannot judge by its days at {at}")

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Be over: it was woken because its time is."""
        self.due = None
        return Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:  # noqa: ARG002
        """Be over now, if that was while nobody listened: crops do not wait."""
        if self.due is not None:
            self.due = max(self.due, at)

    def _count(self, day: date, mean: float) -> None:
        """Let it count, and the unheard days before it."""
        begin = mean if self._mean is None else self._mean
        unheard = (day - self._next).days
        if unheard < 0:
            return
        self._mean = mean
        for n in range(1, unheard + 2):
            if self._next > self._last_day:
                return
            between = begin + (mean - begin) * n / (unheard + 1)
            self._sum += max(0.0, between - self._base_celsius)
            self._guessed += n <= unheard
            self._next += ONE_DAY

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`; days that count stay as they are."""
        self._means.shift(by)
        if self.due is not None:
            self.due += by

    def dump(self) -> Any:
        """Return it as plain data."""
        counted = [self._next.isoformat(), self._sum, self._guessed, self._mean]
        return [self._named, *counted, dump_time(self.due), self._means.dump()]
