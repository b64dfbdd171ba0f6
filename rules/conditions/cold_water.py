"""Rice about meiosis in too shallow water, and it gets cold (障害型冷害): the grain stays empty.

The young ears are still low in the plant then, and water is warmer than the air of the night: 15 cm
of it keep them from harm. What is needed in the coming night is judged by the coldest of the last
24 hours, since cold comes for days; so it is told as soon as the air is that cold, and stays told
on the warm day between two nights. Water has to be let in by day, when it is warm.

Defaults for meiosis (i-agri.net of Iwate: 15 cm and more at 17 °C or less). For panicle formation
write another rule: from 25 to 17 days before heading, 18 °C, 100 mm.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.day_means import midnight_of
from rules.formulas.rice import DANGEROUS_MINIMUM_CELSIUS, MEIOSIS_DAYS_BEFORE_HEADING
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time, load_time_if_any

AIR: Final = Quantity.TEMPERATURE_CELSIUS
LEVEL: Final = Quantity.WATER_LEVEL_MILLIMETRE

HOUR: Final = timedelta(hours=1)
LOOKED_BACK: Final = 24 * HOUR

ENOUGH_HOURS: Final = 20
"""In so many of them air must have been heard before it is known that none was cold."""

RECENT: Final = 6 * HOUR
"""A level that is older says nothing about now."""

FORGOTTEN: Final = timedelta(days=3)
"""A gauge that is silent for longer is not there any more; until then nobody knows whether it is
deep enough where that stands."""


@dataclass(frozen=True)
class ColdWater:
    """Breached while it is cold and any of the rule's water levels is too low, on these days."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({AIR, LEVEL})
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({AIR}), frozenset({LEVEL}))

    zone: tzinfo
    heading: date
    """出穂期, as it is expected."""

    from_days_before: int = MEIOSIS_DAYS_BEFORE_HEADING[0]
    """On which day before heading it begins to judge, at most 60."""

    until_days_before: int = MEIOSIS_DAYS_BEFORE_HEADING[1]
    """The last of these days, 0 or more."""

    limit_celsius: float = DANGEROUS_MINIMUM_CELSIUS
    """It is cold at this temperature of the air or below, 5 to 25 °C."""

    depth_millimetre: float = 150.0
    """How deep the water must stand then, 10 to 500 mm."""

    margin: float = 10.0
    """How much deeper it must stand before it is enough; 0 or more, mm."""

    def __post_init__(self) -> None:
        if not 0 <= self.until_days_before <= self.from_days_before <= 60:
            raise ValueError(
                f"from_days_before {self.from_days_before} and until_days_before "
                f"{self.until_days_before} are not from 60 to 0, in order"
            )
        if not 5 <= self.limit_celsius <= 25:
            raise ValueError(f"limit_celsius {self.limit_celsius} is not from 5 to 25")
        if not 10 <= self.depth_millimetre <= 500:
            raise ValueError(f"depth_millimetre {self.depth_millimetre} is not from 10 to 500")
        if self.margin < 0:
            raise ValueError(f"margin {self.margin} is below 0")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of the field."""
        return _Field(self, dumped)


class _Field(Memory):
    """The coldest of each of the last hours, and the last level of each gauge.

    Woken when the days are over.
    """

    __slots__ = ("_begin", "_coldest", "_end", "_levels", "_settings", "due")

    def __init__(self, settings: ColdWater, dumped: Any) -> None:
        coldest, levels, due = ([], {}, None) if dumped is None else dumped
        self._settings = settings
        heading, day = settings.heading, timedelta(days=1)
        self._begin = midnight_of(heading - settings.from_days_before * day, settings.zone)
        self._end = midnight_of(heading - (settings.until_days_before - 1) * day, settings.zone)
        self._coldest = [(load_time(at), float(celsius)) for at, celsius in coldest]
        """With when the hour began, the oldest first."""
        self._levels = {
            str(sensor): (load_time(at), float(level))
            for sensor, (at, level) in dict(levels).items()
        }
        due = load_time_if_any(due)
        # Heading may be expected later by now. If it is earlier, the next word says so.
        self.due: datetime | None = None if due is None else max(due, self._ends(due))

    def _ends(self, at: datetime) -> datetime:
        return self._end.astimezone(at.tzinfo)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take it in, and judge what is known by now."""
        at = reading.at
        if reading.quantity is AIR:
            self._breathe(reading)
        else:
            levels = self._levels.items()
            self._levels = {s: level for s, level in levels if at - level[0] <= FORGOTTEN}
            self._levels[reading.sensor] = (at, reading.value)
        if not self._begin <= at < self._end:
            # What fired was of another year.
            return Verdict.CLEAR
        self.due = self._ends(at)
        return self._verdict(at)

    def _breathe(self, reading: Reading) -> None:
        at, celsius = reading.at, reading.value
        hours = [hour for hour in self._coldest if at - hour[0] < LOOKED_BACK]
        if hours and at - hours[-1][0] < HOUR:
            hours[-1] = (hours[-1][0], min(celsius, hours[-1][1]))
        else:
            hours.append((at, celsius))
        self._coldest = hours

    def _recent(self, at: datetime) -> list[float]:
        """Return the coldest of each of the last hours."""
        return [celsius for begin, celsius in self._coldest if at - begin < LOOKED_BACK]

    def _shallowest(self, at: datetime) -> float | None:
        """Return the lowest level of those that are heard."""
        levels = [level for then, level in self._levels.values() if at - then <= RECENT]
        return min(levels, default=None)

    def _verdict(self, at: datetime) -> Verdict:
        settings, air, level = self._settings, self._recent(at), self._shallowest(at)
        if air and min(air) > settings.limit_celsius:
            return Verdict.CLEAR if len(air) >= ENOUGH_HOURS else Verdict.UNDECIDED
        if not air or level is None:
            return Verdict.UNDECIDED
        if level < settings.depth_millimetre:
            return Verdict.BREACHED
        is_heard = all(at - then <= RECENT for then, _ in self._levels.values())
        is_deep = level >= settings.depth_millimetre + settings.margin
        return Verdict.CLEAR if is_deep and is_heard else Verdict.UNDECIDED

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Be over: the days are."""
        self.due = None
        return Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:  # noqa: ARG002
        """Be over now, if that was while nobody listened: rice does not wait."""
        if self.due is not None:
            self.due = max(self.due, at)

    def evidence(self, at: datetime) -> Evidence:
        """Return how cold it was in the last 24 hours, and how deep the water stands."""
        found = {}
        if air := self._recent(at):
            found["coldest_celsius"] = min(air)
        if (level := self._shallowest(at)) is not None:
            found["water_level_millimetre"] = level
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        # Not `due`: that is a day of the calendar, and the clock that is right knows it.
        self._coldest = [(at + by, celsius) for at, celsius in self._coldest]
        self._levels = {sensor: (at + by, level) for sensor, (at, level) in self._levels.items()}

    def dump(self) -> Any:
        """Return it as plain data."""
        coldest = [[at.isoformat(), celsius] for at, celsius in self._coldest]
        levels = {sensor: [at.isoformat(), level] for sensor, (at, level) in self._levels.items()}
        return [coldest, levels, dump_time(self.due)]
