"""Frost tonight, told in the evening with its probability; and frost now.

From sunset on, each hour until two hours before sunrise, the night's lowest temperature is forecast
from temperature, dew point and how fast it cools (rules/frost_site.py). It is told when the
probability that the night gets to `limit_celsius` or below reaches `probability`; and told again
when it is that cold, since covers and fans are then needed at once. It is over in the morning, when
it is warmer than the limit by `margin`; where that does not come, each evening and each frost is
told again.

The sensor learns from its own nights, from the first one on. Only nights count that were heard for
four hours of five, and evenings of 15 °C or less. Hang it where the crop is, in the open, with a
shield: a roof or a wall hides frost.
"""

from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.formulas.humid_air import dew_point_celsius
from rules.formulas.ranges import AIR_CELSIUS
from rules.formulas.sun import sunrise, sunset
from rules.frost_site import FALL_HOURS, LATEST_HOUR, MILD_CELSIUS, Evening, SiteNights
from rules.lifecycle import Verdict
from rules.month_days import is_within, require_month_day
from rules.sample import Sample

AIR: Final = Quantity.TEMPERATURE_CELSIUS
HUMIDITY: Final = Quantity.HUMIDITY_PERCENT

HOUR: Final = timedelta(hours=1)
HEARD: Final = 0.8
"""So much of a night must be heard before it is known how cold it was."""

LAST: Final = timedelta(hours=2)
"""So long before sunrise the last forecast is made."""


@dataclass(frozen=True)
class Frost:
    """Breached when frost is probable tonight, or there; clear on the morning after."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({AIR, HUMIDITY})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({AIR}), frozenset({HUMIDITY}))

    latitude_degrees: float
    longitude_degrees: float

    limit_celsius: float = 0.0
    """What counts as frost, of the air at the sensor; -10 to 10 °C."""

    probability: float = 0.4
    """From which on it is told, 0.05 to 0.95; a low one misses less and is wrong more often."""

    margin: float = 1.0
    """How much warmer than the limit it must be by day before it is over; 0 to 10 °C."""

    first_day: str = "03-01"
    """Of the season, each year, month and day: in deep winter frost is no news."""

    last_day: str = "11-30"
    """The same; before the first one if it goes over the new year."""

    def __post_init__(self) -> None:
        if not -10 <= self.limit_celsius <= 10:
            raise ValueError(f"limit_celsius {self.limit_celsius} is not from -10 to 10")
        if not 0.05 <= self.probability <= 0.95:
            raise ValueError(f"probability {self.probability} is not from 0.05 to 0.95")
        if not 0 <= self.margin <= 10:
            raise ValueError(f"margin {self.margin} is not from 0 to 10")
        require_month_day("first_day", self.first_day)
        require_month_day("last_day", self.last_day)

    def evening_of(self, at: datetime) -> date:
        """Return the day to whose night this belongs, which goes from noon to noon by the sun."""
        solar = at.astimezone(UTC) + timedelta(hours=self.longitude_degrees / 15)
        return (solar - timedelta(hours=12)).date()

    def night_of(self, day: date) -> tuple[datetime, datetime] | None:
        """Return sunset and the sunrise after it (UTC); None: there is none on that day."""
        place = self.latitude_degrees, self.longitude_degrees
        down, up = sunset(day, *place), sunrise(day + timedelta(days=1), *place)
        return None if down is None or up is None else (down, up)

    def remember(self, dumped: Any = None) -> Memory:
        """Return what one sensor's nights have taught."""
        return _Site(self, dumped)


class _Site(Memory):
    """What the site's nights taught, and what tonight is known of."""

    __slots__ = (
        "_coldest",
        "_course",
        "_day",
        "_evening",
        "_forecast",
        "_heard",
        "_is_told",
        "_is_told_now",
        "_night",
        "_nights",
        "_now",
        "_sample",
        "_settings",
    )

    def __init__(self, settings: Frost, dumped: Any) -> None:
        self._settings = settings
        sample, nights, day, tonight = dumped or (None, [], None, None)
        self._sample = Sample(AIR, {HUMIDITY}, sample)
        self._nights = [SiteNights(hour) for hour in range(LATEST_HOUR + 1)]
        """By hours after sunset: one forecast for each."""
        for data in nights:
            site = SiteNights.load(data)
            self._nights[site.hour] = site
        self._day: date | None = None if day is None else date.fromisoformat(day)
        """Of the evening."""
        course, evening, heard, coldest, now, forecast, is_told, is_told_now = tonight or (
            ([], [], 0, None, None, None, False, False)
        )
        self._course = {int(hour): float(celsius) for hour, celsius in course}
        """The first temperature in each hour, counted from sunset."""
        self._evening = {int(hour): Evening(*known) for hour, *known in evening}
        """What was known when it was forecast, at each hour."""
        self._heard = int(heard)
        """The hours of the night in which it was heard, as bits."""
        self._coldest = None if coldest is None else float(coldest)
        self._now = None if now is None else float(now)
        """The last temperature."""
        self._forecast = None if forecast is None else (float(forecast[0]), float(forecast[1]))
        """The minimum, and the probability."""
        self._is_told, self._is_told_now = bool(is_told), bool(is_told_now)
        """Whether it was told tonight that frost is probable, and that it is there."""
        self._night: tuple[datetime, datetime] | None = None
        """Sunset and sunrise, reckoned once a day."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take it in, forecast if an hour is over, and say if it is that cold."""
        at = reading.at
        self._turn(at)
        if reading.quantity is AIR:
            coldest, hottest = AIR_CELSIUS
            if not coldest <= reading.value <= hottest:
                return Verdict.UNDECIDED
            self._breathe(at, reading.value)
        sample = self._sample.take(reading)
        if sample is not None:
            self._look_ahead(at, sample[AIR], sample[HUMIDITY])
        return self._verdict(at, is_new=reading.quantity is AIR)

    def _turn(self, at: datetime) -> None:
        """At noon: learn from the night that is over, and begin another one."""
        day = self._settings.evening_of(at)
        if day != self._day:
            self._learn()
            self._day, self._heard, self._course, self._evening = day, 0, {}, {}
            self._coldest = self._forecast = self._night = None
            self._is_told = self._is_told_now = False
        if self._night is None:
            self._night = self._settings.night_of(day)

    def _learn(self) -> None:
        night = None if self._day is None else self._settings.night_of(self._day)
        if night is None or self._coldest is None:
            return
        if self._heard.bit_count() < HEARD * ((night[1] - night[0]) // HOUR):
            return
        for hour, evening in self._evening.items():
            if evening.celsius <= MILD_CELSIUS:
                self._nights[hour] = self._nights[hour].with_night(evening, self._coldest)

    def _breathe(self, at: datetime, celsius: float) -> None:
        self._now = celsius
        if self._night is None:
            return
        hour = (at - self._night[0]) // HOUR
        if 0 <= hour <= LATEST_HOUR:
            self._course.setdefault(hour, celsius)
        if self._night[0] <= at < self._night[1]:
            self._heard |= 1 << hour
            self._coldest = celsius if self._coldest is None else min(celsius, self._coldest)

    def _look_ahead(self, at: datetime, celsius: float, humidity_percent: float) -> None:
        """Forecast at the first word of each hour."""
        if self._night is None or not self._night[0] <= at <= self._night[1] - LAST:
            return
        hour = (at - self._night[0]) // HOUR
        if hour > LATEST_HOUR or hour in self._evening:
            return
        before = self._course.get(hour - FALL_HOURS)
        fall = None if before is None else before - self._course.get(hour, celsius)
        length = (self._night[1] - self._night[0]) / HOUR
        try:
            dew_point = min(dew_point_celsius(celsius, humidity_percent), celsius)
            evening = Evening(celsius, dew_point, fall, length)
        except ValueError:
            return  # a broken hygrometer: 0 %, or 255
        self._evening[hour] = evening
        if celsius <= MILD_CELSIUS:
            forecast = self._nights[hour].forecast(evening)
            probability = forecast.probability_of_at_most(self._settings.limit_celsius)
            self._forecast = forecast.minimum_celsius, probability
        else:
            self._forecast = None

    def _verdict(self, at: datetime, *, is_new: bool) -> Verdict:
        settings, now = self._settings, self._now
        is_season = self._day is not None and is_within(
            self._day, settings.first_day, settings.last_day
        )
        if is_season and is_new and now is not None and now <= settings.limit_celsius:
            told, self._is_told, self._is_told_now = self._is_told_now, True, True
            return Verdict.BREACHED if told else Verdict.REPEATED
        if self._night is not None and self._night[0] <= at < self._night[1]:
            is_probable = self._forecast is not None and self._forecast[1] >= settings.probability
            if not is_season or not is_probable:
                return Verdict.UNDECIDED
            told, self._is_told = self._is_told, True
            return Verdict.BREACHED if told else Verdict.REPEATED
        is_warm = is_new and now is not None and now >= settings.limit_celsius + settings.margin
        return Verdict.CLEAR if is_warm else Verdict.UNDECIDED

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return the forecast, how cold it is and was, and from how many nights that is known."""
        found: dict[str, float] = {}
        if self._forecast is not None:
            minimum, probability = self._forecast
            # It cannot become warmer than it was, though the line may say so.
            lowest = minimum if self._coldest is None else min(minimum, self._coldest)
            found["forecast_minimum_celsius"] = round(lowest, 1)
            found["probability_percent"] = round(100 * probability)
        if self._now is not None:
            found["now_celsius"] = self._now
        if self._coldest is not None:
            found["coldest_celsius"] = self._coldest
        found["learned_nights"] = max(each.nights for each in self._nights)
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`: tonight was heard at wrong times."""
        self._sample.shift(by)
        self._day = self._night = None
        self._heard, self._course, self._evening = 0, {}, {}

    def dump(self) -> Any:
        """Return it as plain data."""
        known = [each.dump() for each in self._nights if each.nights]
        tonight = [
            [list(each) for each in self._course.items()],
            [[hour, *astuple(evening)] for hour, evening in self._evening.items()],
            self._heard,
            self._coldest,
            self._now,
            self._forecast,
            self._is_told,
            self._is_told_now,
        ]
        return [
            self._sample.dump(),
            known,
            None if self._day is None else self._day.isoformat(),
            tonight,
        ]
