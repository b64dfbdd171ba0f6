"""What the nights of one site teach about tonight's lowest temperature.

    Tmin = c + a·(T - 5 °C) + b·Td + l·(L - 12 h) + f·F

T and Td (dew point) are measured some hours after sunset, one fit for each of these hours; L is how
long the night is, F how far T fell in the last two hours, if they were all after sunset: before, a
bad shield and a wind from the lake decide it.

A site begins with POOLED, what other sites had in common, and departs from it as its own nights
show: the least squares of its nights together with POOLED, taken as normal with the standard
deviations of SPREAD (ridge regression, Bayes). So there is no night from which on it is suddenly
trusted. The probability rests on how far its mornings were from the fit, those of POOLED counting
as PRIOR_NIGHTS of its own, and is wider where an evening is unlike those it knows.

POOLED, SPREAD and PRIOR_NIGHTS were chosen on some 1,100 nights of five stations: New York (three
airports, 2013, together as one), Greensboro and Sand Point (typical years). docs/benchmarks.md says
what came of it at others. Wind made no difference there, nor did the warmth of the afternoon.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from rules.formulas.frost import FrostForecast
from rules.formulas.ranges import require, require_air

POOLED: Final[tuple[tuple[tuple[float, ...], float, float], ...]] = (
    ((2.663, 0.520, 0.322, -0.266, 0.0), 2.24, 0.0),
    ((2.740, 0.547, 0.285, -0.284, 0.0), 2.18, 0.0),
    ((3.352, 0.663, 0.214, -0.261, -0.539), 1.85, 0.90),
    ((3.406, 0.698, 0.198, -0.236, -0.488), 1.81, 0.73),
    ((3.321, 0.698, 0.204, -0.223, -0.169), 1.67, 0.58),
    ((3.591, 0.771, 0.145, -0.225, -0.357), 1.51, 0.53),
    ((3.664, 0.801, 0.124, -0.217, -0.194), 1.46, 0.51),
    ((3.731, 0.827, 0.102, -0.212, 0.006), 1.39, 0.49),
    ((3.908, 0.881, 0.065, -0.186, 0.051), 1.17, 0.51),
    ((4.073, 0.914, 0.043, -0.203, 0.140), 1.15, 0.42),
    ((4.009, 0.914, 0.044, -0.137, 0.344), 1.11, 0.33),
    ((3.977, 0.949, 0.008, -0.078, 0.260), 1.08, 0.36),
    ((3.837, 0.975, -0.020, -0.015, 0.414), 1.11, 0.20),
)
"""By whole hours after sunset: (c, a, b, l, f), the standard deviation of what is left over (°C),
and the usual fall (°C), for an evening of which it is not known."""

SPREAD: Final = (1.2, 0.15, 0.15, 0.2, 0.2)
"""How far sites differ from POOLED in c, a, b, l, f; standard deviations."""

PRIOR_NIGHTS: Final = 20

LATEST_HOUR: Final = len(POOLED) - 1
MILD_CELSIUS: Final = 15.0
"""An evening that is warmer says nothing about frost: none such is in POOLED."""

FALL_HOURS: Final = 2

_SIZE: Final = len(SPREAD)


@dataclass(frozen=True, slots=True)
class Evening:
    """What is known at one hour of the night."""

    celsius: float
    dew_point_celsius: float
    fall_celsius: float | None
    """Since FALL_HOURS before; None: not known. Less than FALL_HOURS after sunset it says nothing,
    and is not looked at."""
    night_hours: float
    """From sunset to sunrise."""

    def __post_init__(self) -> None:
        require_air("temperature", self.celsius)
        # Above the air's own temperature vapour would condense.
        require("dew point", self.dew_point_celsius, -100, self.celsius, "°C")
        if self.fall_celsius is not None:
            require("fall", self.fall_celsius, -60, 60, "°C")
        require("length of the night", self.night_hours, 0, 24, "h")


@dataclass(frozen=True, slots=True)
class SiteNights:
    """The nights so far, seen from one hour after sunset; each night makes a new one.

    All that the fit needs, however many nights: sums of products, the same size for ever.
    """

    hour: int
    nights: int = 0
    products: tuple[tuple[float, ...], ...] = field(default=((0.0,) * _SIZE,) * _SIZE)
    """Sums of each feature times each."""
    minima: tuple[float, ...] = (0.0,) * _SIZE
    """Sums of each feature times the night's minimum."""
    squares: float = 0.0
    """The sum of the minima squared."""

    def __post_init__(self) -> None:
        require("hours after sunset", self.hour, 0, LATEST_HOUR, "h")

    def with_night(self, evening: Evening, minimum_celsius: float) -> "SiteNights":
        """Return it with one more. Give it only nights of which nearly all was measured."""
        require_air("minimum", minimum_celsius)
        x = self._features(evening)
        return SiteNights(
            self.hour,
            self.nights + 1,
            tuple(
                tuple(old + p * q for old, q in zip(row, x, strict=True))
                for row, p in zip(self.products, x, strict=True)
            ),
            tuple(old + p * minimum_celsius for old, p in zip(self.minima, x, strict=True)),
            self.squares + minimum_celsius**2,
        )

    def forecast(self, evening: Evening) -> FrostForecast:
        """Return the night's minimum, and how far from it the morning may be."""
        pooled, sd, _ = POOLED[self.hour]
        weights = [(sd / spread) ** 2 for spread in SPREAD]
        matrix = [list(row) for row in self.products]
        right = list(self.minima)
        for n, weight in enumerate(weights):
            matrix[n][n] += weight
            right[n] += weight * pooled[n]
        fitted = _solved(matrix, right)
        x = self._features(evening)
        left_over = self.squares - _dot(fitted, right)
        left_over += sum(w * c * c for w, c in zip(weights, pooled, strict=True))
        # Rounding may leave less than nothing.
        variance = (PRIOR_NIGHTS * sd**2 + max(0.0, left_over)) / (PRIOR_NIGHTS + self.nights)
        unlike = _dot(x, _solved(matrix, x))
        return FrostForecast(_dot(fitted, x), math.sqrt(variance * (1 + unlike)))

    def _features(self, evening: Evening) -> tuple[float, ...]:
        fall = None if self.hour < FALL_HOURS else evening.fall_celsius
        return (
            1.0,
            evening.celsius - 5,
            evening.dew_point_celsius,
            evening.night_hours - 12,
            POOLED[self.hour][2] if fall is None else fall,
        )

    def dump(self) -> list[Any]:
        """Return it as plain data for JSON, exact."""
        rows = [list(row) for row in self.products]
        return [self.hour, self.nights, rows, list(self.minima), self.squares]

    @classmethod
    def load(cls, dumped: Sequence[Any]) -> Self:
        """Return what was dumped.

        Raises:
            ValueError, TypeError: It was not, or is damaged.
        """
        hour, nights, products, minima, squares = dumped
        found = cls(
            _whole("hour", hour),
            _whole("nights", nights),
            tuple(_numbers(row, _SIZE) for row in products),
            _numbers(minima, _SIZE),
            *_numbers([squares], 1),
        )
        if len(found.products) != _SIZE:
            raise ValueError(f"{len(found.products)} rows of sums, not {_SIZE}")
        found.forecast(Evening(0.0, 0.0, None, 12.0))
        return found


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return x of `matrix`·x = `right` (Gauss).

    Sums of squares with something added to the diagonal are positive definite, so that no pivot has
    to be looked for.
    """
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for n in range(size):
        if not rows[n][n] > 0:
            raise ValueError("these are no sums of products")
        for below in range(n + 1, size):
            share = rows[below][n] / rows[n][n]
            for column in range(n, size + 1):
                rows[below][column] -= share * rows[n][column]
    found = [0.0] * size
    for n in reversed(range(size)):
        rest = sum(rows[n][m] * found[m] for m in range(n + 1, size))
        found[n] = (rows[n][size] - rest) / rows[n][n]
    return found


def _dot(some: Sequence[float], others: Sequence[float]) -> float:
    return sum(p * q for p, q in zip(some, others, strict=True))


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is {value!r}, not a number of them")
    return value


def _numbers(values: Sequence[Any], count: int) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != count or not all(math.isfinite(value) for value in found):
        raise ValueError(f"{values!r} is not {count} numbers")
    return found
