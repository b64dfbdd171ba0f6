"""Paddy rice: accumulated temperature, heat at ripening, depth of water against cold, drying-out.

- Ripe (積算温度, the sum of daily mean temperatures from the day after heading): ひとめぼれ 900 to
  1,000 °C·d (山口県農業試験場 1999), コシヒカリ 1,050, あきたこまち 950 (Nagano). Other places and
  cultivars differ by a week: look at the ears before cutting.
- Heat at ripening (高温登熟): white, immature grains are to be expected from a mean of 26 or 27 °C
  over the 20 days after heading; the sources differ by that degree, and cultivars by more.
- Cold (障害型冷害), i-agri.net of Iwate: 4 to 6 cm of water from panicle formation (幼穂形成期) on,
  10 cm when meiosis (減数分裂期) is reached, 15 cm and more if 17 °C or less is forecast. Saga: 10
  to 15 cm, so that the minimum does not get to 18 °C. reigai.affrc.go.jp: 10 cm already from
  panicle formation on, if cold is forecast. Meiosis is 16 to 7 days before heading.
- Drying-out (中干し): from about 80 % of the wanted stems (20 a hill) on, for 7 to 14 days, until
  the ground has fine cracks; then three days of water and two without (3湛2落).

What is forecast is the minimum of the air; the water is warmer, which is the reason for the depth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum, auto
from statistics import fmean

from rules.formulas.ranges import AIR_CELSIUS, require, require_air, require_each

RIPE_AT_DEGREE_DAYS: Mapping[str, tuple[float, float]] = {
    "ひとめぼれ": (900, 1000),
    "コシヒカリ": (1050, 1050),
    "あきたこまち": (950, 950),
}
"""From, to: accumulated daily mean temperature after heading, base 0 °C."""

RIPENING_DAYS = 20
MEIOSIS_DAYS_BEFORE_HEADING = (16, 7)
"""From, to; both included."""

COLD_MINIMUM_CELSIUS = 18.0
DANGEROUS_MINIMUM_CELSIUS = 17.0

DRYING_OUT_FROM_SHARE_OF_STEMS = 0.8
WANTED_STEMS_PER_HILL = 20
DRYING_OUT_LEAST_DAYS = 7
DRYING_OUT_MOST_DAYS = 14
FLOODED_DAYS_AFTERWARDS = 3
DRAINED_DAYS_AFTERWARDS = 2


class RipeningHeat(IntEnum):
    """The mean of the 20 days after heading; a higher one is worse for the grain."""

    NORMAL = 0
    FROM_26_CELSIUS = 1
    FROM_27_CELSIUS = 2


class Stage(StrEnum):
    """The stages in which cold makes empty grains."""

    PANICLE_FORMATION = auto()
    """幼穂形成期 until meiosis."""
    MEIOSIS = auto()
    """減数分裂期"""


@dataclass(frozen=True, slots=True)
class WaterDepth:
    """How deep the water should stand."""

    least_cm: float
    most_cm: float = math.inf


class DryingOut(IntEnum):
    """How far the drying-out is."""

    UNDER_WAY = 0
    """Too early to flood again."""
    MAY_END = 1
    OVERDUE = 2
    """Longer than the advice goes."""


def accumulated_temperature_degree_days(
    daily_mean_celsius: Sequence[float], base_celsius: float = 0.0
) -> float:
    """Return the sum of what each day's mean is above the base; colder days count nothing."""
    require_each("daily mean", daily_mean_celsius, *AIR_CELSIUS, "°C")
    require_air("base temperature", base_celsius)
    return math.fsum(max(0.0, mean - base_celsius) for mean in daily_mean_celsius)


def ripening_mean_celsius(daily_mean_celsius_after_heading: Sequence[float]) -> float:
    """Return the mean of the first 20 days after heading; on earlier days, of those so far."""
    require("days after heading", len(daily_mean_celsius_after_heading), 1, math.inf)
    days = daily_mean_celsius_after_heading[:RIPENING_DAYS]
    require_each("daily mean", days, *AIR_CELSIUS, "°C")
    return fmean(days)


def ripening_heat(mean_celsius: float) -> RipeningHeat:
    require_air("mean after heading", mean_celsius)
    return RipeningHeat(sum(mean_celsius >= limit for limit in (26, 27)))


def is_meiosis(days_before_heading: int) -> bool:
    first, last = MEIOSIS_DAYS_BEFORE_HEADING
    return last <= days_before_heading <= first


def water_depth(stage: Stage, forecast_minimum_celsius: float) -> WaterDepth:
    require_air("forecast minimum", forecast_minimum_celsius)
    if stage is Stage.PANICLE_FORMATION:
        cold = forecast_minimum_celsius <= COLD_MINIMUM_CELSIUS
        return WaterDepth(10, 10) if cold else WaterDepth(4, 6)
    if forecast_minimum_celsius <= DANGEROUS_MINIMUM_CELSIUS:
        return WaterDepth(15)
    return WaterDepth(10, 15)


def drying_out_day(began: date, day: date) -> int:
    """Return which day of the drying-out it is; the first without water is 1."""
    number = (day - began).days + 1
    require("day of the drying-out", number, 1, math.inf)
    return number


def drying_out(began: date, day: date) -> DryingOut:
    """Say by the days alone whether to go on; the cracks in the ground have the last word."""
    number = drying_out_day(began, day)
    if number <= DRYING_OUT_LEAST_DAYS:
        return DryingOut.UNDER_WAY
    return DryingOut.MAY_END if number <= DRYING_OUT_MOST_DAYS else DryingOut.OVERDUE


def is_flooded_day(days_since_drying_out: int) -> bool:
    """Say whether 3湛2落 has water on this day; the first day of water is 0."""
    require("days since the drying-out", days_since_drying_out, 0, math.inf)
    cycle = FLOODED_DAYS_AFTERWARDS + DRAINED_DAYS_AFTERWARDS
    return days_since_drying_out % cycle < FLOODED_DAYS_AFTERWARDS
