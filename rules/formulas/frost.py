"""Frost: tonight's lowest temperature from the evening's temperature and dew point.

    Tmin = a·T + b·Td + c                    T, Td measured some hours after sunset, °C
    P(Tmin <= 0 °C) = Φ((0 - Tmin) / sd)     sd: how far the mornings were from the forecast
    T_i = T2 + (Tmin - T2) / sqrt(n - 2) · sqrt(i - 2)
                                             i hours after sunset, in a night of n hours

Snyder and de Melo-Abreu, Frost protection: fundamentals, practice and economics, FAO 2005, volume 1
chapter 5 (fao.org/3/y7223e/y7223e0b.htm). Its method is meant for calm, clear nights, and for
measurements of two hours after sunset. It fits in two stages: the minimum on T alone, then what is
left over on Td. That is not the least squares of both at once.

What a site's own nights teach, and how it begins without any, is in rules/frost_site.py.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from rules.formulas.ranges import require, require_air


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

    def rmse_celsius(self) -> float:
        """Return the fit's root mean square error over its own nights, as FAO's book gives it."""
        return self.fit().residual_sd_celsius * math.sqrt((self.nights - 3) / self.nights)


def _require_dew_point(dew_point_celsius: float, temperature_celsius: float) -> None:
    # Dry winter air: 1 % humidity at -20 °C is a dew point of -60 °C. Above the air's own
    # temperature vapour would condense.
    require("dew point", dew_point_celsius, -100, temperature_celsius, "°C")
