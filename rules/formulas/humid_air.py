"""Humid air: dew point, vapour pressure deficit, 飽差 and wet bulb from temperature and humidity.

    saturation vapour pressure (hPa)  E(T) = 6.1078 · 10^(7.5 T / (T + 237.3))
    vapour pressure (hPa)             e    = E(T) · RH / 100
    dew point (°C)                    E(Td) = e, solved for Td
    deficit (hPa)                     VPD  = E(T) - e
    absolute humidity (g/m3)          217 · e / (T + 273.15)
    飽差 (g/m3)                        217 · (E(T) - e) / (T + 273.15); greenhouses aim at 3 to 6
    wet bulb (°C)                     E(Tw) - 0.000662 · p · (T - Tw) = e, solved for Tw

- E: Tetens (1930) with the constants of Murray (1967), over water also below 0 °C, as humidity
  sensors report it. Against Sonntag (1990), which JIS Z 8806 uses: 0.3 % off at most from -10 to
  80 °C, 0.8 % at -20 and 100 °C, 5.7 % at -50 °C.
- 217 is 216.7 rounded, as greenhouse tables have it: 0.15 % high.
- Wet bulb: Sprung's psychrometer equation, for a bulb in moving air (2.5 m/s and more) that is wet,
  not iced. Below 0 °C the real, iced bulb reads otherwise (0.000583; that number and the 2.5 m/s
  are general knowledge, not verified here).
- A wet bulb is as good as the humidity: 3 % RH more or less are about 0.5 °C of Tw at 30 °C.
"""

import math

from rules.formulas.ranges import require

COLDEST_CELSIUS = -50.0
HOTTEST_CELSIUS = 100.0
STANDARD_PRESSURE_HPA = 1013.25

PSYCHROMETER_PER_KELVIN = 0.000662
KELVIN_AT_ZERO_CELSIUS = 273.15
GRAM_KELVIN_PER_HPA_M3 = 217.0

_DRIEST_DEW_POINT_CELSIUS = -100.0
_HALVINGS = 60
"""200 °C halved so often is less than a float can tell."""


def saturation_vapour_pressure_hpa(temperature_celsius: float) -> float:
    _require_temperature(temperature_celsius)
    return _saturation_hpa(temperature_celsius)


def saturated_at_celsius(vapour_pressure_hpa: float) -> float:
    """Return at which temperature this vapour pressure is that of saturation."""
    require("vapour pressure", vapour_pressure_hpa, 1e-5, 1100, "hPa")
    exponent = math.log10(vapour_pressure_hpa / 6.1078) / 7.5
    return 237.3 * exponent / (1 - exponent)


def vapour_pressure_hpa(temperature_celsius: float, relative_humidity_percent: float) -> float:
    _require_temperature(temperature_celsius)
    require("relative humidity", relative_humidity_percent, 0, 100, "%")
    return _saturation_hpa(temperature_celsius) * relative_humidity_percent / 100


def vapour_pressure_deficit_hpa(
    temperature_celsius: float, relative_humidity_percent: float
) -> float:
    """Return what is missing to saturation; divided by 10 it is the usual kPa."""
    present = vapour_pressure_hpa(temperature_celsius, relative_humidity_percent)
    return _saturation_hpa(temperature_celsius) - present


def absolute_humidity_g_per_m3(
    temperature_celsius: float, relative_humidity_percent: float
) -> float:
    present = vapour_pressure_hpa(temperature_celsius, relative_humidity_percent)
    return _g_per_m3(present, temperature_celsius)


def humidity_deficit_g_per_m3(
    temperature_celsius: float, relative_humidity_percent: float
) -> float:
    """Return 飽差 as Japanese greenhouse advice means it: the vapour that a m3 could still take."""
    missing = vapour_pressure_deficit_hpa(temperature_celsius, relative_humidity_percent)
    return _g_per_m3(missing, temperature_celsius)


def dew_point_celsius(temperature_celsius: float, relative_humidity_percent: float) -> float:
    present = vapour_pressure_hpa(temperature_celsius, relative_humidity_percent)
    if relative_humidity_percent == 0:
        raise ValueError("relative humidity is 0 %: air without any vapour has no dew point")
    # Rounding must not put the dew point above the air: the inverse would refuse it.
    return min(temperature_celsius, saturated_at_celsius(present))


def relative_humidity_percent(temperature_celsius: float, dew_point_celsius: float) -> float:
    _require_temperature(temperature_celsius)
    require(
        "dew point", dew_point_celsius, _DRIEST_DEW_POINT_CELSIUS, temperature_celsius, "°C"
    )  # above the air's own temperature vapour would condense
    return 100 * _saturation_hpa(dew_point_celsius) / _saturation_hpa(temperature_celsius)


def wet_bulb_celsius(
    temperature_celsius: float,
    relative_humidity_percent: float,
    pressure_hpa: float = STANDARD_PRESSURE_HPA,
) -> float:
    present = vapour_pressure_hpa(temperature_celsius, relative_humidity_percent)
    _require_pressure(pressure_hpa)
    low, high = _DRIEST_DEW_POINT_CELSIUS, temperature_celsius
    # The left side of the equation rises with Tw, so halving cannot miss the only solution.
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _psychrometer_hpa(temperature_celsius, middle, pressure_hpa) < present:
            low = middle
        else:
            high = middle
    return high


def relative_humidity_percent_by_wet_bulb(
    temperature_celsius: float,
    wet_bulb_celsius: float,
    pressure_hpa: float = STANDARD_PRESSURE_HPA,
) -> float:
    _require_temperature(temperature_celsius)
    _require_pressure(pressure_hpa)
    require("wet bulb", wet_bulb_celsius, _DRIEST_DEW_POINT_CELSIUS, temperature_celsius, "°C")
    present = _psychrometer_hpa(temperature_celsius, wet_bulb_celsius, pressure_hpa)
    percent = 100 * present / _saturation_hpa(temperature_celsius)
    if percent < -1e-6:  # what rounding does to dry air is far less
        raise ValueError(
            f"wet bulb is {wet_bulb_celsius} °C, colder than fully dry air "
            f"of {temperature_celsius} °C makes it"
        )
    return max(0.0, percent)


def _psychrometer_hpa(dry_celsius: float, wet_celsius: float, pressure_hpa: float) -> float:
    depression = dry_celsius - wet_celsius
    return _saturation_hpa(wet_celsius) - PSYCHROMETER_PER_KELVIN * pressure_hpa * depression


def _saturation_hpa(celsius: float) -> float:
    return 6.1078 * math.pow(10, 7.5 * celsius / (celsius + 237.3))


def _g_per_m3(pressure_hpa: float, temperature_celsius: float) -> float:
    kelvin = temperature_celsius + KELVIN_AT_ZERO_CELSIUS
    return GRAM_KELVIN_PER_HPA_M3 * pressure_hpa / kelvin


def _require_temperature(celsius: float) -> None:
    require("temperature", celsius, COLDEST_CELSIUS, HOTTEST_CELSIUS, "°C")


def _require_pressure(hpa: float) -> None:
    require("pressure", hpa, 300, 1100, "hPa")
