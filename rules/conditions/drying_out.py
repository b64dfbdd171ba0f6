"""Drying-out of the paddy (中干し): when it is enough, when it is too long, when water came back.

From about 80 % of the wanted stems on, the field stays without water for 7 to 14 days, until the
ground has fine cracks. Shorter has no effect, longer tears roots. The alert says which it is by
`stage`, and is told again when one follows the other:

    1   long enough: look at the cracks, and let water in
    2   too long: let water in now
    3   water came back before it was enough: rain, a gate, the neighbour's field

It is over when water is let in after 1 or 2, when the field is dry again after 3, and at the end of
the last day in any case. Hours of rain that are too few to count as 3 do not count as dry either,
nor does what nobody measured.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import IntEnum
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.day_means import midnight_of
from rules.formulas.rice import DRYING_OUT_LEAST_DAYS, DRYING_OUT_MOST_DAYS
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time_if_any

ONE_DAY: Final = timedelta(days=1)

HEARD: Final = timedelta(hours=7)
"""What was between two words that are farther apart nobody knows, though both say the same. A gauge
may speak four times a day, and not always on time."""


class Stage(IntEnum):
    """How far it is."""

    BEFORE = 0
    """Nothing to tell: wet still, or not dry for long enough."""
    ENOUGH = 1
    TOO_LONG = 2
    WET_AGAIN = 3
    OVER = 4
    """Water was let in."""


TOLD: Final = frozenset({Stage.ENOUGH, Stage.TOO_LONG, Stage.WET_AGAIN})


@dataclass(frozen=True)
class DryingOut:
    """Breached while there is something to do about it."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.WATER_LEVEL_MILLIMETRE})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    zone: tzinfo
    first_day: date
    """On which the water may be let out; what was dry before does not count."""

    last_day: date
    """Until which it is judged; at most 60 days later."""

    least_days: float = float(DRYING_OUT_LEAST_DAYS)
    """So long it must be dry, 1 to 30 days."""

    most_days: float = float(DRYING_OUT_MOST_DAYS)
    """Longer is too long; more than `least_days`, at most 45 days."""

    dry_millimetre: float = 10.0
    """The field is dry with the water at this level or below, -500 to 100 mm: gauges err by some
    millimetres, and puddles remain."""

    wet_for: timedelta = timedelta(hours=12)
    """So long it must be wet before water counts as come back, or let in; 10 min to 3 days. It
    cannot come back to a field that was not dry for as long."""

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.last_day - self.first_day <= 60 * ONE_DAY:
            raise ValueError(f"last_day {self.last_day} is not within 60 d from first_day")
        if not 1 <= self.least_days <= 30:
            raise ValueError(f"least_days {self.least_days} is not from 1 to 30")
        if not self.least_days < self.most_days <= 45:
            raise ValueError(f"most_days {self.most_days} is not above least_days and up to 45")
        if not -500 <= self.dry_millimetre <= 100:
            raise ValueError(f"dry_millimetre {self.dry_millimetre} is not from -500 to 100")
        if not timedelta(minutes=10) <= self.wet_for <= timedelta(days=3):
            raise ValueError(f"wet_for {self.wet_for} is not from 10 min to 3 d")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one field."""
        return _Field(self, dumped)


class _Field(Memory):
    """How long it has been dry, as seen from reading to reading. Woken when the days are over."""

    __slots__ = ("_begin", "_dry_s", "_last", "_level", "_settings", "_stage", "_wet_since", "due")

    def __init__(self, settings: DryingOut, dumped: Any) -> None:
        self._settings = settings
        self._begin = midnight_of(settings.first_day, settings.zone)
        first_day, dry_s, stage, last, level, wet_since, due = dumped or _NOTHING
        if first_day != settings.first_day.isoformat():
            first_day, dry_s, stage, last, level, wet_since, due = _NOTHING
        self._dry_s = float(dry_s)
        self._stage = Stage(stage)
        self._last = load_time_if_any(last)
        self._level = None if level is None else float(level)
        self._wet_since = load_time_if_any(wet_since)
        """None: dry, or not known."""
        due = load_time_if_any(due)
        # The last day may be a later one by now. If it is earlier, the next word says so.
        self.due: datetime | None = None if due is None else max(due, self._ends(due))

    def _ends(self, at: datetime) -> datetime:
        return self._end.astimezone(at.tzinfo)

    @property
    def _end(self) -> datetime:
        return midnight_of(self._settings.last_day + ONE_DAY, self._settings.zone)

    @property
    def _dry(self) -> timedelta:
        return timedelta(seconds=self._dry_s)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Count, and say whether something has changed."""
        if not self._begin <= reading.at < self._end:
            # What fired was of another year.
            return Verdict.CLEAR
        self.due = self._ends(reading.at)
        if self._last is not None and reading.at - self._last > HEARD:
            self._last = self._wet_since = None
        before = self._stage
        if reading.value > self._settings.dry_millimetre:
            self._be_wet(reading)
        else:
            self._be_dry(reading)
        self._last, self._level = reading.at, reading.value
        if self._stage not in TOLD:
            return Verdict.CLEAR
        return Verdict.REPEATED if self._stage is not before else Verdict.BREACHED

    def _be_wet(self, reading: Reading) -> None:
        if self._wet_since is None:
            self._wet_since = reading.at
        if reading.at - self._wet_since < self._settings.wet_for:
            return
        if self._stage in (Stage.ENOUGH, Stage.TOO_LONG):
            self._stage = Stage.OVER
        elif self._stage is Stage.BEFORE and self._dry >= self._settings.wet_for:
            self._stage = Stage.WET_AGAIN

    def _be_dry(self, reading: Reading) -> None:
        was_wet, self._wet_since = self._wet_since is not None, None
        if self._stage is Stage.OVER:
            return
        if not was_wet and self._last is not None:
            self._dry_s += (reading.at - self._last).total_seconds()
        if self._dry > self._settings.most_days * ONE_DAY:
            self._stage = Stage.TOO_LONG
        elif self._dry >= self._settings.least_days * ONE_DAY:
            self._stage = Stage.ENOUGH
        else:
            self._stage = Stage.BEFORE

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Be over: the last day is."""
        self.due = None
        return Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:  # noqa: ARG002
        """Be over now, if that was while nobody listened: the calendar does not wait."""
        if self.due is not None:
            self.due = max(self.due, at)

    def evidence(self, at: datetime) -> Evidence:
        """Return how far it is, how long it was dry, and for how long it has been wet."""
        found = {"stage": float(self._stage), "dry_days": round(self._dry_s / 86_400, 1)}
        if self._level is not None:
            found["water_level_millimetre"] = self._level
        if self._wet_since is not None:
            found["wet_s"] = (at - self._wet_since).total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        # Not `due`: that is a day of the calendar, and the clock that is right knows it.
        self._last = None if self._last is None else self._last + by
        self._wet_since = None if self._wet_since is None else self._wet_since + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [
            self._settings.first_day.isoformat(),
            self._dry_s,
            int(self._stage),
            dump_time(self._last),
            self._level,
            dump_time(self._wet_since),
            dump_time(self.due),
        ]


_NOTHING: Final = (None, 0.0, Stage.BEFORE, None, None, None, None)
