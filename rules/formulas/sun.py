"""Sunrise and sunset, to a minute: NOAA's solar calculator.

The sun's place is Meeus, Astronomical Algorithms (1998), chapters 25 (low accuracy) and 28; the
rising and setting are NOAA's: the upper edge on a flat horizon at sea level, 0.833° below it for
the sun's radius and the usual refraction.

- NOAA states 1 minute up to 72° of latitude and 10 minutes beyond, for 1901 to 2099.
- It is within 8 s of PyEphem (VSOP87) up to 60° of latitude, 2025 to 2027.
- Mountains are not in it: in a valley the sun comes later and goes earlier.
- Refraction changes with the weather, by a minute or two.
- Within a day of the polar night or day, whether the sun rises at all is decided only to 0.1°.

Universal time is taken for terrestrial time: the minute between them moves the sun by nothing.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from rules.formulas.ranges import require

ALTITUDE_AT_SUNRISE_DEGREES = -0.833
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_DAYS_PER_CENTURY = 36_525
_ROUNDS = 4
"""The sun moves on while it rises: each round takes its place at the moment that the last found."""


@dataclass(frozen=True, slots=True)
class SunPlace:
    """Where the sun is among the stars, as far as rising and setting need it."""

    declination_degrees: float
    equation_of_time_minutes: float
    """What a sundial is ahead of a clock."""


def sunrise(day: date, latitude_degrees: float, longitude_degrees: float) -> datetime | None:
    """Return when the sun rises before the noon of `day` there, in UTC; None: it does not.

    `day` is the date at the place, by its own mean solar time. North and east are positive.
    In Japan the sunrise of a day is thus on the evening before by UTC.
    """
    return _crossing(day, latitude_degrees, longitude_degrees, side=-1)


def sunset(day: date, latitude_degrees: float, longitude_degrees: float) -> datetime | None:
    """Return when the sun sets after the noon of `day` there, in UTC; None: it does not."""
    return _crossing(day, latitude_degrees, longitude_degrees, side=1)


def sun_place(at: datetime) -> SunPlace:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    require("year", at.year, 1900, 2100)
    t = (at - _J2000) / timedelta(days=_DAYS_PER_CENTURY)
    mean_longitude = math.radians(280.46646 + t * (36_000.76983 + 0.0003032 * t))
    mean_anomaly = math.radians(357.52911 + t * (35_999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    moon_node = math.radians(125.04 - 1934.136 * t)
    apparent_longitude = mean_longitude + math.radians(
        (1.914602 - t * (0.004817 + 0.000014 * t)) * math.sin(mean_anomaly)
        + (0.019993 - 0.000101 * t) * math.sin(2 * mean_anomaly)
        + 0.000289 * math.sin(3 * mean_anomaly)
        - 0.00569
        - 0.00478 * math.sin(moon_node)
    )
    obliquity_seconds = 21.448 - t * (46.815 + t * (0.00059 - 0.001813 * t))
    obliquity = math.radians(
        23 + (26 + obliquity_seconds / 60) / 60 + 0.00256 * math.cos(moon_node)
    )
    y = math.tan(obliquity / 2) ** 2
    equation_of_time = (
        y * math.sin(2 * mean_longitude)
        - 2 * eccentricity * math.sin(mean_anomaly)
        + 4 * eccentricity * y * math.sin(mean_anomaly) * math.cos(2 * mean_longitude)
        - y**2 / 2 * math.sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * math.sin(2 * mean_anomaly)
    )
    return SunPlace(
        math.degrees(math.asin(math.sin(obliquity) * math.sin(apparent_longitude))),
        4 * math.degrees(equation_of_time),
    )


def _crossing(
    day: date, latitude_degrees: float, longitude_degrees: float, side: int
) -> datetime | None:
    """Return when the sun crosses the horizon before (-1) or after (1) the noon of `day`."""
    require("year", day.year, 1901, 2099)
    require("latitude", latitude_degrees, -90, 90, "°")
    require("longitude", longitude_degrees, -180, 180, "°")
    mean_noon = datetime.combine(day, time(12), UTC) - timedelta(minutes=4 * longitude_degrees)
    at = mean_noon
    for _ in range(_ROUNDS):
        place = sun_place(at)
        hour_angle = _hour_angle_degrees(latitude_degrees, place.declination_degrees)
        if hour_angle is None:
            return None
        at = mean_noon + timedelta(minutes=side * 4 * hour_angle - place.equation_of_time_minutes)
    return at


def _hour_angle_degrees(latitude_degrees: float, declination_degrees: float) -> float | None:
    """Return how far from noon the sun is on the horizon; None: it stays above or below it."""
    latitude, declination = math.radians(latitude_degrees), math.radians(declination_degrees)
    cosine = (
        math.sin(math.radians(ALTITUDE_AT_SUNRISE_DEGREES))
        - math.sin(latitude) * math.sin(declination)
    ) / (math.cos(latitude) * math.cos(declination))
    return math.degrees(math.acos(cosine)) if -1 <= cosine <= 1 else None
