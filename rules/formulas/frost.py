"""Frost: tonight's lowest temperature from the evening's temperature and dew point.

    Tmin = a·T + b·Td + c                    T, Td measured some hours after sunset, °C
    P(Tmin <= 0 °C) = Φ((0 - Tmin) / sd)     sd: how far the mornings were from the forecast
    T_i = T2 + (Tmin - T2) / sqrt(n - 2) · sqrt(i - 2)
                                             i hours after sunset, in a night of n hours

Snyder and de Melo-Abreu, Frost protection: fundamentals, practice and economics, FAO 2005, volume 1
chapter 5 (fao.org/3/y7223e/y7223e0b.htm). Its method is meant for calm, clear nights, and for
measurements of two hours after sunset. It fits in two stages: the minimum on T alone, then what is
left over on Td. That is not the least squares of both at once.

A site begins without nights of its own, so with POOLED: fitted to about 1,100 nights of six
stations in which it was 15 °C or less when the forecast was made (8 and 10 hours after sunset: to
1,900 nights of four of them, with the residuals taken a fifth wider). What the site is colder or
warmer than them is learned each night as the mean error; after 40 nights the site's own fit, the
least squares of both, is better.
Mean error of the morning's minimum in nights that the fit had not seen: 1.6 °C at dry sites and 1.8
at humid ones two hours after sunset, 1.1 at both six hours after. Humid sites are harder: with an
alarm from a probability of 0.3 on, renewed each hour until six hours after sunset, 91 % of frosts
were announced, half of them 5 hours ahead or more, and 42 % of the alarms were for nothing. Renewed
until two hours before sunrise, 0.5 misses as few, a little later, and is wrong less often (docs/
benchmarks.md).
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import NormalDist
from typing import Self

from rules.formulas.ranges import require, require_air

OWN_FIT_AFTER_NIGHTS = 40
ALARM_FROM_PROBABILITY = 0.5


@dataclass(frozen=True, slots=True)
class FrostForecast:
    """The minimum to expect, and how far from it the morning may be."""

    minimum_celsius: float
    residual_sd_celsius: float

    def probability_of_at_most(self, celsius: float = 0.0) -> float:
        """Return how probable it is that the night gets that cold, the errors being normal."""
        if self.residual_sd_celsius == 0:
            return 1.0 if self.minimum_celsius <= celsius else 0.0
        return NormalDist(self.minimum_celsius, self.residual_sd_celsius).cdf(celsius)


@dataclass(frozen=True, slots=True)
class FrostCoefficients:
    """Tmin = a·T + b·Td + c."""

    a: float
    b: float
    c_celsius: float
    residual_sd_celsius: float

    def forecast(self, temperature_celsius: float, dew_point_celsius: float) -> FrostForecast:
        require_air("temperature", temperature_celsius)
        _require_dew_point(dew_point_celsius, temperature_celsius)
        return FrostForecast(
            self.minimum_celsius(temperature_celsius, dew_point_celsius),
            self.residual_sd_celsius,
        )

    def minimum_celsius(self, temperature_celsius: float, dew_point_celsius: float) -> float:
        return self.a * temperature_celsius + self.b * dew_point_celsius + self.c_celsius


POOLED: Mapping[float, FrostCoefficients] = {
    0.0: FrostCoefficients(0.520, 0.356, -2.114, 3.0),
    2.0: FrostCoefficients(0.661, 0.284, -2.134, 2.5),
    4.0: FrostCoefficients(0.757, 0.213, -1.914, 1.98),
    6.0: FrostCoefficients(0.814, 0.159, -1.626, 1.84),
    8.0: FrostCoefficients(0.925, 0.107, -0.850, 1.35),
    10.0: FrostCoefficients(0.941, 0.078, -0.468, 1.19),
}
"""By hours after sunset; for nights of 15 °C or less at that time."""

LATEST_HOURS = max(POOLED)


def pooled_coefficients(hours_after_sunset: float) -> FrostCoefficients:
    """Return the coefficients for a site without a history, linear between those of POOLED."""
    require("hours after sunset", hours_after_sunset, 0, LATEST_HOURS, "h")
    hours = sorted(POOLED)
    after = min(bisect_right(hours, hours_after_sunset), len(hours) - 1)
    low, high = hours[after - 1], hours[after]
    share = (hours_after_sunset - low) / (high - low)
    early, late = POOLED[low], POOLED[high]
    return FrostCoefficients(
        _between(early.a, late.a, share),
        _between(early.b, late.b, share),
        _between(early.c_celsius, late.c_celsius, share),
        _between(early.residual_sd_celsius, late.residual_sd_celsius, share),
    )


def night_temperature_celsius(
    temperature_two_hours_after_sunset_celsius: float,
    minimum_celsius: float,
    night_hours: float,
    hours_after_sunset: float,
) -> float:
    """Return what to expect during the night, between two hours after sunset and sunrise."""
    require_air("temperature two hours after sunset", temperature_two_hours_after_sunset_celsius)
    require_air("minimum", minimum_celsius)
    require("length of the night", night_hours, 2.1, 24, "h")
    require("hours after sunset", hours_after_sunset, 2, night_hours, "h")
    fall = minimum_celsius - temperature_two_hours_after_sunset_celsius
    share = math.sqrt((hours_after_sunset - 2) / (night_hours - 2))
    return temperature_two_hours_after_sunset_celsius + fall * share


@dataclass(frozen=True, slots=True)
class NightSums:
    """All that the fit needs of the nights so far, however many: means, and sums about the means.

    Sums about the means, not of squares: the squares would be large and their difference small.
    """

    nights: int = 0
    temperature_mean: float = 0.0
    dew_point_mean: float = 0.0
    minimum_mean: float = 0.0
    temperature_temperature: float = 0.0
    temperature_dew_point: float = 0.0
    temperature_minimum: float = 0.0
    dew_point_dew_point: float = 0.0
    dew_point_minimum: float = 0.0
    minimum_minimum: float = 0.0

    def with_night(self, temperature: float, dew_point: float, minimum: float) -> "NightSums":
        """Return the sums with one night more, all in °C."""
        nights = self.nights + 1
        t = temperature - self.temperature_mean
        d = dew_point - self.dew_point_mean
        m = minimum - self.minimum_mean
        weight = self.nights / nights
        return NightSums(
            nights,
            self.temperature_mean + t / nights,
            self.dew_point_mean + d / nights,
            self.minimum_mean + m / nights,
            self.temperature_temperature + weight * t * t,
            self.temperature_dew_point + weight * t * d,
            self.temperature_minimum + weight * t * m,
            self.dew_point_dew_point + weight * d * d,
            self.dew_point_minimum + weight * d * m,
            self.minimum_minimum + weight * m * m,
        )

    def fit(self) -> FrostCoefficients:
        """Return FAO's two-stage fit; its residual_sd is for forecasts: three values were fitted.

        Raises:
            ValueError: There are fewer than four nights, or all were equally warm.
        """
        require("number of nights", self.nights, 4, math.inf)
        if self.temperature_temperature == 0:
            raise ValueError("all nights had the same temperature: nothing to fit a line to")
        a = self.temperature_minimum / self.temperature_temperature
        left_over = self.dew_point_minimum - a * self.temperature_dew_point
        b = left_over / self.dew_point_dew_point if self.dew_point_dew_point else 0.0
        c = self.minimum_mean - a * self.temperature_mean - b * self.dew_point_mean
        squares = self.minimum_minimum - a * self.temperature_minimum - b * left_over
        squares = max(0.0, squares)  # rounding may leave less than nothing of a perfect fit
        return FrostCoefficients(a, b, c, math.sqrt(squares / (self.nights - 3)))

    def least_squares(self) -> FrostCoefficients:
        """Return the least squares of both at once; where they go together, the two-stage fit.

        Raises:
            ValueError: as `fit` does.
        """
        two_stage = self.fit()
        tt, dd = self.temperature_temperature, self.dew_point_dew_point
        td = self.temperature_dew_point
        determinant = tt * dd - td * td
        # Air that is always saturated says the same twice.
        if determinant <= 1e-6 * tt * dd:
            return two_stage
        a = (self.temperature_minimum * dd - self.dew_point_minimum * td) / determinant
        b = (self.dew_point_minimum * tt - self.temperature_minimum * td) / determinant
        c = self.minimum_mean - a * self.temperature_mean - b * self.dew_point_mean
        squares = self.minimum_minimum - a * self.temperature_minimum - b * self.dew_point_minimum
        return FrostCoefficients(a, b, c, math.sqrt(max(0.0, squares) / (self.nights - 3)))

    def rmse_celsius(self) -> float:
        """Return the fit's root mean square error over its own nights, as FAO's book gives it."""
        return self.fit().residual_sd_celsius * math.sqrt((self.nights - 3) / self.nights)


@dataclass(frozen=True, slots=True)
class FrostCalibration:
    """What one site has learned, for forecasts at one time of the evening; each night a new one."""

    hours_after_sunset: float = 2.0
    sums: NightSums = field(default_factory=NightSums)

    def __post_init__(self) -> None:
        require("hours after sunset", self.hours_after_sunset, 0, LATEST_HOURS, "h")

    def with_night(
        self, temperature_celsius: float, dew_point_celsius: float, minimum_celsius: float
    ) -> "FrostCalibration":
        """Return the calibration after a night: what was measured in the evening, what it became.

        Give it only nights of which all of the night was measured.
        """
        require_air("temperature", temperature_celsius)
        _require_dew_point(dew_point_celsius, temperature_celsius)
        require_air("minimum", minimum_celsius)
        sums = self.sums.with_night(temperature_celsius, dew_point_celsius, minimum_celsius)
        return replace(self, sums=sums)

    @property
    def is_own_fit(self) -> bool:
        """Whether the site has nights enough to do without the pooled coefficients."""
        return self.sums.nights >= OWN_FIT_AFTER_NIGHTS and self.sums.temperature_temperature > 0

    @property
    def site_offset_celsius(self) -> float:
        """How much warmer than the pooled forecast the site's mornings were on average."""
        if self.sums.nights == 0:
            return 0.0
        pooled = pooled_coefficients(self.hours_after_sunset)
        means = self.sums.temperature_mean, self.sums.dew_point_mean
        return self.sums.minimum_mean - pooled.minimum_celsius(*means)

    def coefficients(self) -> FrostCoefficients:
        if self.is_own_fit:
            return self.sums.least_squares()
        pooled = pooled_coefficients(self.hours_after_sunset)
        return replace(pooled, c_celsius=pooled.c_celsius + self.site_offset_celsius)

    def forecast(self, temperature_celsius: float, dew_point_celsius: float) -> FrostForecast:
        return self.coefficients().forecast(temperature_celsius, dew_point_celsius)

    def dump(self) -> dict[str, float]:
        """Return it as plain JSON data, exact: `load` continues as if nothing had happened."""
        return {"hours_after_sunset": self.hours_after_sunset, **asdict(self.sums)}

    @classmethod
    def load(cls, data: Mapping[str, object]) -> Self:
        """Return what was dumped.

        Raises:
            ValueError: It was not, or is damaged.
        """
        names = [each.name for each in fields(NightSums)]
        if set(data) != {"hours_after_sunset", *names}:
            raise ValueError(
                f"not a frost calibration: it has {', '.join(sorted(data)) or 'nothing'}"
            )
        nights = data["nights"]
        if not isinstance(nights, int) or isinstance(nights, bool) or nights < 0:
            raise ValueError(f"nights is {nights!r}, not a number of nights")
        others = [_number(name, data[name]) for name in names if name != "nights"]
        sums = NightSums(nights, *others)
        squares = sums.temperature_temperature, sums.dew_point_dew_point, sums.minimum_minimum
        if min(squares) < 0:
            raise ValueError("a sum of squares is below 0")
        return cls(_number("hours_after_sunset", data["hours_after_sunset"]), sums)


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _require_dew_point(dew_point_celsius: float, temperature_celsius: float) -> None:
    # Dry winter air: 1 % humidity at -20 °C is a dew point of -60 °C. Above the air's own
    # temperature vapour would condense.
    require("dew point", dew_point_celsius, -100, temperature_celsius, "°C")
