"""Humid air against tables and another equation, and each formula against its inverse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.humid_air import (
    absolute_humidity_g_per_m3,
    dew_point_celsius,
    humidity_deficit_g_per_m3,
    relative_humidity_percent,
    relative_humidity_percent_by_wet_bulb,
    saturated_at_celsius,
    saturation_vapour_pressure_hpa,
    vapour_pressure_deficit_hpa,
    vapour_pressure_hpa,
    wet_bulb_celsius,
)

temperatures = st.floats(-50, 100)
humidities = st.floats(1, 100)
pressures = st.floats(300, 1100)


def sonntag_hpa(celsius):
    """Return saturation over water by Sonntag (1990), as JIS Z 8806 has it."""
    k = celsius + 273.15
    exponent = -6096.9385 / k + 21.2409642 - 2.711193e-2 * k + 1.673952e-5 * k * k
    return math.exp(exponent + 2.433502 * math.log(k)) / 100


@pytest.mark.parametrize(
    ("low", "high", "percent"), [(-50, -20, 5.7), (-20, -10, 0.8), (-10, 80, 0.3), (80, 100, 0.8)]
)
def test_saturation_is_as_near_to_the_standard_as_stated(low, high, percent):
    for tenths in range(low * 10, high * 10 + 1):
        standard = sonntag_hpa(tenths / 10)
        assert saturation_vapour_pressure_hpa(tenths / 10) == pytest.approx(
            standard, rel=percent / 100
        )


@pytest.mark.parametrize(
    ("celsius", "grams"),
    [(10, 9.4), (15, 12.8), (20, 17.3), (25, 23.0), (30, 30.4), (35, 39.6), (40, 51.1)],
)
def test_absolute_humidity_of_saturated_air_is_that_of_the_tables(celsius, grams):
    assert absolute_humidity_g_per_m3(celsius, 100) == pytest.approx(grams, abs=0.1)
    assert absolute_humidity_g_per_m3(celsius, 50) == pytest.approx(grams / 2, abs=0.1)


def test_humidity_deficit_is_that_of_the_facts():
    by_hand = 217 * 6.1078 * 10 ** (7.5 * 20 / (20 + 237.3)) / (20 + 273.15) * (1 - 70 / 100)
    assert humidity_deficit_g_per_m3(20, 70) == pytest.approx(by_hand, abs=1e-9)
    assert humidity_deficit_g_per_m3(20, 70) == pytest.approx(5.2, abs=0.05)  # printed tables


def test_vapour_pressure_deficit_of_25_degrees_and_half_humidity():
    assert vapour_pressure_deficit_hpa(25, 50) == pytest.approx(15.8, abs=0.05)
    assert vapour_pressure_deficit_hpa(25, 100) == 0


@pytest.mark.parametrize(
    ("celsius", "humidity", "dew_point"), [(25, 60, 16.7), (20, 50, 9.3), (30, 80, 26.2)]
)
def test_dew_point(celsius, humidity, dew_point):
    assert dew_point_celsius(celsius, humidity) == pytest.approx(dew_point, abs=0.06)


def test_wet_bulb_of_stull_2011():
    # His worked example is 13.7 °C by a fit that is good to some tenths.
    assert wet_bulb_celsius(20, 50) == pytest.approx(13.7, abs=0.2)


def test_the_psychrometer_table_of_a_school_thermometer():
    # 18 °C dry and 15 °C wet: 73 % for a ventilated psychrometer.
    assert relative_humidity_percent_by_wet_bulb(18, 15) == pytest.approx(73, abs=0.5)


@given(temperatures, humidities)
def test_dew_point_and_humidity_are_inverses(celsius, humidity):
    dew_point = dew_point_celsius(celsius, humidity)
    assert dew_point <= celsius
    assert relative_humidity_percent(celsius, dew_point) == pytest.approx(humidity, abs=1e-9)


@given(temperatures)
def test_saturation_and_its_temperature_are_inverses(celsius):
    pressure = saturation_vapour_pressure_hpa(celsius)
    assert saturated_at_celsius(pressure) == pytest.approx(celsius, abs=1e-9)


@given(temperatures, st.floats(0, 100), pressures)
def test_wet_bulb_and_humidity_are_inverses(celsius, humidity, pressure):
    wet_bulb = wet_bulb_celsius(celsius, humidity, pressure)
    back = relative_humidity_percent_by_wet_bulb(celsius, wet_bulb, pressure)
    assert back == pytest.approx(humidity, abs=1e-6)


@given(temperatures, humidities)
def test_the_wet_bulb_is_between_dew_point_and_air(celsius, humidity):
    wet_bulb = wet_bulb_celsius(celsius, humidity)
    assert dew_point_celsius(celsius, humidity) - 1e-6 <= wet_bulb <= celsius


@given(temperatures, st.floats(0, 100))
def test_what_is_there_and_what_is_missing_make_saturation(celsius, humidity):
    total = vapour_pressure_hpa(celsius, humidity) + vapour_pressure_deficit_hpa(celsius, humidity)
    assert total == pytest.approx(saturation_vapour_pressure_hpa(celsius))
    grams = absolute_humidity_g_per_m3(celsius, humidity) + humidity_deficit_g_per_m3(
        celsius, humidity
    )
    assert grams == pytest.approx(absolute_humidity_g_per_m3(celsius, 100))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: saturation_vapour_pressure_hpa(-50.1), "temperature is -50.1 °C, outside -50 to"),
        (lambda: vapour_pressure_hpa(20, 100.1), "relative humidity is 100.1 %, outside 0 to 100"),
        (lambda: vapour_pressure_hpa(math.nan, 50), "temperature is nan"),
        (lambda: vapour_pressure_hpa(20, math.inf), "relative humidity is inf"),
        (lambda: dew_point_celsius(20, 0), "has no dew point"),
        (lambda: relative_humidity_percent(20, 20.1), "dew point is 20.1 °C, outside -100 to 20"),
        (lambda: wet_bulb_celsius(20, 50, 101325), "pressure is 101325 hPa, outside 300 to 1100"),
        (lambda: relative_humidity_percent_by_wet_bulb(20, 21), "wet bulb is 21 °C"),
        (lambda: relative_humidity_percent_by_wet_bulb(40, 0), "colder than fully dry air"),
        (lambda: saturated_at_celsius(0), "vapour pressure is 0 hPa"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
