"""Leaf blast of rice (葉いもち): last night's weather let it infect the leaves (BLASTAM).

Once a day at 15:00 the 24 hours to then and the mean of the five days to then are judged; see
rules/formulas/blast.py. Lesions show 7 to 10 days later, which is when to look at the field.

The sensors of the rule stand in one field. Of each quantity one of them is heard, and another if
that one is silent for six hours. What is measured decides how:

    leaf_wet                  an hour is wet if the leaf was wet for half of it
    rain, no leaf_wet         estimated as the plant protection offices do
    ... no wind for 5 days    taken to be calm, which errs towards too wet
    ... no sun for 5 days     taken to be dull, which errs towards too wet by day

An hour in which a sensor that was there is missing makes the day undecided, and so does one of the
last five days with less than 20 known hours. Temperature, wind and sun go straight from one reading
to the next, for six hours at most; a rain counter that has not moved says that there was no rain.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from statistics import fmean
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.formulas.blast import (
    COLDEST_CELSIUS,
    HOURS,
    SUNSHINE_FROM_W_PER_M2,
    WARMEST_CELSIUS,
    BlastCode,
    HourlyWeather,
    WetPeriod,
    blast_code,
    longest_run,
    needed_hours,
    washed_hours,
    wet_hours,
)
from rules.formulas.ranges import AIR_CELSIUS
from rules.hour_sums import HOUR, HourSums, wall_hours
from rules.lifecycle import Verdict
from rules.month_days import is_within, require_month_day
from rules.snapshot import dump_time, load_time, load_time_if_any

AIR: Final = Quantity.TEMPERATURE_CELSIUS
WIND: Final = Quantity.WIND_SPEED_METRE_PER_S
RAIN: Final = Quantity.RAIN_TOTAL_MILLIMETRE
SUN: Final = Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE
LEAF: Final = Quantity.LEAF_WET

POSSIBLE: Final = {
    AIR: AIR_CELSIUS,
    WIND: (0.0, 100.0),
    RAIN: (0.0, math.inf),
    SUN: (-20.0, 1600.0),
    LEAF: (0.0, 1.0),
}
"""What is outside is not believed."""

MOST_RAIN_MM: Final = 300.0
"""No hour has more: a counter that grew by more is another counter."""

JUDGED_AT: Final = 15
"""The hour of the day, local time."""

BRIDGED: Final = 6 * HOUR
"""The longest way from one reading to the next that is taken to be straight."""
STATE_LASTS: Final = 24 * HOUR
"""A leaf or a rain counter that says the same again after this was so in between."""
RAIN_PLACED: Final = 75 * timedelta(minutes=1)
"""Rain is known to its hour if it fell between two readings no further apart."""
HELD: Final = 2 * HOUR
"""So long after its last reading a value is taken to be the same until 15:00."""

DAYS: Final = 5
KNOWN_HOURS: Final = 20
"""So many hours of each of the days before must be known."""

NEAR: Final = {1, 2, 3, 4}


@dataclass(frozen=True)
class Blast:
    """Breached when the day's code is ● or one of these near ones, until `over_after`."""

    watches: ClassVar[frozenset[Quantity]] = frozenset(POSSIBLE)
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({AIR}), frozenset({RAIN, LEAF}))

    zone: tzinfo

    near_codes: tuple[int, ...] = ()
    """Which of the nearly favourable codes count as well, 1 to 4; see rules/formulas/blast.py."""

    first_day: str = "06-01"
    """Of the season, each year, month and day."""

    last_day: str = "08-31"
    """The same, not before the first."""

    over_after: timedelta = timedelta(days=7)
    """How long after the last such day it is over by itself, 1 hour to 30 days."""

    def __post_init__(self) -> None:
        for code in self.near_codes:
            if code not in NEAR:
                raise ValueError(f"near_codes {list(self.near_codes)}: {code} is not from 1 to 4")
        require_month_day("first_day", self.first_day)
        require_month_day("last_day", self.last_day)
        if self.last_day < self.first_day:
            raise ValueError(f"last_day {self.last_day} is before first_day {self.first_day}")
        if not HOUR <= self.over_after <= timedelta(days=30):
            raise ValueError(f"over_after {self.over_after} is not from 1 h to 30 d")

    def remember(self, dumped: Any = None) -> Memory:
        """Return the last days of the field."""
        return _Field(self, dumped)


class _Field(Memory):
    """The hours of today and yesterday, and the means of the days before.

    A day is the 24 hours to 15:00. Woken then, and when the alert is over.
    """

    __slots__ = ("_days", "_found", "_hours", "_last", "_next", "_over", "_settings")

    def __init__(self, settings: Blast, dumped: Any) -> None:
        self._settings = settings
        hours, last, days, found, following, over = (
            ({}, {}, [], {}, None, None) if dumped is None else dumped
        )
        self._hours = {quantity: HourSums(dict(hours).get(quantity.value)) for quantity in POSSIBLE}
        self._last = {
            Quantity(quantity): (str(sensor), load_time(at), float(value))
            for quantity, (sensor, at, value) in dict(last).items()
        }
        """What was heard last, and from whom."""
        self._days = {int(day): (int(known), float(total)) for day, known, total in days}
        """How many hours of a day are known, and the sum of their temperatures."""
        self._found = {str(name): float(figure) for name, figure in dict(found).items()}
        """What speaks for the alert."""
        self._next = load_time_if_any(following)
        self._over = load_time_if_any(over)

    @property
    def due(self) -> datetime | None:  # type: ignore[override]
        """Return when it judges next, or is over."""
        return min(filter(None, (self._next, self._over)), default=None)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take it in: the day is judged at its end."""
        quantity, at, value = reading.quantity, reading.at, reading.value
        low, high = POSSIBLE[quantity]
        if not low <= value <= high:
            return Verdict.UNDECIDED
        last = self._last.get(quantity)
        if last is not None and last[0] != reading.sensor:
            if at - last[1] < BRIDGED:
                return Verdict.UNDECIDED
            last = None
        self._last[quantity] = (reading.sensor, at, value)
        if last is not None:
            self._between(quantity, (last[1], last[2]), (at, value))
        return Verdict.UNDECIDED

    def _between(
        self, quantity: Quantity, begin: tuple[datetime, float], end: tuple[datetime, float]
    ) -> None:
        """Conclude what was between two readings of a sensor."""
        hours, gap = self._hours[quantity], end[0] - begin[0]
        start, stop = self._wall(begin[0]), self._wall(end[0])
        if quantity is RAIN:
            # A counter that began anew counts what fell since.
            fell = end[1] - begin[1] if end[1] >= begin[1] else end[1]
            if fell > MOST_RAIN_MM or gap > (RAIN_PLACED if fell else STATE_LASTS):
                return
            hours.line(start, 0.0, stop, 0.0)
            if fell:
                hours.drop((start + stop) / 2, fell)
        elif quantity is LEAF:
            if gap <= STATE_LASTS:
                hours.line(start, begin[1], stop, begin[1])
        elif gap <= BRIDGED:
            first, last = _counted(quantity, begin[1]), _counted(quantity, end[1])
            hours.line(start, first, stop, last)

    def _wall(self, at: datetime) -> float:
        return wall_hours(at, self._settings.zone)

    def advance(self, at: datetime) -> Verdict:
        """Judge the day that is over, or be over."""
        verdict = Verdict.UNDECIDED
        if self._over is not None and self._over <= at:
            self._over = None
            verdict = Verdict.CLEAR
        if self._next is not None and self._next <= at:
            self._next = self._judgement_after(at)
            if self._judge_day(at):
                self._over = at + self._settings.over_after
                return Verdict.BREACHED
        return verdict

    def _judgement_after(self, at: datetime) -> datetime:
        zone = self._settings.zone
        today = at.astimezone(zone).date()
        for day in (today, today + timedelta(days=1)):
            judged = datetime.combine(day, time(JUDGED_AT), zone).astimezone(at.tzinfo)
            if judged > at:
                return judged
        raise ValueError(f"{zone} has no {JUDGED_AT}:00 after {at}")

    def _judge_day(self, at: datetime) -> bool:
        """Return whether the day that ended last lets the alert begin, or go on."""
        now = self._wall(at)
        day = (math.floor(now) - JUDGED_AT) // HOURS - 1
        begin = day * HOURS + JUDGED_AT
        self._fold(begin)
        settings = self._settings
        ended_on = date.fromordinal(date(1970, 1, 1).toordinal() + day + 1)
        if not is_within(ended_on, settings.first_day, settings.last_day):
            return False
        found = self._judged(day, self._until(begin + HOURS))
        if found is None:
            return False
        code, evidence = found
        number = _number(code)
        if code is not BlastCode.FAVOURABLE and number not in settings.near_codes:
            return False
        self._found = {"code": float(number), **evidence}
        return True

    def _fold(self, begin: int) -> None:
        """Keep of the hours before only what the mean of five days needs."""
        for quantity, hours in self._hours.items():
            known = hours.forget(begin)
            for hour, celsius in known if quantity is AIR else ():
                day = (hour - JUDGED_AT) // HOURS
                count, total = self._days.get(day, (0, 0.0))
                self._days[day] = (count + 1, total + celsius)
        oldest = (begin - JUDGED_AT) // HOURS - DAYS + 1
        self._days = {day: held for day, held in self._days.items() if day >= oldest}

    def _until(self, end: float) -> dict[Quantity, HourSums]:
        """Return the hours, with what was heard last going on until `end`."""
        going_on = {quantity: hours.copy() for quantity, hours in self._hours.items()}
        for quantity, (_, at, value) in self._last.items():
            last, hours = self._wall(at), going_on[quantity]
            if end - last <= (STATE_LASTS if quantity is LEAF else HELD) / HOUR:
                held = 0.0 if quantity is RAIN else _counted(quantity, value)
                hours.line(last, held, end, held)
        return going_on

    def _judged(
        self, day: int, hours: Mapping[Quantity, HourSums]
    ) -> tuple[BlastCode, dict[str, float]] | None:
        """Return the code of the day and why; None: not enough is known."""
        places = range(day * HOURS + JUDGED_AT, (day + 1) * HOURS + JUDGED_AT)
        celsius = _all([hours[AIR].mean(hour) for hour in places])
        before = [self._days.get(day - n, (0, 0.0)) for n in range(1, DAYS)]
        if celsius is None or min(known for known, _ in before) < KNOWN_HOURS:
            return None
        five_days = fmean([*(total / known for known, total in before), fmean(celsius)])
        wet = self._wet(hours, places, celsius)
        if wet is None:
            return None
        period = longest_run(wet, celsius) or WetPeriod(0, celsius[0])
        found = {
            "wet_hours": float(period.hours),
            "mean_celsius": round(period.mean_celsius, 1),
            "five_day_mean_celsius": round(five_days, 1),
        }
        for name, quantity in (("leaf", LEAF), ("wind", WIND), ("sun", SUN)):
            known_hours = sum(hours[quantity].mean(hour) is not None for hour in places)
            found[f"{name}_heard_hours"] = float(known_hours)
        if COLDEST_CELSIUS <= period.mean_celsius <= WARMEST_CELSIUS:
            found["needed_hours"] = float(needed_hours(period.mean_celsius))
        return blast_code(period, five_days), found

    def _wet(
        self, hours: Mapping[Quantity, HourSums], places: range, celsius: list[float]
    ) -> tuple[bool, ...] | None:
        """Say of each hour whether it counts as wet; None: not enough is known."""
        rain = _all([hours[RAIN].amount(hour) for hour in places])
        leaf = _all([hours[LEAF].mean(hour) for hour in places])
        if leaf is not None:
            washed = [False] * HOURS if rain is None else washed_hours(rain)
            return tuple(share >= 0.5 and not w for share, w in zip(leaf, washed, strict=True))
        wind, sun = (self._assumed(quantity, hours, places) for quantity in (WIND, SUN))
        if rain is None or wind is None or sun is None:
            return None
        # Sums of parts of hours may be a trillionth above all of it.
        sunny = [min(1.0, part) for part in sun]
        return wet_hours(HourlyWeather(celsius, wind, rain, sunny))

    def _assumed(
        self, quantity: Quantity, hours: Mapping[Quantity, HourSums], places: range
    ) -> list[float] | None:
        """Return what was measured, or nothing of it if nobody measures it."""
        last = self._last.get(quantity)
        if last is None or places.stop - self._wall(last[1]) > DAYS * HOURS:
            return [0.0] * HOURS
        return _all([hours[quantity].mean(hour) for hour in places])

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Begin, or go on: the weather went on, and the fungus too."""
        if self._next is None or since is None:
            self._next = self._judgement_after(at)
        self._next = max(self._next, at)
        if self._over is not None:
            self._over = max(self._over, at)
        # The leaf may have been dry in between, and nobody heard it.
        if since is not None and at - since > HOUR:
            self._last.pop(LEAF, None)

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return the last favourable day's code (0 is ●), and what it was found from."""
        return self._found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`; 15:00 stays 15:00."""
        for hours in self._hours.values():
            hours.shift(round(by / HOUR))
        self._last = {q: (sensor, at + by, value) for q, (sensor, at, value) in self._last.items()}
        days = round(by / timedelta(days=1))
        self._days = {day + days: held for day, held in self._days.items()}
        if self._next is not None:
            self._next = self._judgement_after(self._next + by - timedelta(days=1))
        if self._over is not None:
            self._over += by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [
            {quantity.value: hours.dump() for quantity, hours in self._hours.items()},
            {q.value: [sensor, at.isoformat(), v] for q, (sensor, at, v) in self._last.items()},
            [[day, *held] for day, held in self._days.items()],
            self._found,
            dump_time(self._next),
            dump_time(self._over),
        ]


def _counted(quantity: Quantity, value: float) -> float:
    """Return what is summed: of the sun, whether it shines."""
    return float(value >= SUNSHINE_FROM_W_PER_M2) if quantity is SUN else value


def _all(values: list[float | None]) -> list[float] | None:
    """Return them if none is missing."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _number(code: BlastCode) -> int:
    """Return 0 for ●, 1 to 4 for the near ones, 5 for none of them."""
    return [*"●1234-"].index(code.value)
