"""Rice: sums of temperature, ripening heat, depth of water and drying-out, at their limits."""

import math
from datetime import date, timedelta

import pytest

from rules.formulas.rice import (
    RIPE_AT_DEGREE_DAYS,
    DryingOut,
    RipeningHeat,
    Stage,
    WaterDepth,
    accumulated_temperature_degree_days,
    drying_out,
    drying_out_day,
    is_flooded_day,
    is_meiosis,
    ripening_heat,
    ripening_mean_celsius,
    water_depth,
)

DRAINED = date(2026, 6, 28)


def test_the_accumulated_temperature_is_the_sum_of_the_daily_means():
    assert accumulated_temperature_degree_days([25.0] * 40) == 1000
    assert accumulated_temperature_degree_days([]) == 0


def test_below_the_base_a_day_counts_nothing_and_takes_nothing_away():
    assert accumulated_temperature_degree_days([12.0, 8.0, 15.0], base_celsius=10) == 7
    assert accumulated_temperature_degree_days([-3.0, 4.0]) == 4


def test_when_the_cultivars_of_the_facts_are_ripe():
    assert RIPE_AT_DEGREE_DAYS == {
        "ひとめぼれ": (900, 1000),
        "コシヒカリ": (1050, 1050),
        "あきたこまち": (950, 950),
    }


def test_only_the_twenty_days_after_heading_count_for_ripening():
    assert ripening_mean_celsius([26.0] * 20 + [40.0] * 10) == 26
    assert ripening_mean_celsius([25.0, 28.0]) == 26.5


@pytest.mark.parametrize(
    ("mean", "heat"),
    [
        (25.99, RipeningHeat.NORMAL),
        (26, RipeningHeat.FROM_26_CELSIUS),
        (26.99, RipeningHeat.FROM_26_CELSIUS),
        (27, RipeningHeat.FROM_27_CELSIUS),
    ],
)
def test_ripening_heat(mean, heat):
    assert ripening_heat(mean) is heat


@pytest.mark.parametrize(("days", "is_it"), [(17, False), (16, True), (7, True), (6, False)])
def test_meiosis_is_16_to_7_days_before_heading(days, is_it):
    assert is_meiosis(days) is is_it


@pytest.mark.parametrize(
    ("stage", "minimum", "depth"),
    [
        (Stage.PANICLE_FORMATION, 18.1, WaterDepth(4, 6)),
        (Stage.PANICLE_FORMATION, 18, WaterDepth(10, 10)),
        (Stage.PANICLE_FORMATION, 12, WaterDepth(10, 10)),
        (Stage.MEIOSIS, 20, WaterDepth(10, 15)),
        (Stage.MEIOSIS, 17.1, WaterDepth(10, 15)),
        (Stage.MEIOSIS, 17, WaterDepth(15, math.inf)),
    ],
)
def test_how_deep_the_water_should_stand(stage, minimum, depth):
    assert water_depth(stage, minimum) == depth


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1, DryingOut.UNDER_WAY),
        (7, DryingOut.UNDER_WAY),
        (8, DryingOut.MAY_END),
        (14, DryingOut.MAY_END),
        (15, DryingOut.OVERDUE),
    ],
)
def test_the_days_of_the_drying_out(number, state):
    day = DRAINED + timedelta(days=number - 1)
    assert drying_out_day(DRAINED, day) == number
    assert drying_out(DRAINED, day) is state


def test_three_days_of_water_and_two_without():
    assert [is_flooded_day(day) for day in range(10)] == [True, True, True, False, False] * 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: accumulated_temperature_degree_days([20, 80]), r"daily mean\[1\] is 80 °C"),
        (lambda: accumulated_temperature_degree_days([20], 99), "base temperature is 99 °C"),
        (lambda: ripening_mean_celsius([]), "days after heading is 0, outside 1 to"),
        (lambda: ripening_mean_celsius([math.nan]), r"daily mean\[0\] is nan"),
        (lambda: ripening_heat(99), "mean after heading is 99 °C"),
        (lambda: water_depth(Stage.MEIOSIS, 99), "forecast minimum is 99 °C, outside -60 to 60"),
        (lambda: drying_out(DRAINED, date(2026, 6, 27)), "day of the drying-out is 0"),
        (lambda: is_flooded_day(-1), "days since the drying-out is -1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
