"""WBGT against the table in the facts, and the bands at their limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.humid_air import wet_bulb_celsius
from rules.formulas.wbgt import (
    HeatBand,
    heat_band,
    indoor_wbgt_celsius,
    outdoor_wbgt_celsius,
)

TABLE = [  # air, humidity: indoor, 0.7 Tw + 0.3 Ta, Ono and Tonouchi without sun
    (28, 60, 24.2, 23.9, 23.7),
    (30, 60, 26.1, 25.7, 25.5),
    (32, 70, 29.0, 28.8, 28.6),
    (34, 60, 29.8, 29.3, 29.1),
    (36, 50, 30.3, 29.7, 29.5),
]


@pytest.mark.parametrize(("celsius", "humidity", "indoor", "ventilated", "outdoor"), TABLE)
def test_the_table(celsius, humidity, indoor, ventilated, outdoor):
    # Printed to 0.1. 28.748 stands there as 28.8: hence 0.06.
    assert indoor_wbgt_celsius(celsius, humidity) == pytest.approx(indoor, abs=0.06)
    moving_air = 0.7 * wet_bulb_celsius(celsius, humidity) + 0.3 * celsius
    assert moving_air == pytest.approx(ventilated, abs=0.06)
    assert outdoor_wbgt_celsius(celsius, humidity, 0, 0) == pytest.approx(outdoor, abs=0.06)


def test_sun_and_wind_outdoors():
    shade = outdoor_wbgt_celsius(30, 60, 0, 0)
    assert outdoor_wbgt_celsius(30, 60, 0.5, 0) - shade == pytest.approx(7.619 / 2 - 4.557 / 4)
    assert outdoor_wbgt_celsius(30, 60, 0, 10) - shade == pytest.approx(-0.572)


@given(st.floats(-50, 60), st.floats(0, 100))
def test_indoors_it_is_never_above_the_air(celsius, humidity):
    assert indoor_wbgt_celsius(celsius, humidity) <= celsius + 1e-9


def test_a_globe_warmer_than_the_air_counts_for_three_tenths():
    room = indoor_wbgt_celsius(32, 70)
    assert indoor_wbgt_celsius(32, 70, globe_celsius=32) == room
    assert indoor_wbgt_celsius(32, 70, globe_celsius=42) == pytest.approx(room + 3)
    with pytest.raises(ValueError, match="globe temperature is 101 °C, outside -60 to 100 °C"):
        indoor_wbgt_celsius(32, 70, globe_celsius=101)


@given(st.floats(0, 60), st.floats(0, 99))
def test_more_humidity_is_more_heat(celsius, humidity):
    assert indoor_wbgt_celsius(celsius, humidity) < indoor_wbgt_celsius(celsius, humidity + 1)


@pytest.mark.parametrize(
    ("celsius", "band"),
    [
        (-5, HeatBand.CAUTION),
        (24.999, HeatBand.CAUTION),
        (25, HeatBand.WARNING),
        (27.999, HeatBand.WARNING),
        (28, HeatBand.SEVERE_WARNING),
        (30.999, HeatBand.SEVERE_WARNING),
        (31, HeatBand.DANGER),
        (40, HeatBand.DANGER),
    ],
)
def test_each_band_begins_at_its_limit(celsius, band):
    assert heat_band(celsius) is band


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: indoor_wbgt_celsius(61, 50), "temperature is 61 °C, outside -60 to 60 °C"),
        (lambda: indoor_wbgt_celsius(30, -1), "relative humidity is -1 %"),
        (lambda: outdoor_wbgt_celsius(30, 101, 0, 0), "relative humidity is 101 %"),
        (lambda: outdoor_wbgt_celsius(30, 50, 800, 0), "solar radiation is 800 kW/m2, outside"),
        (lambda: outdoor_wbgt_celsius(30, 50, 0.8, -1), "wind is -1 m/s"),
        (lambda: heat_band(math.nan), "WBGT is nan"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
