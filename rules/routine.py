"""What is usual in one home: how long it is still at which time of day, and when that is too long.

    usual   the stillest that the home was at this time of day, an hour more or less, in the last
            28 days that are known
    margin  some minutes, and a part of what is usual; twice as much after seven days as after very
            many, because few days have not seen much
    limit   usual + margin, at least two hours, at most what `Coverage` allows

Too long is when the home has been still for longer than the limit for that very time of day: who
sleeps until seven each day is asked about at nine, not when twelve hours are over.

There is no clock here: time is what the methods are told, in UTC, and it only moves forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from typing import Any, Self, TypeAlias

from rules.routine_days import (
    SPACE_MINUTES,
    SPACES_PER_DAY,
    STEP_MINUTES,
    UNKNOWN,
    Days,
    space_of,
)

ENOUGH_DAYS = 7
"""With fewer, the fallback stands."""

ENOUGH_OF_A_SPACE = 3
"""At a time of day known on fewer days (a worker's noon) nothing is usual, and the most stands."""

AROUND_SPACES = 6
"""What is usual an hour earlier or later is usual."""

FLOOR = timedelta(hours=2)
FALLBACK = timedelta(hours=12)

Limits: TypeAlias = list[timedelta]
"""One for each space of the day."""


class Coverage(Enum):
    """How much of the home its sensors see. The value: after how long somebody is told anyway."""

    WELL = timedelta(hours=11)
    PART = timedelta(hours=16)
    """One room of several: an evening elsewhere is not seen, and is no reason to call anybody."""
    HARDLY = timedelta(hours=24)
    """A fridge alone: nothing can be learned that would be of help."""

    @classmethod
    def of(cls, motion: int, contacts: int) -> Self:
        """Return it for so many sensors inside: of motion, and others that a person moves.

        The outer door is not one of them.
        """
        sees = 2 * motion + contacts
        return cls(cls.WELL if sees >= 4 else cls.PART if sees >= 2 else cls.HARDLY)


@dataclass(frozen=True)
class Profile:
    """Hours on the floor against calls for nothing: the margin, in the long run."""

    margin: timedelta
    part_of_usual: float


STANDARD = Profile(timedelta(minutes=30), 0.4)
"""The aim: one false alarm in a month of living there."""

CAUTIOUS = Profile(timedelta(minutes=90), 0.5)
"""The aim: one in four months, which no recording at hand is long enough to show."""


@dataclass(frozen=True)
class Explanation:
    """Usually within `usual` at this time of day; `still` now."""

    usual: timedelta | None
    """None while too little is known of this time of day."""
    still: timedelta
    limit: timedelta
    days: int
    """From how many days that is known."""


class HomeRoutine:
    """What one home taught, and what that means. `copy.deepcopy` goes its own way from there."""

    def __init__(self, zone: tzinfo, coverage: Coverage, profile: Profile = STANDARD) -> None:
        self.coverage = coverage
        """May change: a battery dies, a sensor is added."""
        self._zone, self._profile = zone, profile
        self._days = Days(zone)
        self._learned: tuple[tuple[int, Coverage], list[timedelta | None], Limits] | None = None
        """From what, and what: reckoned when it is asked for, once a day."""

    @property
    def days(self) -> int:
        """How many days are known."""
        return len(self._days.closed)

    def moved(self, at: datetime) -> None:
        """Learn that somebody is at home, and not still. A time already passed changes nothing."""
        self._days.moved(at)

    def left(self, at: datetime) -> None:
        """Learn that the home is empty from now on, until somebody moves."""
        self._days.left(at)

    def ignore(self) -> None:
        """Learn nothing from what goes on now, until somebody moves: it was a real emergency."""
        self._days.ignore()

    def unheard(self, begin: datetime, end: datetime) -> None:
        """Learn nothing from `begin` to `end`, when nobody listened; then go on from `end`."""
        self._days.unheard(begin, end)

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._days.shift(by)

    def due(self, since: datetime) -> datetime:
        """Return when somebody has to be told if the home stays still as it is since `since`.

        It is never sooner than FLOOR after `since`.
        """
        most: timedelta = self.coverage.value
        if self.coverage is Coverage.HARDLY:
            return since + most
        if self.days < ENOUGH_DAYS:
            return since + max(FALLBACK, most)
        limits = self._tables()[1]
        at = since + FLOOR
        while True:
            local = at.astimezone(self._zone)
            end = at + timedelta(
                minutes=SPACE_MINUTES - local.minute % SPACE_MINUTES,
                seconds=-local.second,
                microseconds=-local.microsecond,
            )
            crossing = since + limits[space_of(local)]
            if crossing < end:
                return max(crossing, at)
            at = end

    def limit(self, since: datetime) -> timedelta:
        """Return how long a silence that began at `since` may last."""
        return self.due(since) - since

    def explain(self, since: datetime, at: datetime) -> Explanation:
        """Return why it is, or is not yet, too long at `at`."""
        usual = None
        if self.days >= ENOUGH_DAYS:
            usual = self._tables()[0][space_of(at.astimezone(self._zone))]
        return Explanation(usual, at - since, self.limit(since), self.days)

    def dump(self) -> dict[str, Any]:
        """Return plain data for JSON, from which `load` makes the same again."""
        return self._days.dump()

    @classmethod
    def load(
        cls,
        dumped: dict[str, Any],
        zone: tzinfo,
        coverage: Coverage,
        profile: Profile = STANDARD,
    ) -> Self:
        """Return what was dumped, with today's settings. Raises ValueError if it was not."""
        routine = cls(zone, coverage, profile)
        try:
            routine._days.load(dumped)
        except (KeyError, TypeError, AttributeError, OverflowError) as problem:
            raise ValueError(f"this is no dump of a routine: {problem!r}") from problem
        return routine

    def _tables(self) -> tuple[list[timedelta | None], Limits]:
        known = self._days.count, self.coverage
        if self._learned is None or self._learned[0] != known:
            usual = usual_minutes(self._days.closed)
            few = 1 + ENOUGH_DAYS / self.days
            limits = [self._limit(minutes, few) for minutes in usual]
            shown = [None if minutes is None else timedelta(minutes=minutes) for minutes in usual]
            self._learned = known, shown, limits
        return self._learned[1], self._learned[2]

    def _limit(self, minutes: int | None, few: float) -> timedelta:
        most: timedelta = self.coverage.value
        if minutes is None:
            return most
        usual = timedelta(minutes=minutes)
        margin = few * (self._profile.margin + self._profile.part_of_usual * usual)
        return min(max(usual + margin, FLOOR), most)


def usual_minutes(days: Sequence[bytes]) -> list[int | None]:
    """Return how still it was at most about each time of day; None where too few days know."""
    known = [0] * SPACES_PER_DAY
    most = [0] * SPACES_PER_DAY
    for day in days:
        for space, steps in enumerate(_around(day)):
            if day[space] != UNKNOWN:
                known[space] += 1
                most[space] = max(most[space], steps)
    return [
        STEP_MINUTES * steps if count >= ENOUGH_OF_A_SPACE else None
        for steps, count in zip(most, known, strict=True)
    ]


def _around(day: bytes) -> list[int]:
    """Return for each space the stillest that is known within an hour; the day is a ring."""
    ring = [0 if steps == UNKNOWN else steps for steps in day]
    ring = [*ring[-AROUND_SPACES:], *ring, *ring[:AROUND_SPACES]]
    return [max(ring[space : space + 2 * AROUND_SPACES + 1]) for space in range(SPACES_PER_DAY)]
