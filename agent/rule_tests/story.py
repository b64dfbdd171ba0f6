"""What a file of rule tests holds once it is read: stories, and all that can happen in one.

Nothing here knows of files: who lives through a story is life.py, who compares is difference.py.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import TypeAlias

from drivers.reading import Reading
from rules.alert import AlertEvent
from rules.engine import Rule
from rules.presence import PresenceSensors

MAX_DAYS = 400
"""A story may last a year and its beginning again. Each day of it costs all the rules time."""

_WRITTEN = re.compile(
    r"(?:day ([1-9][0-9]{0,2}) )?([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
)


@dataclass(frozen=True)
class Calendar:
    """When the times of a story are."""

    first_day: date
    """Day 1; "08:20" is on it."""

    zone: tzinfo
    """In which times are written. One that the clocks show twice is the first of both."""

    def moment(self, text: str) -> datetime:
        """Return the time (UTC) of "08:20", "08:20:05" or "day 2 08:20". Raises ValueError."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ValueError('is not a time such as "08:20", "08:20:05" or "day 2 08:20"')
        day = int(match[1] or 1)
        if day > MAX_DAYS:
            raise ValueError(f"is after day {MAX_DAYS}: a story ends there")
        try:
            clock = time.fromisoformat(match[2])
        except ValueError as error:
            raise ValueError(f"is not a time of the day: {error}") from None
        on = self.first_day + timedelta(days=day - 1)
        return datetime.combine(on, clock, self.zone).astimezone(UTC)

    def written(self, at: datetime) -> str:
        """Return what `moment` reads."""
        local = at.astimezone(self.zone)
        day = (local.date() - self.first_day).days + 1
        clock = local.time().isoformat()
        if not local.second and not local.microsecond:
            clock = clock.removesuffix(":00")
        return clock if day == 1 else f"day {day} {clock}"


@dataclass(frozen=True)
class Measured:
    """A sensor says something."""

    reading: Reading

    @property
    def at(self) -> datetime:
        """When (UTC)."""
        return self.reading.at


@dataclass(frozen=True)
class Passes:
    """Time passes, up to `at`; the first of all begins it."""

    at: datetime


@dataclass(frozen=True)
class Restart:
    """The daemon ends, and starts again with what it has written down."""

    at: datetime
    listening_from: datetime | None = None
    """When it hears again; None: at once. Before `at`: it starts with a clock that is behind."""


@dataclass(frozen=True)
class ClockSet:
    """The clock was behind and is put right; nothing else happens."""

    at: datetime
    """What it shows before that."""
    by: timedelta


Step: TypeAlias = Measured | Passes | Restart | ClockSet
"""One line of a timeline."""


@dataclass(frozen=True)
class Expected:
    """An alert event, as far as the story says something about it."""

    named: Mapping[str, object]
    """By field of AlertEvent; of a field that has names itself (evidence), a mapping by these."""

    def matches(self, event: AlertEvent) -> bool:
        """Whether all that is named is so."""
        return all(_same(getattr(event, name), value) for name, value in self.named.items())


def _same(real: object, expected: object) -> bool:
    if isinstance(expected, Mapping):
        found = dict(real) if isinstance(real, Mapping | tuple) else {}
        return all(k in found and _same(found[k], value) for k, value in expected.items())
    if isinstance(real, int | float) and isinstance(expected, int | float):
        # 0.1 + 0.2 is 0.3 to whoever writes a test.
        return math.isclose(real, expected, rel_tol=1e-9, abs_tol=1e-9)
    return real == expected


@dataclass(frozen=True)
class Story:
    """One test: what happens, and which alerts people are told of."""

    path: Path
    line: int | None
    """Of the file, where it begins, from 1; None if that is not known."""
    says: str
    about: str
    """A word to sort it under; "" for none."""

    rules: tuple[Rule, ...]
    """All that judge."""
    presence: PresenceSensors | None
    tested: tuple[str, ...]
    """The names of the rules whose alerts count; what others tell is left out."""

    calendar: Calendar
    steps: tuple[Step, ...]
    alerts: tuple[Expected, ...]
    """All of them, in order."""
