"""What is usual in one home: how long it is still at which time of day, and when that is too long.

Two things are usual, of the last 28 days that are known, each within an hour more or less:

    still   the stillest that the home was by this time of day
    begun   the longest silence that began at the time of day when this one did

and each has a limit: what is usual, some minutes, and a part of what is usual; twice as much on top
after seven days as after very many, because few days have not seen much. Too long is what exceeds
either, but never less than two hours, and in any case what exceeds the most that the profile allows
for homes that are covered so well; unless that happened on two days: who sleeps for ten hours
unseen is not called each morning.

Who sleeps until seven each day is asked about at nine, not when twelve hours are over; and who rose
at seven and then is still is asked about sooner, because no silence that begins then lasts long.

There is no clock here: time is what the methods are told, in UTC, and it only moves forward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum, auto
from typing import Any, Self, TypeAlias

from rules.routine_days import (
    SPACE_MINUTES,
    SPACES_PER_DAY,
    STEP_MINUTES,
    UNKNOWN,
    Day,
    Days,
    space_of,
)

ENOUGH_DAYS = 7
"""With fewer, the fallback stands."""

ENOUGH_OF_A_SPACE = 3
"""At a time of day known on fewer days (a worker's noon) nothing is usual, and the most stands."""

AROUND_SPACES = 6
"""What is usual an hour earlier or later is usual."""

BEYOND = timedelta(hours=1)
"""How much longer than on the second stillest day it may be, whatever the profile allows."""

FLOOR = timedelta(hours=2)
FALLBACK = timedelta(hours=12)

Limits: TypeAlias = list[timedelta]
"""One for each space of the day."""


class Coverage(Enum):
    """How much of the home its sensors see."""

    WELL = auto()
    PART = auto()
    """One room of several: an evening elsewhere is not seen, and is no reason to call anybody."""
    HARDLY = auto()
    """A fridge alone: nothing can be learned that would be of help."""

    @classmethod
    def of(cls, motion: int, contacts: int) -> Self:
        """Return it for so many sensors inside: of motion, and others that a person moves.

        The outer door is not one of them.
        """
        sees = 2 * motion + contacts
        return cls(cls.WELL if sees >= 4 else cls.PART if sees >= 2 else cls.HARDLY)


@dataclass(frozen=True)
class Margin:
    """What comes on top of what is usual, in the long run."""

    least: timedelta
    part_of_usual: float

    def limit(self, usual: timedelta, few: float) -> timedelta:
        """Return what is too long; `few` is 1 after very many days, 2 after seven."""
        return usual + few * (self.least + self.part_of_usual * usual)


@dataclass(frozen=True)
class Profile:
    """Hours on the floor against calls for nothing."""

    still: Margin
    begun: Margin
    most: Mapping[Coverage, timedelta]
    """After so long somebody is told in any case."""


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)

STANDARD = Profile(
    Margin(30 * _MINUTE, 0.4),
    Margin(60 * _MINUTE, 0.5),
    {Coverage.WELL: 9.5 * _HOUR, Coverage.PART: 16 * _HOUR, Coverage.HARDLY: 24 * _HOUR},
)
"""The aim: one false alarm in a month of living there."""

CAUTIOUS = Profile(
    Margin(90 * _MINUTE, 0.5),
    Margin(150 * _MINUTE, 0.5),
    {Coverage.WELL: 11 * _HOUR, Coverage.PART: 16 * _HOUR, Coverage.HARDLY: 24 * _HOUR},
)
"""The aim: one in four months, which no recording at hand is long enough to show."""


@dataclass(frozen=True)
class Usual:
    """What is usual about one space of the day."""

    most: timedelta
    """On the stillest day."""
    second: timedelta
    """On the second stillest."""


Usuals: TypeAlias = list[Usual | None]
"""One for each space of the day; None: too few days know it."""


@dataclass(frozen=True)
class Learned:
    """What the days taught, and what is too long by it."""

    still: Usuals
    begun: Usuals
    still_limits: Limits
    begun_limits: Limits


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
        self._learned: tuple[tuple[int, Coverage], Learned] | None = None
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
        if self.coverage is Coverage.HARDLY:
            return since + self._most
        if self.days < ENOUGH_DAYS:
            return since + max(FALLBACK, self._most)
        learned = self._learn()
        latest = since + max(FLOOR, learned.begun_limits[space_of(since.astimezone(self._zone))])
        at = since + FLOOR
        while at < latest:
            local = at.astimezone(self._zone)
            end = at + timedelta(
                minutes=SPACE_MINUTES - local.minute % SPACE_MINUTES,
                seconds=-local.second,
                microseconds=-local.microsecond,
            )
            crossing = since + learned.still_limits[space_of(local)]
            if crossing < end:
                return min(max(crossing, at), latest)
            at = end
        return latest

    def limit(self, since: datetime) -> timedelta:
        """Return how long a silence that began at `since` may last."""
        return self.due(since) - since

    def explain(self, since: datetime, at: datetime) -> Explanation:
        """Return why it is, or is not yet, too long at `at`."""
        usual, limit = None, self.limit(since)
        if self.days >= ENOUGH_DAYS:
            learned, began = self._learn(), space_of(since.astimezone(self._zone))
            if limit == max(FLOOR, learned.begun_limits[began]):
                usual = learned.begun[began]
            else:
                usual = learned.still[space_of(at.astimezone(self._zone))]
        return Explanation(None if usual is None else usual.most, at - since, limit, self.days)

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

    @property
    def _most(self) -> timedelta:
        return self._profile.most[self.coverage]

    def _learn(self) -> Learned:
        known = self._days.count, self.coverage
        if self._learned is None or self._learned[0] != known:
            still, begun = usual_of(self._days.closed)
            profile = self._profile
            self._learned = (
                known,
                Learned(
                    still,
                    begun,
                    [self._limit(usual, profile.still) for usual in still],
                    [self._limit(usual, profile.begun) for usual in begun],
                ),
            )
        return self._learned[1]

    def _limit(self, usual: Usual | None, margin: Margin) -> timedelta:
        if usual is None:
            return self._most
        few = 1 + ENOUGH_DAYS / self.days
        most = max(self._most, usual.second + BEYOND)
        return min(max(margin.limit(usual.most, few), FLOOR), most)


def usual_of(days: Sequence[Day]) -> tuple[Usuals, Usuals]:
    """Return how still it was by each time of day, and how long silences were that began then."""
    by_then = [_around([0 if steps == UNKNOWN else steps for steps in day.still]) for day in days]
    from_then = [_around(list(day.begun)) for day in days]
    still: Usuals = []
    begun: Usuals = []
    for space in range(SPACES_PER_DAY):
        known = [n for n, day in enumerate(days) if day.still[space] != UNKNOWN]
        still.append(_usual([by_then[n][space] for n in known]))
        begun.append(_usual([from_then[n][space] for n in known]))
    return still, begun


def _usual(steps: Sequence[int]) -> Usual | None:
    """Return it for one space, by the days that know it."""
    if len(steps) < ENOUGH_OF_A_SPACE:
        return None
    *_, second, most = sorted(steps)
    return Usual(timedelta(minutes=STEP_MINUTES * most), timedelta(minutes=STEP_MINUTES * second))


def _around(day: list[int]) -> list[int]:
    """Return for each space the most within an hour; the day is a ring."""
    ring = [*day[-AROUND_SPACES:], *day, *day[:AROUND_SPACES]]
    return [max(ring[space : space + 2 * AROUND_SPACES + 1]) for space in range(SPACES_PER_DAY)]
