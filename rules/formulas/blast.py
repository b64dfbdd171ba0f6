"""Leaf blast of rice (葉いもち): whether last night's weather let it infect the leaves (BLASTAM).

From the 24 hours from 16:00 of the day before (D-1) to 15:00 of the day (D), a value each hour, it
estimates how long leaves were wet, and compares that with what the fungus needs:

    °C     15 16 17 18 19 20 21 22 23 24 25      mean while wet, to the nearest degree
    hours  17 15 14 13 12 11 11 10 10 10 10

| code | wet hours    | mean while wet | mean of 5 days to D |
|------|--------------|----------------|---------------------|
| ●    | enough       | 15 to 25 °C    | 20 to 25 °C         |
| 1    | 10 or more   | any            | below 20 °C         |
| 2    | 10 or more   | any            | above 25 °C         |
| 3    | 10 or more   | out of 15-25   | 20 to 25 °C         |
| 4    | 10, but short| 15 to 25 °C    | 20 to 25 °C         |
| -    | less than 10 | any            | any                 |

1 to 4 are "nearly favourable" (準好適条件); they name what was missing and are no order.

Leaves are wet
- at night: from one hour before rain that is recorded in 16-06 h, until 07 h; but it ends when the
  sun has shone for more than 0.2 h since, at an hour with wind of 4 m/s or more, at the third hour
  running with 3 m/s or more (16-04 h), at any hour with that (04-07 h; there, 3 m/s in an hour of
  rain counts as 2). Rain may then begin it anew;
- by day (06-16 h): within three hours of an hour with rain, each hour with sun of 0.1 h or less and
  wind below 3 m/s.
Not counted: what is within nine hours of rain of 4 mm in an hour, or of 3 mm in each of two hours
running, for it washes the spores off. Of several wet periods the longest is judged.

Koshimizu (1988), as the plant protection offices of Mie, Miyazaki, Oita and Wakayama explain it;
the paper itself was not read. Two refinements that are told of it are left out: 0.1 h of sun in an
hour with rain counting as none, and the joining of day periods that are one hour apart.

It is made for weather stations and a whole district: a field in the shade or in a valley is wetter.
Lesions show 7 to 10 days after an infection. As it gets warmer, favourable days come earlier in the
year (Fukushima, 北日本病害虫研究会報 76, 41-46, 2025).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from rules.formulas.ranges import AIR_CELSIUS, require, require_air, require_each

HOURS = 24
FIRST_HOUR = 16
"""The hour of the day that stands first; the others follow, over midnight."""

NEEDED_HOURS = (17, 15, 14, 13, 12, 11, 11, 10, 10, 10, 10)
"""By mean temperature while wet, from 15 °C on."""
COLDEST_CELSIUS, WARMEST_CELSIUS = 15.0, 25.0
LEAST_HOURS = 10
COLDEST_FIVE_DAYS_CELSIUS, WARMEST_FIVE_DAYS_CELSIUS = 20.0, 25.0

SUNSHINE_FROM_W_PER_M2 = 120.0
"""Direct sun counts as sunshine from here on (WMO); general knowledge, not verified here."""


class BlastCode(StrEnum):
    """What the offices print; see above."""

    FAVOURABLE = "●"
    FIVE_DAYS_TOO_COLD = "1"
    FIVE_DAYS_TOO_WARM = "2"
    WRONG_TEMPERATURE_WHILE_WET = "3"
    NOT_LONG_ENOUGH = "4"
    NOT_FAVOURABLE = "-"


@dataclass(frozen=True, slots=True)
class HourlyWeather:
    """A value for each hour from 16:00 of the day before to 15:00."""

    temperature_celsius: Sequence[float]
    wind_m_per_s: Sequence[float]
    rain_mm: Sequence[float]
    sunshine_hours: Sequence[float]
    """The part of the hour in which the sun shone, 0 to 1."""

    def __post_init__(self) -> None:
        for name, values, low, high, unit in (
            ("temperature", self.temperature_celsius, *AIR_CELSIUS, "°C"),
            ("wind", self.wind_m_per_s, 0, 100, "m/s"),
            ("rain", self.rain_mm, 0, 500, "mm"),
            ("sunshine", self.sunshine_hours, 0, 1, "h"),
        ):
            if len(values) != HOURS:
                raise ValueError(f"{name} has {len(values)} hours instead of {HOURS}")
            require_each(name, values, low, high, unit)


@dataclass(frozen=True, slots=True)
class WetPeriod:
    """Hours running in which leaves were wet."""

    hours: int
    mean_celsius: float


def judge(weather: HourlyWeather, five_day_mean_celsius: float) -> BlastCode:
    """Return the code of the day; the five days of the mean end with the day itself."""
    wet = longest_wet_period(weather)
    if wet is None:
        require_air("mean of five days", five_day_mean_celsius)
        return BlastCode.NOT_FAVOURABLE
    return blast_code(wet, five_day_mean_celsius)


def blast_code(wet: WetPeriod, five_day_mean_celsius: float) -> BlastCode:
    require_air("mean of five days", five_day_mean_celsius)
    if wet.hours < LEAST_HOURS:
        return BlastCode.NOT_FAVOURABLE
    if five_day_mean_celsius < COLDEST_FIVE_DAYS_CELSIUS:
        return BlastCode.FIVE_DAYS_TOO_COLD
    if five_day_mean_celsius > WARMEST_FIVE_DAYS_CELSIUS:
        return BlastCode.FIVE_DAYS_TOO_WARM
    if not COLDEST_CELSIUS <= wet.mean_celsius <= WARMEST_CELSIUS:
        return BlastCode.WRONG_TEMPERATURE_WHILE_WET
    if wet.hours < needed_hours(wet.mean_celsius):
        return BlastCode.NOT_LONG_ENOUGH
    return BlastCode.FAVOURABLE


def needed_hours(mean_celsius: float) -> int:
    """Return how long leaves must be wet at this mean for an infection."""
    require("mean while wet", mean_celsius, COLDEST_CELSIUS, WARMEST_CELSIUS, "°C")
    return NEEDED_HOURS[math.floor(mean_celsius + 0.5) - int(COLDEST_CELSIUS)]


def longest_wet_period(weather: HourlyWeather) -> WetPeriod | None:
    """Return the longest run of wet hours, the first of equals; None: leaves stayed dry."""
    return longest_run(wet_hours(weather), weather.temperature_celsius)


def longest_run(wet: Sequence[bool], temperature_celsius: Sequence[float]) -> WetPeriod | None:
    """Return the longest run of wet hours, however that was found; None: there is none."""
    runs: list[list[float]] = [[]]
    for is_wet, celsius in zip(wet, temperature_celsius, strict=True):
        if is_wet:
            runs[-1].append(celsius)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return WetPeriod(len(longest), fmean(longest)) if longest else None


def wet_hours(weather: HourlyWeather) -> tuple[bool, ...]:
    """Say for each of the 24 hours whether leaves were wet and no heavy rain washed them."""
    wet = [
        (night or day) and not washed
        for night, day, washed in zip(
            _wet_at_night(weather), _wet_by_day(weather), washed_hours(weather.rain_mm), strict=True
        )
    ]
    return tuple(wet)


def sunshine_hours(irradiances_w_per_m2: Sequence[float]) -> float:
    """Return an hour's sunshine from its evenly spaced measurements of the sun's radiation."""
    require("number of measurements", len(irradiances_w_per_m2), 1, math.inf)
    require_each("irradiance", irradiances_w_per_m2, 0, 1600, "W/m2")
    sunny = sum(value >= SUNSHINE_FROM_W_PER_M2 for value in irradiances_w_per_m2)
    return sunny / len(irradiances_w_per_m2)


def _place(hour_of_day: int) -> int:
    """Return where the hour stands in the 24 values."""
    return (hour_of_day - FIRST_HOUR) % HOURS


def _wet_at_night(weather: HourlyWeather) -> list[bool]:
    last_rain, end = _place(6), _place(7)
    wet = [False] * HOURS
    begun: int | None = None
    for place in range(end + 1):
        rain_now_or_next = any(rain > 0 for rain in weather.rain_mm[place : last_rain + 1][:2])
        if begun is None and rain_now_or_next:
            begun = place
        if begun is not None:
            # fsum: twenty times 0.01 h must be 0.2 and not more.
            sunshine = math.fsum(weather.sunshine_hours[begun : place + 1])
            if sunshine > 0.2 or _wind_dries(weather, place):
                begun = None
        wet[place] = begun is not None
    return wet


def _wind_dries(weather: HourlyWeather, place: int) -> bool:
    """Say whether the wind of this hour of the night ends the wetness."""
    wind = weather.wind_m_per_s
    if wind[place] >= 4:
        return True
    if place >= _place(4) and wind[place] >= 3:
        # Below 4 m/s, so these are the 3 m/s that count as 2 while it rains.
        return weather.rain_mm[place] == 0
    return place >= 2 and min(wind[place - 2 : place + 1]) >= 3


def _wet_by_day(weather: HourlyWeather) -> list[bool]:
    day = range(_place(6), HOURS)
    rainy = [place for place in day if weather.rain_mm[place] > 0]
    return [
        place in day
        and weather.sunshine_hours[place] <= 0.1
        and weather.wind_m_per_s[place] < 3
        and any(abs(place - rain) <= 3 for rain in rainy)
        for place in range(HOURS)
    ]


def washed_hours(rain_mm: Sequence[float]) -> list[bool]:
    """Say for each hour whether heavy rain within nine hours makes its wetness worthless."""
    heavy = [place for place in range(HOURS) if _is_heavy(rain_mm, place)]
    return [any(abs(place - rain) <= 9 for rain in heavy) for place in range(HOURS)]


def _is_heavy(rain_mm: Sequence[float], place: int) -> bool:
    beside = rain_mm[max(0, place - 1) : place + 2]
    two_running = rain_mm[place] >= 3 and sum(rain >= 3 for rain in beside) >= 2
    return rain_mm[place] >= 4 or two_running
