"""Heat: the wet-bulb globe temperature (WBGT, 暑さ指数) from ordinary sensors, and what it means.

Indoors, in a room without sun (°C):

    WBGT = 0.7 Tnw + 0.3 Tg                 ISO 7243
    Tg   = Ta                               walls as warm as the air, unless a globe is measured
    Tnw  = Ta - 0.912 (Ta - Tw)             still air of 0.2 m/s, Bernard's 0.96 + 0.069 log10(0.2)
    Tw                                      wet bulb in moving air, see humid_air.py

- Bernard's factor is general knowledge here: his paper could not be read.
- A hot roof, a window in the sun or a stove makes Tg warmer than Ta: the result is then too low.
- The widely printed chart of 日本生気象学会 (Ver.3) gives 1 to 1.7 °C more. Its successor for
  rooms, Ver.4 (2022), was made because of that, but its table could not be had to compare.

Outdoors: Ono and Tonouchi, 日本生気象学会雑誌 50(4) 147-157 (2014), Ta in °C, RH in %, global solar
radiation SR in kW/m2, wind WS in m/s, fitted to six Japanese cities; within 1 °C of the measured
WBGT in 98.3 to 99.8 % of the cases. Only the abstract was read; the coefficients are as others
quote them.

    WBGT = 0.735 Ta + 0.0374 RH + 0.00292 Ta RH + 7.619 SR - 4.557 SR² - 0.0572 WS - 4.064

Bands: 日常生活における熱中症予防指針, 日本生気象学会. From 31 on, old people are at risk at rest.
"""

from enum import IntEnum

from rules.formulas.humid_air import STANDARD_PRESSURE_HPA, wet_bulb_celsius
from rules.formulas.ranges import require, require_air

STILL_AIR_FACTOR = 0.912


class HeatBand(IntEnum):
    """Daily-life bands; a higher one is more dangerous. In brackets: WBGT in °C."""

    CAUTION = 0
    """注意 (below 25)"""
    WARNING = 1
    """警戒 (25 to below 28)"""
    SEVERE_WARNING = 2
    """厳重警戒 (28 to below 31)"""
    DANGER = 3
    """危険 (31 and above)"""


def indoor_wbgt_celsius(
    temperature_celsius: float,
    relative_humidity_percent: float,
    pressure_hpa: float = STANDARD_PRESSURE_HPA,
    *,
    globe_celsius: float | None = None,
) -> float:
    require_air("temperature", temperature_celsius)
    globe = temperature_celsius if globe_celsius is None else globe_celsius
    # A black globe in the sun is 20 °C and more above the air.
    require("globe temperature", globe, -60, 100, "°C")
    wet_bulb = wet_bulb_celsius(temperature_celsius, relative_humidity_percent, pressure_hpa)
    natural_wet_bulb = temperature_celsius - STILL_AIR_FACTOR * (temperature_celsius - wet_bulb)
    return 0.7 * natural_wet_bulb + 0.3 * globe


def outdoor_wbgt_celsius(
    temperature_celsius: float,
    relative_humidity_percent: float,
    solar_radiation_kw_per_m2: float,
    wind_m_per_s: float,
) -> float:
    require_air("temperature", temperature_celsius)
    require("relative humidity", relative_humidity_percent, 0, 100, "%")
    # Above the atmosphere it is 1.36; clouds beside the sun can add to that for minutes.
    require("solar radiation", solar_radiation_kw_per_m2, 0, 1.6, "kW/m2")
    require("wind", wind_m_per_s, 0, 100, "m/s")
    return (
        0.735 * temperature_celsius
        + 0.0374 * relative_humidity_percent
        + 0.00292 * temperature_celsius * relative_humidity_percent
        + 7.619 * solar_radiation_kw_per_m2
        - 4.557 * solar_radiation_kw_per_m2**2
        - 0.0572 * wind_m_per_s
        - 4.064
    )


def heat_band(wbgt_celsius: float) -> HeatBand:
    require_air("WBGT", wbgt_celsius)
    return HeatBand(sum(wbgt_celsius >= limit for limit in (25, 28, 31)))
